"""Move a border between two operations of a chain in front of what computes its inside.

    %e = contraction of 1x1 %x; %r = map %e; %p = tensor.pad %r; window over %p
    -->
    %q = "ansorc.pad"(%x); %e = contraction of 1x1 %q; %p = map %e, or 0 in the border; window over %p

Everything is computed over the larger extents then: a block of rows of the window's result needs a block of what is
before it, wherever that lies. What comes from memory gets its border when it is read (see border.py); where windows of
it are read, too, a wider one by their strides.
"""

from collections.abc import Iterator, Mapping, Sequence

from mlir import ir
from mlir.dialects import arith, linalg, tensor

from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import (
    collect,
    index_at,
    indexing_maps,
    iterators,
    mentions,
    pad_amounts,
    segments,
    shape,
    value_of,
)
from ansorc.dialect_passes.schedule import border
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.build_generic import generic

Amount = tuple[int, int]
"""What is added before and behind."""


def run(function: ir.Operation) -> None:
    """Rewrite `function` in place; raises CannotBlock, before anything is changed, where a border cannot move."""
    pads = collect(function, "tensor.pad")
    for pad in pads:
        if _generic(pad.operands[0]) is None:
            raise CannotBlock("a border around what is not computed")
        _check(pad.operands[0], _amounts(pad))
    for pad in pads:
        with ir.InsertionPoint(pad), pad.location:
            made = _masked(_widened(pad.operands[0], _amounts(pad)), pad)
        pad.results[0].replace_all_uses_with(made)
        _erase_dead(pad)


def _amounts(pad: ir.Operation) -> list[Amount]:
    return list(zip(*pad_amounts(pad), strict=True))


def _generic(value: ir.Value) -> ir.Operation | None:
    made = None if isinstance(value.owner, ir.Block) else value.owner.operation
    return made if made is not None and made.name == "linalg.generic" else None


def _inputs(op: ir.Operation, amounts: Sequence[Amount]) -> Iterator[tuple[ir.Value, list[Amount]]]:
    """Yield the operands of an operation, and what is added to their dims if so much is to the result's."""
    loops: dict[int, Amount] = {}
    for e, amount in zip(indexing_maps(op)[-1].results, amounts, strict=True):
        if any(amount):
            if not isinstance(e, ir.AffineDimExpr):
                raise CannotBlock("a border around a compound index")
            loops[ir.AffineDimExpr(e).position] = amount
    for operand, m in zip(op.operands, indexing_maps(op), strict=True):
        yield operand, [_of_dim(e, m.n_dims, loops) for e in m.results]


def _of_dim(e: ir.AffineExpr, count: int, loops: Mapping[int, Amount]) -> Amount:
    """Return what is added to a dim that is read by an index over so many loops."""
    moved = [d for d in loops if mentions(e, {d})]
    if not moved:
        return 0, 0
    step = index_at(e, count, moved[0]) - index_at(e, count, None)
    if len(moved) > 1 or step <= 0:
        raise CannotBlock("an index that a border does not move by a constant")
    low, high = loops[moved[0]]
    return step * low, step * high


def _check(value: ir.Value, amounts: Sequence[Amount]) -> None:
    op = _generic(value)
    if op is None or not segments(op)[0]:
        return
    if len(list(value.uses)) != 1:
        raise CannotBlock("a value is read with a border and without")
    for operand, added in _inputs(op, amounts):
        if any(map(any, added)):
            _check(operand, added)


def _widened(value: ir.Value, amounts: Sequence[Amount]) -> ir.Value:
    """Return a value of larger extents, which is what it was inside; its border may hold anything."""
    if not any(map(any, amounts)):
        return value
    sizes = [low + size + high for (low, high), size in zip(amounts, shape(value), strict=True)]
    op = _generic(value)
    if op is not None:
        shared = not segments(op)[0]  # what reductions start from
        op = op.clone() if shared else op
        made = rebuilt(op, [_widened(o, added) for o, added in _inputs(op, amounts)], sizes, {})
        if shared:
            op.erase()
        return made
    element = ir.RankedTensorType(value.type).element_type
    if not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.empty":
        return tensor.EmptyOp(sizes, element).result
    return border.made_later(value, [low for low, _ in amounts], sizes, ir.FloatAttr.get(element, 0.0))


def _masked(value: ir.Value, pad: ir.Operation) -> ir.Value:
    """Return `value` inside of the border of `pad`, and what that pads with in it."""
    op = _generic(value)
    assert op is not None
    if "reduction" in iterators(op):
        identity = ir.AffineMap.get_identity(len(shape(value)))
        op = generic([value], [identity] * 2, shape(value), 0, lambda inner: inner[0])
    last = list(op.regions[0].blocks[0].operations)[-1].operation
    with ir.InsertionPoint(last):
        inside = _inside(op, pad)
        if inside is not None:
            around = arith.constant(last.operands[0].type, value_of(pad))
            last.operands[0] = arith.select(inside, last.operands[0], around)
    return op.results[0]


def _inside(op: ir.Operation, pad: ir.Operation) -> ir.Value | None:
    """Return whether the point that the body of `op` computes lies inside of the border."""
    made: ir.Value | None = None
    for e, (low, high), size in zip(indexing_maps(op)[-1].results, _amounts(pad), shape(pad.operands[0]), strict=True):
        if not low and not high:
            continue
        index: ir.Value = linalg.IndexOp(ir.AffineDimExpr(e).position).result
        if low:
            index = arith.subi(index, arith.constant(ir.IndexType.get(), low))
        below = arith.cmpi(arith.CmpIPredicate.ult, index, arith.constant(ir.IndexType.get(), size))
        made = below if made is None else arith.andi(made, below)
    return made


def _erase_dead(op: ir.Operation) -> None:
    operands = list(op.operands)
    op.erase()
    for value in operands:
        made = _generic(value)
        if made is not None and not list(value.uses):
            _erase_dead(made)
