"""Let the parts of a concatenation be written where they will lie, and pieces be read where they are.

    %a = conv ...; %b = conv ...; %c = tensor.concat dim(3) %a, %b; %p = tensor.pad %c
    -->
    %a = conv ...; %a1 = tensor.pad %a; ...; %p = tensor.concat dim(3) %a1, %b1

The concatenation stays in @main and costs nothing: each part is the result of a task, in rows of the whole
(`dialect_passes.pitch`), and has one place. Channels between zeros of which only slices are read, neighbours of
each, are parts as well. What cannot be written there, an input or what lies in another concatenation already, is
copied by a task of its own. A slice that no task takes in stays in @main, too, as `tensor.extract_slice ...
{ansorc.view}`: whoever reads it reads rows of what it is cut from.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from mlir import ir
from mlir.dialects import arith, linalg, tensor

from ansorc.dialect_passes.graph.groups import SHADOWS, VIEWS, before_collapse
from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import body, pad_amounts, shape, value_of
from ansorc.dialect_passes.pitch import Pitch

CONCAT = "tensor.concat"
VIEW = "ansorc.view"
"""Of a slice that is a view."""
NO_TASKS = (*VIEWS, *SHADOWS, "ml_program.global_load_const")


def run(main: ir.Operation) -> None:
    """Bring the concatenations of @main, in place, into the form where `place_of` holds for all of their parts."""
    for op in [o.operation for o in body(main).operations]:
        if op.name == "tensor.pad":
            _pad_by_parts(op)
    _nest(main)
    for op in [o.operation for o in body(main).operations]:
        if op.name == "tensor.pad":
            _pad_parts(op)
    # The last ones first: where a whole lies decides what may lie in it.
    for op in reversed([o.operation for o in body(main).operations]):
        if op.name == CONCAT:
            for number, part in enumerate(list(op.operands)):
                if not _may_lie_in(op, number, part):
                    with ir.InsertionPoint(op), op.location:
                        kind = ir.RankedTensorType(part.type)
                        out = tensor.EmptyOp(list(kind.shape), kind.element_type).result
                        op.operands[number] = linalg.copy(part, outs=[out])


def _pad_by_parts(pad: ir.Operation) -> None:
    """Concatenate channels and the zeros around them, if only slices are read: no schedule writes such a border."""
    source, axis = pad.operands[0], len(shape(pad.operands[0])) - 1
    low, high = pad_amounts(pad)
    if any(low[:axis]) or any(high[:axis]) or len(pad.operands) != 1:
        return
    readers = [use.owner.operation for use in pad.results[0].uses]
    if not all(op.name == "tensor.extract_slice" and _place_of_slice(op) for op in readers):
        return
    with ir.InsertionPoint(pad), pad.location:
        number = arith.constant(ir.RankedTensorType(source.type).element_type, value_of(pad))
        parts = [_channels(number, source, low[axis]), source, _channels(number, source, high[axis])]
        whole = tensor.ConcatOp(pad.results[0].type, axis, [part for part in parts if shape(part)[axis]]).result
    pad.results[0].replace_all_uses_with(whole)
    pad.erase()


def _channels(number: ir.Value, like: ir.Value, count: int) -> ir.Value:
    out = tensor.EmptyOp([*shape(like)[:-1], count], number.type).result
    return linalg.fill(number, outs=[out])


def _nest(main: ir.Operation) -> None:
    """Let a concatenation that begins with all parts of another begin with that: the parts are in one, then.

    Dense blocks are written so: every layer concatenates what all layers before it made.
    """
    known: dict[tuple[int, tuple[ir.Value, ...]], ir.Value] = {}
    for op in [o.operation for o in body(main).operations]:
        if op.name != CONCAT:
            continue
        axis, parts = _axis(op), tuple(op.operands)
        starts = ((known[axis, parts[:k]], k) for k in range(len(parts) - 1, 1, -1) if (axis, parts[:k]) in known)
        start = next(starts, None)
        value = op.results[0]
        if start is not None:
            with ir.InsertionPoint(op), op.location:
                value = rebuilt(op, [start[0], *parts[start[1] :]], shape(value), {})
            op.results[0].replace_all_uses_with(value)
            op.erase()
        known.setdefault((axis, parts), value)


def place_of(value: ir.Value) -> tuple[ir.Value, int, Pitch | None]:
    """Return in which value another one lies, from which element on, and in what rows if there are several."""
    value = viewed(value)
    if not isinstance(value.owner, ir.Block) and VIEW in value.owner.operation.attributes:
        place = _place_of_slice(value.owner.operation)
        assert place is not None
        return place
    use = next(iter(_part_of(value)), None)
    if use is None:
        return value, 0, None
    concat, number = use
    axis = _axis(concat)
    parts = [shape(v) for v in concat.operands]
    before = sum(prod(sizes[axis:]) for sizes in parts[:number])
    whole, offset, outer = place_of(concat.results[0])
    if prod(parts[number][:axis]) == 1:
        return whole, offset + before, None
    step = prod(shape(concat.results[0])[axis:])
    return whole, offset + before, Pitch(prod(parts[number][axis:]), outer.step if outer else step)


def is_cut_from_parts(op: ir.Operation) -> bool:
    """Whether an operation is a slice of a concatenation."""
    source = op.operands[0] if op.name == "tensor.extract_slice" else None
    return source is not None and not isinstance(source.owner, ir.Block) and source.owner.operation.name == CONCAT


def view_slice(op: ir.Operation) -> bool:
    """Make a slice a view, if its elements lie in rows of what it is cut from, and if whoever reads it can say so."""
    place = _place_of_slice(op) if op.name == "tensor.extract_slice" else None
    if place is None or any(user.name in (CONCAT, "func.return") for user, _ in _readers(op.results[0])):
        return False
    source = viewed(op.operands[0])
    if not isinstance(source.owner, ir.Block) and source.owner.operation.name in NO_TASKS:
        return False
    if place[2] is not None and not _has_rows(op.results[0], place[2]):
        return False
    op.attributes[VIEW] = ir.UnitAttr.get()
    if all(_is_placed(user) for user, _ in _readers(op.results[0]) if VIEW in user.attributes):
        return True
    del op.attributes[VIEW]
    return False


def _is_placed(view: ir.Operation) -> bool:
    """Whether a slice can be a view still, and what is cut from it."""
    place = _place_of_slice(view)
    if place is None or (place[2] is not None and not _has_rows(view.results[0], place[2])):
        return False
    return all(_is_placed(user) for user, _ in _readers(view.results[0]) if VIEW in user.attributes)


def _place_of_slice(op: ir.Operation) -> tuple[ir.Value, int, Pitch | None] | None:
    """Return the same of a slice; None where it has steps, or is cut in several dims."""
    source, sizes = shape(op.operands[0]), shape(op.results[0])
    offsets, steps = (list(ir.DenseI64ArrayAttr(op.attributes[n])) for n in ("static_offsets", "static_strides"))
    cut = [d for d, (a, b) in enumerate(zip(source, sizes, strict=False)) if a != b]
    if len(source) != len(sizes) or len(cut) != 1 or set(steps) != {1} or len(op.operands) != 1:
        return None
    axis = cut[0]
    whole, offset, outer = place_of(op.operands[0])
    before = offsets[axis] * prod(source[axis + 1 :])
    if outer is not None and prod(sizes[:axis]) == 1 and prod(source[axis + 1 :]) % outer.row == 0:
        return whole, offset + before // outer.row * outer.step, outer  # whole rows of rows
    offset += before
    if outer is None and prod(sizes[:axis]) == 1:
        return whole, offset, None
    step = prod(source[axis:])
    if outer is not None and outer.row != step:
        return None
    return whole, offset, Pitch(prod(sizes[axis:]), outer.step if outer else step)


def viewed(value: ir.Value) -> ir.Value:
    """Return what a view looks at."""
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name in VIEWS:
        value = value.owner.operation.operands[0]
    return value


def _axis(concat: ir.Operation) -> int:
    return ir.IntegerAttr(concat.attributes["dim"]).value


def _readers(value: ir.Value) -> Iterator[tuple[ir.Operation, int]]:
    """Yield what reads a value or a view of it, and as which operand; no views."""
    for use in value.uses:
        user = use.owner.operation
        if user.name in VIEWS:
            yield from _readers(user.results[0])
        else:
            yield user, use.operand_number


def _part_of(value: ir.Value) -> list[tuple[ir.Operation, int]]:
    return [(user, number) for user, number in _readers(value) if user.name == CONCAT]


def _may_lie_in(concat: ir.Operation, number: int, part: ir.Value) -> bool:
    """Whether a part is made by a task that can write it as the operand `number` of a concatenation."""
    made = viewed(part)
    if isinstance(made.owner, ir.Block) or made.owner.operation.name in NO_TASKS:
        return False
    if _part_of(made) != [(concat, number)] or any(user.name == "func.return" for user, _ in _readers(made)):
        return False
    axis, sizes = _axis(concat), shape(part)
    row = prod(sizes[axis:])
    if row == prod(sizes):
        return True
    inner = made.owner.operation
    if inner.name == CONCAT and prod(shape(made)[_axis(inner) :]) != row:
        return False  # its own parts would lie in rows of rows
    return _has_rows(made, Pitch(row, row + 1))


def _has_rows(value: ir.Value, pitch: Pitch) -> bool:
    """Whether a value and all views of it have dims that end where its rows do."""
    views = [u.owner.operation.results[0] for u in value.uses if u.owner.operation.name in VIEWS]
    return pitch.strides(shape(value)) is not None and all(_has_rows(v, pitch) for v in views)


def _pad_parts(pad: ir.Operation) -> None:
    """Pad the parts of a concatenation instead of the whole, if whoever makes them can write the border."""
    owner = pad.operands[0].owner
    if isinstance(owner, ir.Block) or owner.operation.name != CONCAT or len(list(pad.operands[0].uses)) != 1:
        return
    concat = owner.operation
    axis = _axis(concat)
    if len(pad.operands) != 1 or any(amounts[axis] for amounts in pad_amounts(pad)):
        return
    if not all(_writes_a_border(v) for v in concat.operands):
        return
    padded = shape(pad.results[0])
    parts: list[ir.Value] = []
    with ir.InsertionPoint(pad), pad.location:
        for part in concat.operands:
            sizes = [shape(part)[d] if d == axis else size for d, size in enumerate(padded)]
            clone = pad.clone()
            parts.append(rebuilt(clone, [part], sizes, {}))
            clone.erase()
        result = rebuilt(concat, parts, padded, {})
    pad.results[0].replace_all_uses_with(result)
    pad.erase()
    concat.erase()


def _writes_a_border(value: ir.Value) -> bool:
    value = before_collapse(value)
    if isinstance(value.owner, ir.Block) or not value.owner.operation.name.startswith("linalg."):
        return False
    return len(list(value.uses)) == 1
