"""The border of what an anchor reads, where nobody could write it before: of a graph's input, say.

    %p = tensor.pad %x
    --> put_off, before a script: into what no pass looks into
    %p = "ansorc.pad"(%x)
    --> the script tiles what reads it
    scf.forall (%i) { %s = tensor.extract_slice %p[%i, 0] [6, 58]; ... }
    --> settle: each chunk has its own
    scf.forall (%i) { %s = the borders that lie in it, filled, around a copy of what lies in it of %x; ... }

Or one parallel step pads for all chunks: a copy of %p is tiled like everything else, and its chunks pad right into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import arith, linalg, tensor

from ansorc.dialect_passes.ir_walk import (
    body,
    collect,
    functions,
    index_at,
    indexing_maps,
    pad_amounts,
    shape,
    value_of,
)
from ansorc.dialect_passes.schedule.words import match_attribute, tile

LATER = "ansorc.pad"
Number = int | ir.Value
"""An index that is known, or computed."""
STEP = "ansorc.border"
"""Marks the copy that is a step of its own."""
CHUNKS = 8
"""How many that is cut into, at least."""


@dataclass(frozen=True, order=True)
class Border:
    """A padded input, as numbers."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    sizes: tuple[int, ...]
    """Extents of the padded tensor."""
    windows: tuple[tuple[int, ...], ...]
    """For each dim, how far an iteration of each loop moves the index: parallel loops, then reductions."""
    element_bytes: int

    @property
    def size(self) -> int:
        """Bytes of the padded tensor."""
        return prod(self.sizes) * self.element_bytes

    def tile(self, extents: Sequence[int]) -> tuple[int, ...]:
        """Return the extents of what so many iterations of each loop read."""
        spans = (1 + sum(abs(c) * (e - 1) for c, e in zip(w, extents, strict=True)) for w in self.windows)
        return tuple(map(min, spans, self.sizes))


