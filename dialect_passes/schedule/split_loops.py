"""Split classes of a chain's loops into [blocks][vectors][lanes], in all operations and values at once.

    S over (m, n, k); P over (m, n); O over (m, d, n)
    -->
    S over (m, nb, nv, nl, k); P over (m, nb, nv, nl); O over (m, db, dv, dl, nb, nv, nl)

A reduction of rows first runs over the blocks, into one vector, and then over that:

    M[m] = max over (nb, nv, nl) of S
    -->
    V[m, nv, nl] = max over nb of S;  M[m] = max over (nv, nl) of V

Memory stays as it is, except that of constants: the blocks of a contraction's columns move to the front.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.graph.rebuild import rebuilt, reshape
from ansorc.dialect_passes.ir_walk import body, indexing_maps, iterators, mentions, segments, shape
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, constant_arguments, retype
from ansorc.dialect_passes.schedule.border import LATER, made_later
from ansorc.dialect_passes.schedule.build_generic import body_of, generic, plain_map
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, FILL, REDUCTION, Chain, Stage

NEUTRAL = {"arith.addf": 0.0, "arith.maximumf": float("-inf"), "arith.minimumf": float("inf")}
"""What a reduction may start from, to be done in two steps."""


@dataclass(frozen=True)
class Width:
    """How the innermost part of a class of loops is cut."""

    vectors: int
    lanes: int


def run(function: ir.Operation, chain: Chain, widths: Mapping[int, Width]) -> dict[int, Packing]:
    """Rewrite `function` in place; return how constants are packed. Raises CannotBlock before anything is changed."""
    dims = _split_dims(chain, widths)
    for stage in chain.stages:
        if stage.role == REDUCTION:
            _check_reduction(stage, widths)
    packings: dict[int, Packing] = {}
    orders: dict[ir.Value, list[int]] = {}
    constants = constant_arguments(function)
    for argument in body(function).arguments:
        if argument not in dims:
            continue
        classes = dims[argument]
        sizes = _sizes(shape(argument), classes, widths)
        order = list(range(len(sizes)))
        if argument.arg_number in constants:
            order = _blocks_first(chain, argument, classes, widths)
            if order != sorted(order):
                packings[argument.arg_number] = Packing(tuple(sizes), tuple(order))
        orders[argument] = order
        whole, element = argument.type, ir.RankedTensorType(argument.type).element_type
        argument.set_type(ir.RankedTensorType.get([sizes[k] for k in order], element))
        _keep_whole(argument, whole, classes)
    for value in [v for v in dims if _is_later(v)]:
        _split_later(value.owner.operation, _sizes(shape(value), dims[value], widths), dims[value])
    for stage in chain.stages:
        _rewrite(stage, dims, widths, orders)
    retype(function)
    return packings


def _is_later(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == LATER


def _before(op: ir.Operation) -> list[int]:
    return list(ir.DenseI64ArrayAttr(op.attributes["low"]))


def _split_later(op: ir.Operation, sizes: Sequence[int], classes: Sequence[int | None]) -> None:
    """Let a border be made around a value whose columns are split: they get none."""
    low, inner, split = list[int](), list[int](), iter(sizes)
    for before, size, c in zip(_before(op), shape(op.operands[0]), classes, strict=True):
        parts = [next(split) for _ in range(1 if c is None else 3)]
        low += [before] + [0] * (len(parts) - 1)
        inner += [size] if c is None else parts
    with ir.InsertionPoint(op), op.location:
        made = made_later(reshape(op.operands[0], inner), low, sizes, op.attributes["value"])
    op.results[0].replace_all_uses_with(made)
    op.erase()


def _keep_whole(argument: ir.Value, whole: ir.Type, classes: Sequence[int | None]) -> None:
    """Let a border that is made around an argument see it as it was."""
    readers = [use.owner.operation for use in argument.uses if use.owner.operation.name == LATER]
    places = iter(range(len(classes) + 2 * len([c for c in classes if c is not None])))
    groups = [[next(places) for _ in range(1 if c is None else 3)] for c in classes]
    for reader in readers:
        with ir.InsertionPoint(reader), reader.location:
            reader.operands[0] = tensor.CollapseShapeOp(whole, argument, groups).result


def _split_dims(chain: Chain, widths: Mapping[int, Width]) -> dict[ir.Value, tuple[int | None, ...]]:
    """Return the class of each dim of every value that has one to split."""
    found: dict[ir.Value, tuple[int | None, ...]] = {}
    for stage in chain.stages:
        for number, value in enumerate(stage.op.operands):
            if not isinstance(value.type, ir.RankedTensorType):
                raise CannotBlock("a scalar operand")
            classes = tuple(c if c in widths else None for c in stage.operand_loops(number))
            fresh = not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.empty"
            if not fresh and found.setdefault(value, classes) != classes:
                raise CannotBlock("a value is read by two classes of loops")
            if (
                not isinstance(value.owner, ir.Block)
                and value.owner.operation.name == "arith.constant"
                and any(c is not None for c in classes)
            ):
                raise CannotBlock("a constant tensor is read by columns")
            if _is_later(value):
                op = value.owner.operation
                amounts = zip(_before(op), shape(op.operands[0]), shape(value), classes, strict=True)
                if any(c is not None and (low or size != whole) for low, size, whole, c in amounts):
                    raise CannotBlock("columns have a border")
            split = {k for k, c in enumerate(stage.loops) if c in widths}
            compound = [e for e in indexing_maps(stage.op)[number].results if not isinstance(e, ir.AffineDimExpr)]
            if any(mentions(e, split) for e in compound):
                raise CannotBlock("columns are part of a compound index")
        found[stage.op.results[0]] = tuple(
            c if c in widths else None for c in stage.operand_loops(len(stage.op.operands) - 1)
        )
    return {value: classes for value, classes in found.items() if any(c is not None for c in classes)}


def _sizes(sizes: Sequence[int], classes: Sequence[int | None], widths: Mapping[int, Width]) -> list[int]:
    made: list[int] = []
    for size, c in zip(sizes, classes, strict=True):
        if c is None:
            made.append(size)
        else:
            made += [size // (widths[c].vectors * widths[c].lanes), widths[c].vectors, widths[c].lanes]
    return made


def _blocks_first(
    chain: Chain, argument: ir.Value, classes: Sequence[int | None], widths: Mapping[int, Width]
) -> list[int]:
    """Return the order of a split constant's dims in which a contraction reads one contiguous panel."""
    count = sum(3 if c is not None else 1 for c in classes)
    for stage in chain.consumers(argument):
        column = next((c for c in reversed(stage.parallel) if c in widths), None)
        if stage.role != CONTRACTION or column not in classes:
            continue
        at = sum(3 if c is not None else 1 for c in classes[: list(classes).index(column)])
        others = [k for k in range(count) if not at <= k < at + 3]
        return [at, *others, at + 1, at + 2]
    return list(range(count))


