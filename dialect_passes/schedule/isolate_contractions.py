"""Take what is computed before a product out of a contraction, and divide rows by a product with the reciprocal.

    O[m, d] += (E[m, n] / s[m]) * V[n, d]
    -->
    r[m] = 1 / s[m];  P[m, n] = E[m, n] * r[m];  O[m, d] += P[m, n] * V[n, d]

Every element of the block is divided once, not once for each column of the result.
"""

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith

from ansorc.dialect_passes.ir_walk import indexing_maps, iterators, segments, shape
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.build_generic import generic, plain_map
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, MAP, role_of
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents


def run(ops: Sequence[ir.Operation]) -> None:
    """Rewrite the generics of a chain in place; raises CannotBlock where a contraction is no sum of products."""
    pending = list(ops)
    while pending:
        op = pending.pop(0)
        role = role_of(op)
        if role == CONTRACTION:
            pending += _isolate(op)
        elif role == MAP:
            _multiply_rows(op)


def _isolate(op: ir.Operation) -> list[ir.Operation]:
    block = op.regions[0].blocks[0]
    arguments: list[ir.Value] = list(block.arguments)
    total = _made_by(list(block.operations)[-1].operands[0], "arith.addf")
    added = [v for v in total.operands if v != arguments[-1]]
    if len(added) != 1:
        raise CannotBlock("a contraction is no sum")
    product = _made_by(added[0], "arith.mulf")
    hoisted: list[ir.Operation] = []
    values: list[ir.Value] = []
    maps: list[ir.AffineMap] = []
    for factor in product.operands:
        value, m, made = _factor(op, factor, arguments)
        values.append(value)
        maps.append(m)
        hoisted += made
    if not hoisted:
        return []
    flags = [o.attributes["fastmath"] for o in (product, total)]

    def build(inner: Sequence[ir.Value]) -> ir.Value:
        multiplied = arith.mulf(inner[0], inner[1])
        summed = arith.addf(inner[2], multiplied)
        for value, flag in zip((multiplied, summed), flags, strict=True):
            value.owner.attributes["fastmath"] = flag
        return summed

    with ir.InsertionPoint(op), op.location:
        out = list(op.operands)[-1]
        reductions = iterators(op).count("reduction")
        new = generic(values, [*maps, indexing_maps(op)[-1]], out, reductions, build)
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()
    return hoisted


def _made_by(value: ir.Value, name: str) -> ir.Operation:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != name:
        raise CannotBlock(f"a contraction's body has no {name} where one is expected")
    return value.owner.operation


def _factor(
    op: ir.Operation, factor: ir.Value, arguments: list[ir.Value]
) -> tuple[ir.Value, ir.AffineMap, list[ir.Operation]]:
    """Return the tensor whose element a factor is, how it is read, and the operation that computes it, if one is."""
    maps = indexing_maps(op)
    if factor in arguments:
        k = arguments.index(factor)
        return op.operands[k], maps[k], []
    chain: list[ir.Operation] = []
    read: dict[int, None] = {}

    def visit(value: ir.Value) -> None:
        if value in arguments:
            read[arguments.index(value)] = None
        elif not isinstance(value.owner, ir.Block) and value.owner.operation.block == op.regions[0].blocks[0]:
            inner = value.owner.operation
            if inner not in chain:
                for operand in inner.operands:
                    visit(operand)
                chain.append(inner)

    visit(factor)
    numbers = list(read)
    indices, extents = _indices(op, numbers)
    inner_maps = [plain_map(len(indices), [indices.index(e) for e in maps[k].results]) for k in numbers]

    def build(inner: Sequence[ir.Value]) -> ir.Value:
        mapped = {arguments[k]: v for k, v in zip(numbers, inner, strict=False)}
        for o in chain:
            clone = o.clone()
            for k, operand in enumerate(list(clone.operands)):
                clone.operands[k] = mapped.get(operand, operand)
            mapped[o.results[0]] = clone.results[0]
        return mapped[factor]

    with ir.InsertionPoint(op), op.location:
        identity = ir.AffineMap.get_identity(len(indices))
        operands = [op.operands[k] for k in numbers]
        made = generic(operands, [*inner_maps, identity], extents, 0, build)
    return made.results[0], ir.AffineMap.get(maps[0].n_dims, 0, indices), [made]


def _indices(op: ir.Operation, numbers: Sequence[int]) -> tuple[list[ir.AffineExpr], list[int]]:
    """Return by what a factor of some operands is read, and its extents: loops, or the indices of the widest."""
    maps, extents = indexing_maps(op), loop_extents(op)
    read = [e for k in numbers for e in maps[k].results]
    if all(isinstance(e, ir.AffineDimExpr) for e in read):
        dims = sorted({ir.AffineDimExpr(e).position for e in read})
        return [ir.AffineDimExpr.get(d) for d in dims], [extents[d] for d in dims]
    widest = max(numbers, key=lambda k: len(maps[k].results))
    indices = list(maps[widest].results)
    if any(e not in indices for e in read):
        raise CannotBlock("a factor is computed from windows of several values")
    return indices, shape(op.operands[widest])


def _multiply_rows(op: ir.Operation) -> None:
    """Replace divisions by an operand that is the same along the last loop."""
    block, maps = op.regions[0].blocks[0], indexing_maps(op)
    last = ir.AffineDimExpr.get(maps[0].n_dims - 1)
    arguments: list[ir.Value] = list(block.arguments)
    for division in [o.operation for o in block.operations if o.operation.name == "arith.divf"]:
        divisor = division.operands[1]
        if divisor not in arguments[: segments(op)[0]]:
            continue
        k = arguments.index(divisor)
        if last in list(maps[k].results) or len(list(divisor.uses)) != 1:
            continue
        source = op.operands[k]
        rank = len(shape(source))

        def reciprocal(inner: Sequence[ir.Value]) -> ir.Value:
            return arith.divf(arith.constant(inner[0].type, 1.0), inner[0])

        with ir.InsertionPoint(op), op.location:
            made = generic([source], [ir.AffineMap.get_identity(rank)] * 2, shape(source), 0, reciprocal)
        op.operands[k] = made.results[0]
        with ir.InsertionPoint(division), division.location:
            product = arith.mulf(division.operands[0], divisor)
        division.results[0].replace_all_uses_with(product)
        division.erase()
