"""Taps of a window that read nothing but the zeros of a border are not computed.

    depth 2, 3 taps, one plane of zeros on either side: of the 6 products of planes, 2 are of zeros

The anchor gets an operand that is no number but a place: its tiles tell which output and which tap they are of.

    %p = "ansorc.place"() {...} : tensor<2x3xf32>; anchor ins(..., %p) reads p[depth, tap]
    --> the script cuts loops
    scf.for %tap = 0 to 3 { anchor ins(..., %p[%depth, %tap]) }
    --> settle
    scf.for %tap = max(0, 1 - %depth) to min(3, 3 - %depth) { anchor }

Where a tile has several outputs or taps, nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mlir import ir
from mlir.dialects import affine

from ansorc.dialect_passes import zero_border
from ansorc.dialect_passes.ir_walk import (
    collect,
    functions,
    index_at,
    indexing_maps,
    iterators,
    mentions,
    pad_amounts,
    segments,
    shape,
    value_of,
)
from ansorc.dialect_passes.schedule.build_generic import body_of, generic
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape
from ansorc.dialect_passes.slices import offsets_of

PLACE = "ansorc.place"
PRODUCT = ("arith.mulf", "arith.addf", "linalg.yield")
PURE = ("affine.apply", "arith.constant", "arith.addi", "arith.muli", "arith.subi")


@dataclass(frozen=True, order=True)
class Skip:
    """A parallel loop that moves a window into a border of zeros, and the loop over the taps of that window."""

    loop: int
    tap: int
    """Both by their numbers among the anchor's loops."""
    outputs: int
    taps: int
    stride: int
    dilation: int
    low: int
    """Zeros before what is no border."""
    inside: int
    """Elements that are no border."""

    @cached_property
    def share(self) -> float:
        """Which part of all taps is left."""
        left = 0
        for output in range(self.outputs):
            reads = (self.stride * output + self.dilation * tap for tap in range(self.taps))
            left += sum(self.low <= read < self.low + self.inside for read in reads)
        return left / (self.outputs * self.taps)


def skips_of(function: ir.Operation, task: TaskShape) -> tuple[Skip, ...]:
    """Return what may be skipped of the anchor of a task, if that is a sum of products."""
    anchor, extents = task.anchor, (*task.parallel, *task.reductions)
    if anchor is None or tuple(o.operation.name for o in anchor.regions[0].blocks[0].operations) != PRODUCT:
        return ()
    kinds, m, found = iterators(anchor), indexing_maps(anchor)[0], list[Skip]()
    zeros = _zeros(function, anchor.operands[0]) or ((0, 0),) * len(m.results)
    for expr, size, (low, high) in zip(m.results, shape(anchor.operands[0]), zeros, strict=True):
        moved = [d for d in range(m.n_dims) if mentions(expr, {d}) and extents[d] > 1]
        if low + high == 0 or len(moved) != 2 or [kinds[d] for d in moved] != ["parallel", "reduction"]:
            continue
        start = index_at(expr, m.n_dims, None)
        stride, dilation = (index_at(expr, m.n_dims, d) - start for d in moved)
        loop, tap = moved
        skip = Skip(loop, tap, extents[loop], extents[tap], stride, dilation, low - start, size - low - high)
        if min(stride, dilation) > 0 and skip.share < 1:
            found.append(skip)
    return tuple(found)


def _zeros(function: ir.Operation, value: ir.Value) -> tuple[tuple[int, int], ...]:
    """Return the same of what an anchor reads."""
    if isinstance(value.owner, ir.Block):
        found = zero_border.of_argument(function, ir.BlockArgument(value).arg_number)
        return found if len(found) == len(shape(value)) else ()
    pad = value.owner.operation
    zero = pad.name == "tensor.pad" and is_zero(value_of(pad))
    return tuple(zip(*pad_amounts(pad), strict=True)) if zero else ()


def is_zero(number: ir.Attribute) -> bool:
    """Whether an attribute is the number 0.0."""
    return isinstance(number, ir.FloatAttr) and number.value == 0


