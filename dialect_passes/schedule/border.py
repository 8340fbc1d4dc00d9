"""The border of what an anchor reads, where nobody could write it before: of a graph's input, say.

    %p = tensor.pad %x
    --> put_off, before a script: into what no pass looks into
    %p = "ansorc.pad"(%x)
    --> the script tiles what reads it
    scf.forall (%i) { %s = tensor.extract_slice %p[%i, 0] [6, 58]; ... }
    --> settle: each chunk has its own
    scf.forall (%i) { %s = the borders that lie in it, filled, around a copy of what lies in it of %x; ... }
    --> or only where it needs one
    scf.forall (%i) { %s = scf.if (no border lies in it) { a slice of %x } else { the same copy }; ... }

Or one parallel step pads for all chunks: a copy of %p is tiled like everything else, and its chunks pad right into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes import pitch
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
from ansorc.dialect_passes.schedule import border_pieces, border_reads
from ansorc.dialect_passes.schedule.border_pieces import Number, Surrounded, as_in
from ansorc.dialect_passes.schedule.words import match_attribute, tile
from ansorc.dialect_passes.slices import offsets_of

LATER = "ansorc.pad"
STEP = "ansorc.border"
"""Marks the copy that is a step of its own."""
IN_PLACE = "in_place"
"""Marks what is read where it lies by chunks that need no border."""
UNMADE = "unmade"
"""Marks what nobody makes: vectors that are read ask whether they lie in the border."""
CHUNKS = 8
"""How many that is cut into, at least."""
STEP_BEFORE, EACH_CHUNK, WHERE_NEEDED, EACH_READ = range(4)
"""Who pads: a parallel step before, each chunk what it reads, the chunks alone that read a border, or nobody."""


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
    in_place: bool = True
    """Whether what a chunk reads of the input may be read where it lies: in an argument, as its shape says."""

    @property
    def size(self) -> int:
        """Bytes of the padded tensor."""
        return prod(self.sizes) * self.element_bytes

    def tile(self, extents: Sequence[int]) -> tuple[int, ...]:
        """Return the extents of what so many iterations of each loop read."""
        spans = (1 + sum(abs(c) * (e - 1) for c, e in zip(w, extents, strict=True)) for w in self.windows)
        return tuple(map(min, spans, self.sizes))

    def room(self, tile: Sequence[int]) -> int | None:
        """Return the bytes of a tile whose rows lie as far apart as those of the input; None where there is none."""
        source = [s - low - high for s, low, high in zip(self.sizes, self.low, self.high, strict=True)]
        sizes = as_in(source, tile)
        return None if sizes is None or not self.in_place else prod(sizes) * self.element_bytes

    def crossing(self, chunk: Sequence[int], loops: Sequence[int]) -> float:
        """Return which share of the chunks reads some border: so many iterations of each of `loops` are one's."""
        tile, inside = self.tile(chunk), 1.0
        for low, high, size, window, read in zip(self.low, self.high, self.sizes, self.windows, tile, strict=True):
            if not low and not high:
                continue
            starts = [0]
            for move, own, extent in zip(window, chunk, loops, strict=True):
                if move:
                    starts = [s + move * k for s in starts for k in range(0, extent, own)]
            inside *= sum(low <= s and s + read <= size - high for s in starts) / len(starts)
        return 1 - inside