def _check_reduction(stage: Stage, widths: Mapping[int, Width]) -> None:
    reduced = stage.loops[len(stage.loops) - stage.reductions :]
    if len(reduced) != 1 or reduced[0] not in widths or any(c in widths for c in stage.parallel):
        raise CannotBlock("a reduction runs over something besides the columns")
    if not starts_neutral(stage.op):
        raise CannotBlock("a reduction does not start from its neutral element")


def starts_neutral(op: ir.Operation) -> bool:
    """Whether a reduction starts from a number that changes nothing, so that it can be done in steps."""
    fill = op.operands[segments(op)[0]].owner
    if isinstance(fill, ir.Block) or fill.operation.name != "linalg.generic":
        return False
    start = list(fill.operation.regions[0].blocks[0].operations)[-1].operands[0].owner
    if isinstance(start, ir.Block) or start.operation.name != "arith.constant":
        return False
    value = start.operation.attributes["value"]
    return isinstance(value, ir.FloatAttr) and ir.FloatAttr(value).value == NEUTRAL[combiner(op).name]


def combiner(op: ir.Operation) -> ir.Operation:
    """Return the operation in the body of a reduction that combines two results; raises CannotBlock."""
    block = op.regions[0].blocks[0]
    made = list(block.operations)[-1].operands[0].owner
    if isinstance(made, ir.Block) or made.operation.name not in NEUTRAL:
        raise CannotBlock("a reduction that does not sum or compare")
    if list(block.arguments)[-1] not in list(made.operation.operands):
        raise CannotBlock("a reduction that does not sum or compare")
    return made.operation