def mark(anchor: ir.Operation, skips: Sequence[Skip]) -> None:
    """Replace an anchor by one with an operand for each of `skips`, whose loops have the anchor's numbers."""
    inputs, count = list(anchor.operands)[:-1], len(iterators(anchor))
    maps = indexing_maps(anchor)
    element = ir.RankedTensorType(anchor.results[0].type).element_type
    with ir.InsertionPoint(anchor), anchor.location:
        for skip in skips:
            numbers = [skip.outputs, skip.taps, skip.stride, skip.dilation, skip.low, skip.inside]
            attributes: dict[str, ir.Attribute] = {"numbers": ir.DenseI64ArrayAttr.get(numbers)}
            kind = ir.RankedTensorType.get(numbers[:2], element)
            inputs.append(ir.Operation.create(PLACE, [kind], [], attributes).results[0])
            loops = [ir.AffineDimExpr.get(d) for d in (skip.loop, skip.tap)]
            maps.insert(-1, ir.AffineMap.get(count, 0, loops))
    _rebuild(anchor, inputs, maps)


def settle(module: ir.Module) -> None:
    """Let the loops over taps leave out what a script made it possible to, and forget the places."""
    for function in functions(module):
        for op in collect(function, PLACE):
            skip = Skip(0, 0, *ir.DenseI64ArrayAttr(op.attributes["numbers"]))
            readers = list(_readers(op.results[0], _Position.whole(skip)))
            for _, position in readers:
                _narrow(skip, readers, position)
        for op in collect(function, "linalg.generic"):
            known = [k for k, v in enumerate(op.operands) if not _is_place(v)]
            if len(known) < len(op.operands):
                maps = indexing_maps(op)
                _rebuild(op, [op.operands[k] for k in known[:-1]], [maps[k] for k in known])
        for op in collect(function, PLACE):
            _erase(op)


def _rebuild(op: ir.Operation, inputs: Sequence[ir.Value], maps: Sequence[ir.AffineMap]) -> None:
    """Replace a generic by one of more or fewer inputs, which its body does not use."""
    before = segments(op)[0]
    own = ("indexing_maps", "iterator_types", "operandSegmentSizes")
    kept = {name: op.attributes[name] for name in op.attributes if name not in own}
    build, known = body_of(op), min(before, len(inputs))
    nothing = list(op.regions[0].blocks[0].arguments)[known:before]

    def body(inner: Sequence[ir.Value]) -> ir.Value:
        return build([*list(inner)[:known], *nothing, inner[-1]])

    with ir.InsertionPoint(op), op.location:
        new = generic(inputs, maps, op.operands[before], iterators(op).count("reduction"), body, kept)
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()


@dataclass(frozen=True)
class _Position:
    """Which outputs and taps a piece of a place is of."""

    dims: tuple[int, ...]
    """For each dim of the piece: 0 for outputs, 1 for taps."""
    starts: tuple[tuple[int | ir.Value, ...], tuple[int | ir.Value, ...]]
    """What its first output, and its first tap, is the sum of."""
    sizes: tuple[int, int]

    @staticmethod
    def whole(skip: Skip) -> _Position:
        return _Position((0, 1), ((), ()), (skip.outputs, skip.taps))

    def cut(self, piece: ir.Operation) -> _Position:
        """Return the position of a slice of this piece."""
        offsets, cut = offsets_of(piece), list(ir.DenseI64ArrayAttr(piece.attributes["static_sizes"]))
        starts, sizes = [list(s) for s in self.starts], list(self.sizes)
        for dim, offset, size in zip(self.dims, offsets, cut, strict=True):
            starts[dim].append(offset)
            sizes[dim] = size
        left = list(shape(piece.results[0]))
        dims = self.dims
        if len(left) < len(dims):  # what is left out is 1 long, and needs no name any more
            dims = tuple(d for d, size in zip(dims, cut, strict=True) if size != 1)[: len(left)]
            dims = (*dims, *(self.dims[0] for _ in range(len(left) - len(dims))))
        return _Position(dims, (tuple(starts[0]), tuple(starts[1])), (sizes[0], sizes[1]))