def border_of(anchor: ir.Operation) -> Border | None:
    """Return the border of what an anchor reads first; None where its task pads nothing."""
    value, m = anchor.operands[0], indexing_maps(anchor)[0]
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "tensor.pad":
        return None
    low, high = pad_amounts(value.owner.operation)
    dims = range(m.n_dims)
    windows = [tuple(index_at(e, m.n_dims, d) - index_at(e, m.n_dims, None) for d in dims) for e in m.results]
    sizes, kind, source = shape(value), ir.RankedTensorType(value.type), value.owner.operation.operands[0]
    return Border(
        tuple(low), tuple(high), tuple(sizes), tuple(windows), max(1, getattr(kind.element_type, "width", 64) // 8),
        _is_as_it_looks(source),
    )  # fmt: skip


def _is_as_it_looks(source: ir.Value) -> bool:
    """Whether a value is an argument that lies in memory as its shape says."""
    if not isinstance(source.owner, ir.Block):
        return False
    return ir.BlockArgument(source).arg_number not in pitch.of_arguments(source.owner.owner.operation)


def input_pads(function: ir.Operation) -> list[ir.Operation]:
    """Return the pads of a task that are not its result."""
    *content, ret = [o.operation for o in body(function).operations]
    results = list(ret.operands)
    return [op for op in content if op.name == "tensor.pad" and op.results[0] not in results]


def write_out(function: ir.Operation) -> None:
    """Write padded inputs into buffers of their own, without a script."""
    for pad in input_pads(function):
        with ir.InsertionPoint(pad), pad.location:
            out = border_pieces.whole(surrounded(pad), shape(pad.results[0]))
        pad.results[0].replace_all_uses_with(out)
        pad.erase()


def put_off(function: ir.Operation, who: int) -> None:
    """Let padded inputs be made after the script, by whom the decision says."""
    for pad in input_pads(function):
        kind = ir.RankedTensorType(pad.results[0].type)
        with ir.InsertionPoint(pad), pad.location:
            made = made_later(pad.operands[0], pad_amounts(pad)[0], kind.shape, value_of(pad))
            if who == WHERE_NEEDED:
                made.owner.operation.attributes[IN_PLACE] = ir.UnitAttr.get()
            if who == EACH_READ:
                made.owner.operation.attributes[UNMADE] = ir.UnitAttr.get()
            if who == STEP_BEFORE:
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
        for op in [o for o in collect(function, LATER) if UNMADE not in o.attributes]:
            border = _surrounded_later(op)
            for user in [use.owner.operation for use in op.results[0].uses]:
                if user.name == "tensor.extract_slice" and _is_tile(user):
                    _replace_slice(user, border)
                elif STEP in user.attributes:
                    _replace_copy(user, border, [0] * len(border.low))
            if list(op.results[0].uses):
                with ir.InsertionPoint(op), op.location:
                    op.results[0].replace_all_uses_with(border_pieces.whole(border, shape(op.results[0])))
            op.erase()


def settle_reads(module: ir.Module) -> None:
    """Let vectors be read of what nobody makes; what else needs it gets its own."""
    for function in functions(module):
        for op in collect(function, LATER):
            border_reads.run(function, op.results[0], _surrounded_later(op))
            del op.attributes[UNMADE]
    settle(module)


def _surrounded_later(op: ir.Operation) -> Surrounded:
    low, value = ir.DenseI64ArrayAttr(op.attributes["low"]), op.attributes["value"]
    return Surrounded(op.operands[0], list(low), value, IN_PLACE in op.attributes)


def surrounded(pad: ir.Operation) -> Surrounded:
    """Return what a pad puts around what."""
    return Surrounded(pad.operands[0], pad_amounts(pad)[0], value_of(pad))


def _is_tile(user: ir.Operation) -> bool:
    sizes, strides = (list(ir.DenseI64ArrayAttr(user.attributes[n])) for n in ("static_sizes", "static_strides"))
    return all(size != ir.ShapedType.get_dynamic_size() for size in sizes) and set(strides) == {1}


def _replace_slice(user: ir.Operation, border: Surrounded) -> None:
    offsets, sizes = offsets_of(user), list(ir.DenseI64ArrayAttr(user.attributes["static_sizes"]))
    users = [use.owner.operation for use in user.results[0].uses]
    if len(users) == 1 and STEP in users[0].attributes:
        _replace_copy(users[0], border, offsets)
        user.erase()
        return
    with ir.InsertionPoint(user), user.location:
        made = (
            border_pieces.where_needed(border, offsets, sizes)
            if border.in_place
            else border_pieces.piece(border, offsets, sizes)
        )
        if made.type != user.results[0].type:  # unit dims are left out
            zeros, ones = [0] * len(sizes), [1] * len(sizes)
            made = tensor.ExtractSliceOp(user.results[0].type, made, [], [], [], zeros, sizes, ones).result
    user.results[0].replace_all_uses_with(made)
    user.erase()


def _replace_copy(copy: ir.Operation, border: Surrounded, offsets: Sequence[Number]) -> None:
    """Pad where a piece would be copied to."""
    with ir.InsertionPoint(copy), copy.location:
        made = border_pieces.padded(border, offsets, copy.operands[1])
    copy.results[0].replace_all_uses_with(made)
    copy.erase()
