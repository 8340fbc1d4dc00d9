"""Pieces of a padded tensor: the borders that lie in one are filled, around a copy of what lies in it of the source.

%s = padded(%x, offset %i, 6)
--> %s[0 : max(1 - %i, 0)] filled, then %x[max(%i - 1, 0) : ...] copied, then the rest filled

%s = where_needed(%x, offset %i, 6)
--> %m = scf.if (1 <= %i <= 51) { view of %x } else { the same in a buffer whose rows lie as far apart }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import arith, bufferization, linalg, memref, scf, tensor

from ansorc.dialect_passes.ir_walk import shape

Number = int | ir.Value
"""An index that is known, or computed."""
ALIGNMENT = 64
"""Bytes; as bufferization aligns its own."""


@dataclass(frozen=True)
class Surrounded:
    """What surrounds what."""

    source: ir.Value
    low: list[int]
    value: ir.Attribute
    in_place: bool = False
    """Whether a piece that no border lies in is read where it is."""

    @property
    def element(self) -> ir.Type:
        """The type of an element."""
        return ir.RankedTensorType(self.source.type).element_type


@dataclass(frozen=True)
class _Plan:
    """How a piece is put together."""

    fills: list[tuple[list[Number], list[Number]]]
    """Offsets and sizes of what is filled, in the piece."""
    reads: list[Number]
    starts: list[Number]
    counts: list[Number]
    """So much of the source, from `reads` on, is copied to `starts`."""


def whole(border: Surrounded, sizes: Sequence[int]) -> ir.Value:
    """Return all of the padded tensor."""
    return piece(border, [0] * len(sizes), sizes)


def piece(border: Surrounded, offsets: Sequence[Number], sizes: Sequence[int]) -> ir.Value:
    """Return a piece of the padded tensor in a buffer of its own."""
    return padded(border, offsets, tensor.EmptyOp(list(sizes), border.element).result)


def padded(border: Surrounded, offsets: Sequence[Number], made: ir.Value) -> ir.Value:
    """Return a piece of the padded tensor, written at the insertion point into what is `made` for it."""
    plan = _plan(border, offsets, shape(made))
    value = arith.constant(border.element, border.value)
    for place, extents in plan.fills:
        made = _put(linalg.fill(value, outs=[_cut(made, place, extents)]), made, place, extents)
    copied = linalg.copy(_cut(border.source, plan.reads, plan.counts), outs=[_cut(made, plan.starts, plan.counts)])
    return _put(copied, made, plan.starts, plan.counts)


def where_needed(border: Surrounded, offsets: Sequence[Number], sizes: Sequence[int]) -> ir.Value:
    """Return a slice of the source, or a padded piece whose rows lie as far apart: one code reads either.

    In buffers: of tensors that may be either, bufferization forgets the strides, and copies what is written for one.
    """
    source = shape(border.source)
    room, inside = as_in(source, sizes), _lies_inside(border.low, offsets, sizes, source)
    if inside is False or room is None:
        return piece(border, offsets, sizes)
    begin = [_minus(offset, low) for offset, low in zip(offsets, border.low, strict=True)]
    if inside is True:
        return _cut(border.source, begin, sizes)
    buffer = bufferization.to_buffer(ir.MemRefType.get(source, border.element), border.source, read_only=True)
    strides = [prod(source[k + 1 :]) for k in range(len(source))]
    layout = ir.StridedLayoutAttr.get(ir.ShapedType.get_dynamic_stride_or_offset(), strides)
    kind = ir.MemRefType.get(list(sizes), border.element, layout)
    either = scf.IfOp(inside, [kind], has_else=True)
    with ir.InsertionPoint(either.then_block):
        scf.yield_([memref.cast(kind, _view(buffer, begin, sizes))])
    with ir.InsertionPoint(either.regions[1].blocks[0]):
        made = memref.alloc(ir.MemRefType.get(room, border.element), [], [], alignment=ALIGNMENT)
        plan, value = _plan(border, offsets, sizes), arith.constant(border.element, border.value)
        for place, extents in plan.fills:
            linalg.fill(value, outs=[_view(made, place, extents)])
        linalg.copy(_view(buffer, plan.reads, plan.counts), outs=[_view(made, plan.starts, plan.counts)])
        # No view: the strides of unit dims may differ.
        start = ir.MemRefType.get(list(sizes), border.element, ir.StridedLayoutAttr.get(0, strides))
        tile = memref.ReinterpretCastOp(start, made, [], [], [], [0], list(sizes), strides)
        scf.yield_([memref.cast(kind, tile)])
    kind = ir.RankedTensorType.get(list(sizes), border.element)
    return bufferization.ToTensorOp(kind, either.results[0], restrict=True).result


def as_in(source: Sequence[int], tile: Sequence[int]) -> list[int] | None:
    """Return the sizes of a buffer in which a tile lies as in its source; None where a row of it is longer."""
    first = next((k for k, size in enumerate(tile) if size > 1), 0)
    if any(size > extent for size, extent in zip(tile[first + 1 :], source[first + 1 :], strict=True)):
        return None
    return [*tile[: first + 1], *source[first + 1 :]]


def _plan(border: Surrounded, offsets: Sequence[Number], sizes: Sequence[int]) -> _Plan:
    source, rank = shape(border.source), len(sizes)
    starts, reads, counts = list[Number](), list[Number](), list[Number]()
    for offset, size, low, extent in zip(offsets, sizes, border.low, source, strict=True):
        start = _least(size, _most(_minus(low, offset), 0))  # all of a piece may lie in a border
        starts.append(start)
        reads.append(_most(_minus(offset, low), 0))
        counts.append(_most(_minus(_least(size, _minus(low + extent, offset)), start), 0))
    fills = list[tuple[list[Number], list[Number]]]()
    for dim in range(rank):
        end = _plus(starts[dim], counts[dim])
        for start, count in ((0, starts[dim]), (end, _minus(sizes[dim], end))):
            if count == 0 or (border.low[dim] == 0 and sizes[dim] == source[dim]):
                continue
            # Of the dims before this one the borders are filled already.
            place = [*starts[:dim], start, *[0] * (rank - dim - 1)]
            fills.append((place, [*counts[:dim], count, *sizes[dim + 1 :]]))
    return _Plan(fills, reads, starts, counts)


def _lies_inside(
    lows: Sequence[int], offsets: Sequence[Number], sizes: Sequence[int], source: Sequence[int]
) -> ir.Value | bool:
    """Whether no border lies in a piece, as far as that is known."""
    tests = list[ir.Value]()
    for low, offset, size, extent in zip(lows, offsets, sizes, source, strict=True):
        if isinstance(offset, int):
            if offset < low or offset + size > low + extent:
                return False
            continue
        tests.append(arith.cmpi(arith.CmpIPredicate.sge, offset, _value(low)))
        tests.append(arith.cmpi(arith.CmpIPredicate.sle, offset, _value(low + extent - size)))
    made: ir.Value | bool = True
    for test in tests:
        made = test if made is True else arith.andi(made, test)
    return made


def _cut(value: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number]) -> ir.Value:
    dynamic, static = _split(sizes)
    kind = ir.RankedTensorType.get(static, ir.RankedTensorType(value.type).element_type)
    places, known = _split(offsets)
    return tensor.ExtractSliceOp(kind, value, places, dynamic, [], known, static, [1] * len(static)).result


def _put(inner: ir.Value, into: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number]) -> ir.Value:
    dynamic, static = _split(sizes)
    places, known = _split(offsets)
    return tensor.InsertSliceOp(inner, into, places, dynamic, [], known, static, [1] * len(static)).result


def _view(buffer: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number]) -> ir.Value:
    own = ir.MemRefType(buffer.type)
    strides, _ = own.get_strides_and_offset()
    dynamic, static = _split(sizes)
    places, known = _split(offsets)
    start = sum(o * s for o, s in zip(known, strides, strict=True)) if not places else None
    layout = ir.StridedLayoutAttr.get(ir.ShapedType.get_dynamic_stride_or_offset() if start is None else start, strides)
    kind = ir.MemRefType.get(static, own.element_type, layout)
    return memref.SubViewOp(kind, buffer, places, dynamic, [], known, static, [1] * len(static)).result


def _split(numbers: Sequence[Number]) -> tuple[list[ir.Value], list[int]]:
    computed = [n for n in numbers if isinstance(n, ir.Value)]
    dynamic = ir.ShapedType.get_dynamic_size()
    return computed, [dynamic if isinstance(n, ir.Value) else n for n in numbers]


def _value(number: Number) -> ir.Value:
    return number if isinstance(number, ir.Value) else arith.constant(ir.IndexType.get(), number)


def _plus(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return arith.addi(_value(a), _value(b))


def _minus(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        return a - b
    return a if b == 0 else arith.subi(_value(a), _value(b))


def _most(a: Number, b: int) -> Number:
    return max(a, b) if isinstance(a, int) else arith.maxsi(a, _value(b))


def _least(a: int, b: Number) -> Number:
    return min(a, b) if isinstance(b, int) else arith.minsi(_value(a), b)