def _readers(value: ir.Value, position: _Position) -> Iterator[tuple[ir.Operation, _Position]]:
    for use in value.uses:
        user = use.owner.operation
        if user.name == "tensor.extract_slice":
            yield from _readers(user.results[0], position.cut(user))
        elif user.name == "linalg.generic":
            yield user, position


def _narrow(skip: Skip, readers: Sequence[tuple[ir.Operation, _Position]], position: _Position) -> None:
    """Change the bounds of the loop over taps around one of the tiles of an anchor, if it is of one output and one tap.

    A loop around tiles of other outputs goes over all taps: where a chunk takes the reduction in parts.
    """
    outputs, taps = position.starts
    loops = [v.owner.owner.operation for v in taps if isinstance(v, ir.Value) and isinstance(v.owner, ir.Block)]
    known = [v for v in taps if isinstance(v, int)]
    if position.sizes != (1, 1) or len(loops) != 1 or len(loops) + len(known) < len(taps) or any(known):
        return
    loop = loops[0]
    if loop.name != "scf.for" or [_number(v) for v in list(loop.operands)[:3]] != [0, skip.taps, 1]:
        return
    if any(p.starts != position.starts or p.sizes != position.sizes for r, p in readers if _is_inside(r, loop)):
        return
    moved = [_before(v, loop) for v in outputs if isinstance(v, ir.Value)]
    if any(v is None for v in moved):
        return
    with ir.InsertionPoint(loop), loop.location:
        position_of = ir.AffineExpr.get_constant(sum(v for v in outputs if isinstance(v, int)))
        for k in range(len(moved)):
            position_of = position_of + ir.AffineDimExpr.get(k)
        # The first tap that reads an element, and the first one behind the last that does.
        first, end = (
            ir.AffineExpr.get_ceil_div(edge - position_of * skip.stride, skip.dilation)
            for edge in (skip.low, skip.low + skip.inside)
        )
        zero, all_taps = (ir.AffineExpr.get_constant(n) for n in (0, skip.taps))
        values = [v for v in moved if v is not None]
        loop.operands[0] = affine.AffineMaxOp(ir.AffineMap.get(len(moved), 0, [zero, first]), values).result
        loop.operands[1] = affine.AffineMinOp(ir.AffineMap.get(len(moved), 0, [all_taps, end]), values).result


def _is_inside(op: ir.Operation, loop: ir.Operation) -> bool:
    while op != loop and op.parent is not None:
        op = op.parent.operation
    return op == loop


def _number(value: ir.Value) -> int | None:
    made = None if isinstance(value.owner, ir.Block) else value.owner.operation
    return ir.IntegerAttr(made.attributes["value"]).value if made and made.name == "arith.constant" else None


def _before(value: ir.Value, loop: ir.Operation) -> ir.Value | None:
    """Return an index as it is known before a loop; None where the loop computes it."""
    if isinstance(value.owner, ir.Block):
        inside: ir.Operation | None = value.owner.owner.operation
        made = None
    else:
        inside = made = value.owner.operation
    while inside is not None and inside != loop:
        parent = inside.parent
        inside = parent.operation if parent is not None and parent.operation.name != "builtin.module" else None
    if inside is None:
        return value
    if made is None or made == loop or made.name not in PURE:
        return None
    operands = [_before(v, loop) for v in made.operands]
    if any(v is None for v in operands):
        return None
    with ir.InsertionPoint(loop):
        clone = made.clone()
    for k, operand in enumerate(operands):
        assert operand is not None
        clone.operands[k] = operand
    return clone.results[0]


def _is_place(value: ir.Value) -> bool:
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.extract_slice":
        value = value.owner.operation.operands[0]
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == PLACE


def _erase(op: ir.Operation) -> None:
    """Erase an operation with the slices of its result."""
    for user in [use.owner.operation for use in op.results[0].uses]:
        _erase(user)
    op.erase()