def _rewrite(
    stage: Stage,
    dims: Mapping[ir.Value, Sequence[int | None]],
    widths: Mapping[int, Width],
    orders: Mapping[ir.Value, list[int]],
) -> None:
    op = stage.op
    place: dict[int, list[int]] = {}
    kinds: list[str] = []
    for k, (c, kind) in enumerate(zip(stage.loops, iterators(op), strict=True)):
        parts = 3 if c in widths else 1
        place[k] = list(range(len(kinds), len(kinds) + parts))
        kinds += [kind] * parts
    dim = ir.AffineDimExpr.get
    substitution = ir.AffineMap.get(len(kinds), 0, [dim(place[k][0]) for k in range(len(stage.loops))])
    maps: list[ir.AffineMap] = []
    for value, m in zip(op.operands, indexing_maps(op), strict=True):
        results: list[ir.AffineExpr] = []
        for e in m.results:
            if isinstance(e, ir.AffineDimExpr):
                results += [dim(p) for p in place[ir.AffineDimExpr(e).position]]
            else:
                results.append(ir.AffineExpr.compose(e, substitution))
        if value in orders:
            results = [results[k] for k in orders[value]]
        maps.append(ir.AffineMap.get(len(kinds), 0, results))
    iterator_types = ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{k}>") for k in kinds])
    inputs = list(op.operands)[: segments(op)[0]]  # those that were split have taken the places of others already
    with ir.InsertionPoint(op), op.location:
        if stage.role == REDUCTION:
            new = _in_two_steps(op, inputs, maps)
        elif op.results[0] not in dims and stage.role == FILL:
            return
        else:
            out = op.operands[segments(op)[0]]
            kind = ir.RankedTensorType(op.results[0].type)
            sizes = _sizes(shape(op.results[0]), dims.get(op.results[0], [None] * len(kind.shape)), widths)
            fresh = out.owner.operation.name == "tensor.empty"
            into = tensor.EmptyOp(sizes, kind.element_type).result if fresh else out
            new = rebuilt(op, [*inputs, into], sizes, {"indexing_maps": maps, "iterator_types": iterator_types})
    op.results[0].replace_all_uses_with(new)
    op.erase()


def _in_two_steps(op: ir.Operation, inputs: Sequence[ir.Value], maps: Sequence[ir.AffineMap]) -> ir.Value:
    """Reduce the blocks into one vector of each row, then that."""
    count = maps[0].n_dims
    rows = list(range(count - 3))
    fill = op.operands[segments(op)[0]].owner.operation
    extents = _extents(inputs, maps)
    start = list(fill.regions[0].blocks[0].operations)[-1].operands[0]
    combined = combiner(op)
    # The blocks become the last loop.
    renamed = [ir.AffineDimExpr.get(k) for k in (*rows, count - 1, count - 3, count - 2)]
    moved = ir.AffineMap.get(count, 0, renamed)
    first = [
        ir.AffineMap.get(count, 0, [ir.AffineExpr.compose(e, moved) for e in m.results]) for m in maps[: len(inputs)]
    ]
    sizes = [extents[k] for k in (*rows, count - 2, count - 1)]
    suffix = next(name for name in op.attributes if name.startswith("ansorc.stage")).removeprefix("ansorc.stage")
    identity = ir.AffineMap.get_identity(count - 1)
    filled = generic(
        [], [identity], tensor.EmptyOp(sizes, combined.results[0].type).result, 0,
        lambda inner: start, {f"ansorc.fill{suffix}": ir.UnitAttr.get()},
    )  # fmt: skip

    partial = generic(
        inputs, [*first, plain_map(count, range(count - 1))], filled.results[0], 1, body_of(op),
        {f"ansorc.stage{suffix}": ir.UnitAttr.get()},
    )  # fmt: skip

    def combine(inner: Sequence[ir.Value]) -> ir.Value:
        clone = combined.clone()
        clone.operands[0], clone.operands[1] = inner[1], inner[0]
        return clone.results[0]

    return generic(
        [partial.results[0]], [identity, plain_map(count - 1, rows)], fill.results[0], 2, combine,
        {f"ansorc.final{suffix}": ir.UnitAttr.get()},
    ).results[0]  # fmt: skip


def _extents(inputs: Sequence[ir.Value], maps: Sequence[ir.AffineMap]) -> list[int]:
    found = [0] * maps[0].n_dims
    for value, m in zip(inputs, maps, strict=False):
        for e, size in zip(m.results, shape(value), strict=True):
            if isinstance(e, ir.AffineDimExpr):
                found[ir.AffineDimExpr(e).position] = size
    return found