def border_of(anchor: ir.Operation) -> Border | None:
    """Return the border of what an anchor reads first; None where its task pads nothing."""
    value, m = anchor.operands[0], indexing_maps(anchor)[0]
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "tensor.pad":
        return None
    low, high = pad_amounts(value.owner.operation)
    dims = range(m.n_dims)
    windows = [tuple(index_at(e, m.n_dims, d) - index_at(e, m.n_dims, None) for d in dims) for e in m.results]
    sizes, kind = shape(value), ir.RankedTensorType(value.type)
    return Border(
        tuple(low), tuple(high), tuple(sizes), tuple(windows), max(1, getattr(kind.element_type, "width", 64) // 8)
    )


def input_pads(function: ir.Operation) -> list[ir.Operation]:
    """Return the pads of a task that are not its result."""
    *content, ret = [o.operation for o in body(function).operations]
    results = list(ret.operands)
    return [op for op in content if op.name == "tensor.pad" and op.results[0] not in results]


def write_out(function: ir.Operation) -> None:
    """Write padded inputs into buffers of their own, without a script."""
    for pad in input_pads(function):
        with ir.InsertionPoint(pad), pad.location:
            out = _whole(_Pad.of(pad), shape(pad.results[0]))
        pad.results[0].replace_all_uses_with(out)
        pad.erase()


def put_off(function: ir.Operation, *, inside: bool) -> None:
    """Let padded inputs be made after the script: `inside` of the chunks that read them, or in a step before."""
    for pad in input_pads(function):
        kind = ir.RankedTensorType(pad.results[0].type)
        with ir.InsertionPoint(pad), pad.location:
            made = made_later(pad.operands[0], pad_amounts(pad)[0], kind.shape, value_of(pad))
            if not inside:
                made = linalg.copy(made, outs=[tensor.EmptyOp(list(kind.shape), kind.element_type).result])
                made.owner.operation.attributes[STEP] = ir.UnitAttr.get()
        pad.results[0].replace_all_uses_with(made)
        pad.erase()


def made_later(value: ir.Value, low: Sequence[int], sizes: Sequence[int], around: ir.Attribute) -> ir.Value:
    """Return `value` with a border that is made after the script; `sizes` are those of the result."""
    kind = ir.RankedTensorType.get(list(sizes), ir.RankedTensorType(value.type).element_type)
    attributes = {"low": ir.DenseI64ArrayAttr.get(list(low)), "value": around}
    return ir.Operation.create(LATER, [kind], [value], attributes).results[0]


def step_before(sizes: Sequence[int]) -> list[str]:
    """Return the lines of a script that cut the step before into chunks; `sizes` are those of the padded tensor."""
    cut = chunks_of_step(sizes)
    if not cut:
        return []
    return [match_attribute("%border0", STEP), tile("%border0", "%border1", ["%borders"], cut, "forall")]


def chunks_of_step(sizes: Sequence[int]) -> list[int]:
    """Return the tile sizes that cut a copy of so many elements into a few chunks; none where there is one."""
    cut, chunks = [0] * len(sizes), 1
    for k, size in enumerate(sizes[:-1]):
        if chunks < CHUNKS and size > 1:
            cut[k], chunks = 1, chunks * size
    return cut[: max((k for k, c in enumerate(cut) if c), default=-1) + 1]


def settle(module: ir.Module) -> None:
    """Make what was put off: what each chunk reads, or all of it where a script cut no chunks."""
    for function in functions(module):
        for op in collect(function, LATER):
            border = _Pad(op.operands[0], list(ir.DenseI64ArrayAttr(op.attributes["low"])), op.attributes["value"])
            for user in [use.owner.operation for use in op.results[0].uses]:
                if user.name == "tensor.extract_slice" and _is_tile(user):
                    _replace_slice(user, border)
                elif STEP in user.attributes:
                    _replace_copy(user, border, [0] * len(border.low))
            if list(op.results[0].uses):
                with ir.InsertionPoint(op), op.location:
                    op.results[0].replace_all_uses_with(_whole(border, shape(op.results[0])))
            op.erase()


@dataclass(frozen=True)
class _Pad:
    """What surrounds what."""

    source: ir.Value
    low: list[int]
    value: ir.Attribute

    @staticmethod
    def of(pad: ir.Operation) -> "_Pad":
        return _Pad(pad.operands[0], pad_amounts(pad)[0], value_of(pad))


def _is_tile(user: ir.Operation) -> bool:
    sizes, strides = (list(ir.DenseI64ArrayAttr(user.attributes[n])) for n in ("static_sizes", "static_strides"))
    return all(size != _dynamic() for size in sizes) and set(strides) == {1}


def _replace_slice(user: ir.Operation, border: _Pad) -> None:
    static, sizes = (list(ir.DenseI64ArrayAttr(user.attributes[n])) for n in ("static_offsets", "static_sizes"))
    computed = iter(list(user.operands)[1:])
    offsets = [next(computed) if offset == _dynamic() else offset for offset in static]
    users = [use.owner.operation for use in user.results[0].uses]
    if len(users) == 1 and STEP in users[0].attributes:
        _replace_copy(users[0], border, offsets)
        user.erase()
        return
    with ir.InsertionPoint(user), user.location:
        out = tensor.EmptyOp(sizes, ir.RankedTensorType(user.results[0].type).element_type).result
        made = _padded(border, offsets, out)
        if made.type != user.results[0].type:  # unit dims are left out
            zeros, ones = [0] * len(sizes), [1] * len(sizes)
            made = tensor.ExtractSliceOp(user.results[0].type, made, [], [], [], zeros, sizes, ones).result
    user.results[0].replace_all_uses_with(made)
    user.erase()


def _replace_copy(copy: ir.Operation, border: _Pad, offsets: Sequence[Number]) -> None:
    """Pad where a piece would be copied to."""
    with ir.InsertionPoint(copy), copy.location:
        made = _padded(border, offsets, copy.operands[1])
    copy.results[0].replace_all_uses_with(made)
    copy.erase()


def _whole(border: _Pad, sizes: Sequence[int]) -> ir.Value:
    out = tensor.EmptyOp(list(sizes), ir.RankedTensorType(border.source.type).element_type).result
    return _padded(border, [0] * len(sizes), out)


def _padded(border: _Pad, offsets: Sequence[Number], made: ir.Value) -> ir.Value:
    """Return a piece of the padded tensor, written at the insertion point into what is `made` for it."""
    source, sizes = border.source, shape(made)
    rank = len(sizes)
    kind = ir.RankedTensorType(source.type)
    starts, reads, counts = list[Number](), list[Number](), list[Number]()
    for offset, size, low, extent in zip(offsets, sizes, border.low, shape(source), strict=True):
        start = _least(size, _most(_minus(low, offset), 0))  # all of a piece may lie in a border
        starts.append(start)
        reads.append(_most(_minus(offset, low), 0))
        counts.append(_most(_minus(_least(size, _minus(low + extent, offset)), start), 0))
    value = arith.constant(kind.element_type, border.value)
    for dim in range(rank):
        end = _plus(starts[dim], counts[dim])
        for start, count in ((0, starts[dim]), (end, _minus(sizes[dim], end))):
            if count == 0 or (border.low[dim] == 0 and sizes[dim] == shape(source)[dim]):
                continue
            # Of the dims before this one the borders are filled already.
            place = [*starts[:dim], start, *[0] * (rank - dim - 1)]
            extents = [*counts[:dim], count, *sizes[dim + 1 :]]
            made = _put(linalg.fill(value, outs=[_cut(made, place, extents)]), made, place, extents)
    copied = linalg.copy(_cut(source, reads, counts), outs=[_cut(made, starts, counts)])
    return _put(copied, made, starts, counts)


def _cut(value: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number]) -> ir.Value:
    dynamic, static = _split(sizes)
    kind = ir.RankedTensorType.get(static, ir.RankedTensorType(value.type).element_type)
    places, known = _split(offsets)
    return tensor.ExtractSliceOp(kind, value, places, dynamic, [], known, static, [1] * len(static)).result


def _put(piece: ir.Value, into: ir.Value, offsets: Sequence[Number], sizes: Sequence[Number]) -> ir.Value:
    dynamic, static = _split(sizes)
    places, known = _split(offsets)
    return tensor.InsertSliceOp(piece, into, places, dynamic, [], known, static, [1] * len(static)).result


def _split(numbers: Sequence[Number]) -> tuple[list[ir.Value], list[int]]:
    computed = [n for n in numbers if isinstance(n, ir.Value)]
    return computed, [_dynamic() if isinstance(n, ir.Value) else n for n in numbers]


def _dynamic() -> int:
    return ir.ShapedType.get_dynamic_size()


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
