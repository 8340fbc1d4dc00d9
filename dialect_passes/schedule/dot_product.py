"""Products that are summed along vectors: the lanes of a register are neighbours in what is reduced.

    y[p, o] = sum over (w, c) of x[p, w, c] u[w, c, o]                        u is a weight: it is packed [o, w, c]
    -->
    V[p, o, l] = sum over (w, b) of x[p, w, b * lanes + l] u[o, w, b, l]
    y[p, o]    = sum over l of V[p, o, l]

For results of few channels, which fill no vector, and for products of few rows with what lies row by row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.ir_walk import indexing_maps, mentions, segments, shape
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, constant_arguments, retype
from ansorc.dialect_passes.schedule.build_generic import body_of, generic, plain_map
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape, analyse, inputs_used, loop_extents
from ansorc.dialect_passes.schedule.split_loops import combiner, starts_neutral

MOST_USES = 8
"""What is used more often than that is worth vectors of results."""


@dataclass(frozen=True)
class DotProduct:
    """A task whose products are summed along vectors."""

    task: TaskShape
    anchor: ir.Operation
    inner: int
    """The reduction loop of the anchor that becomes blocks of lanes: along it everything is contiguous, or can be."""
    orders: Mapping[int, tuple[int, ...]]
    """For operands of the anchor whose dim of the inner loop is split, the order of their dims; that one is the last.

    Weights are packed so; without any, it is the order of the argument that is read most.
    """


def analyse_products(function: ir.Operation) -> DotProduct:
    """Describe a task; raises CannotBlock, or NoSingleAnchor."""
    task = analyse(function)
    anchor = task.anchor
    if anchor is None or not task.parallel:
        raise CannotBlock("nothing is summed")
    used, maps, extents = inputs_used(anchor), indexing_maps(anchor), loop_extents(anchor)
    extents[: len(task.parallel)] = task.parallel
    if used != [0, 1] or segments(anchor)[0] != 2:
        raise CannotBlock("no product of two operands")
    if combiner(anchor).name != "arith.addf" or not starts_neutral(anchor):
        raise CannotBlock("a reduction that is no sum from 0")
    weights = [k for k in used if _is_weight(function, anchor.operands[k])]
    read = [k for k in used if k not in weights]
    uses = [prod(e for p, e in enumerate(task.parallel) if not _moves(maps[k], p)) for k in read]
    if not uses or min(uses) > MOST_USES:
        raise CannotBlock("all that is read is used often enough for vectors of results")
    last = {str(list(maps[k].results)[-1]) if maps[k].results else "" for k in read}
    inner = next((k for k in range(len(task.parallel), len(extents)) if {f"d{k}"} == last), -1)
    dim = ir.AffineDimExpr.get(inner) if inner >= 0 else None
    for k in used:
        at = [d for d, e in enumerate(maps[k].results) if _mentions(e, inner)]
        if len(at) != 1 or maps[k].results[at[0]] != dim or shape(anchor.operands[k])[at[0]] != extents[inner]:
            raise CannotBlock("what is read is not contiguous along a sum")
    split = weights or [k for k in reversed(used) if _is_own(anchor.operands[k])][:1]
    if not split:
        raise CannotBlock("nothing that is read is an argument of its own")
    return DotProduct(task, anchor, inner, {k: _packed(maps[k], len(task.parallel), inner) for k in split})


def run(function: ir.Operation, found: DotProduct, lanes: int) -> dict[int, Packing]:
    """Rewrite a task in place; return how weights are packed. Raises CannotBlock where lanes do not divide the sum."""
    anchor, inner, count = found.anchor, found.inner, len(found.task.parallel)
    size = loop_extents(anchor)[inner]
    if lanes < 1 or size % lanes:
        raise CannotBlock(f"{lanes} lanes do not divide a sum of {size}")
    packings: dict[int, Packing] = {}
    maps = [_laned(m, count, inner, lanes) for m in indexing_maps(anchor)[:2]]
    for k, order in found.orders.items():
        argument = ir.BlockArgument(anchor.operands[k])
        sizes, results = shape(argument), list(maps[k].results)
        if _is_weight(function, argument):
            packings[argument.arg_number] = Packing(tuple(sizes), order)
        kind = ir.RankedTensorType(argument.type)
        argument.set_type(
            ir.RankedTensorType.get([*(sizes[d] for d in order[:-1]), size // lanes, lanes], kind.element_type)
        )
        halves = [ir.AffineDimExpr.get(inner + 1), ir.AffineDimExpr.get(count)]
        maps[k] = ir.AffineMap.get(maps[k].n_dims, 0, [*(results[d] for d in order[:-1]), *halves])
    loops = maps[0].n_dims
    fill = anchor.operands[2].owner.operation
    start, zero = fill.results[0], list(fill.regions[0].blocks[0].operations)[-1].operands[0]
    wide = [*shape(start), lanes]
    with ir.InsertionPoint(anchor), anchor.location:
        element = ir.RankedTensorType(start.type).element_type
        identity = ir.AffineMap.get_identity(count + 1)
        into = tensor.EmptyOp(wide, element).result
        cleared = generic([], [identity], into, 0, lambda inner: zero, {"ansorc.fill": ir.UnitAttr.get()})
        partial = generic(
            list(anchor.operands)[:2], [*maps, plain_map(loops, range(count + 1))], cleared.results[0],
            loops - count - 1, body_of(anchor), {"ansorc.anchor": ir.UnitAttr.get()},
        )  # fmt: skip
        added = combiner(anchor)

        def add(inner: Sequence[ir.Value]) -> ir.Value:
            clone = added.clone()
            clone.operands[0], clone.operands[1] = inner[1], inner[0]
            return clone.results[0]

        total = generic(
            [partial.results[0]], [identity, plain_map(count + 1, range(count))], start, 1, add,
            {"ansorc.sum": ir.UnitAttr.get()},
        )  # fmt: skip
    fill.attributes["ansorc.start"] = ir.UnitAttr.get()
    found.task.root.attributes["ansorc.root"] = ir.UnitAttr.get()
    anchor.results[0].replace_all_uses_with(total.results[0])
    anchor.erase()
    retype(function)
    return packings


def _is_own(value: ir.Value) -> bool:
    return isinstance(value.owner, ir.Block) and len(list(value.uses)) == 1


def _is_weight(function: ir.Operation, value: ir.Value) -> bool:
    return _is_own(value) and ir.BlockArgument(value).arg_number in constant_arguments(function)


def _mentions(e: ir.AffineExpr, loop: int) -> bool:
    return mentions(e, {loop})


def _moves(m: ir.AffineMap, loop: int) -> bool:
    return any(_mentions(e, loop) for e in m.results)


def _packed(m: ir.AffineMap, parallel: int, inner: int) -> tuple[int, ...]:
    def place(d: int) -> tuple[bool, bool]:
        return _mentions(m.results[d], inner), not any(_mentions(m.results[d], p) for p in range(parallel))

    return tuple(sorted(range(len(m.results)), key=place))


def _laned(m: ir.AffineMap, parallel: int, inner: int, lanes: int) -> ir.AffineMap:
    """Return a map over (parallel, lane, reductions), where the inner loop runs over blocks of lanes."""
    dim = ir.AffineDimExpr.get
    moved: list[ir.AffineExpr] = [dim(k + (k >= parallel)) for k in range(m.n_dims)]
    moved[inner] = dim(inner + 1) * lanes + dim(parallel)
    substitution = ir.AffineMap.get(m.n_dims + 1, 0, moved)
    return ir.AffineMap.get(m.n_dims + 1, 0, [ir.AffineExpr.compose(e, substitution) for e in m.results])
