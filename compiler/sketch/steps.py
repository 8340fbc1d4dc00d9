"""The steps that a sketch is made of, and what each writes into the transform script.

    Block      channels become [blocks][vectors][lanes]
    Pack       an operand is copied into panels, some rows of one a chunk
    Pad        what the anchor reads gets its border, all of it or as much as a chunk reads
    Parallel   the root's loops are cut into chunks for `scf.forall`; anchor and fill move inside, or have their own
    Columns    the windows that the anchor reads are copied one behind the other, in each chunk or before
    Accumulate sums wait in a block of the chunk, perhaps a part of the reduction at a time
    Walk       loops over what a chunk has of one dimension, a register tile at a time
    Reduce     the anchor's reduction loops
    Peel       a last register tile that is not whole gets a kernel of its own

The epilogue is the root: it is tiled down to the register tile, and the anchor and its fill are fused into every
loop, so an accumulator is born, summed, finished and stored once. Or else it is computed later (`Finish`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ansorc.compiler.sketch.stage import Stage
from ansorc.dialect_passes.schedule import columns
from ansorc.dialect_passes.schedule.border import chunks_of_step, step_before
from ansorc.dialect_passes.schedule.words import OP, fuse, match_attribute, match_ops, patterns, tile

Values = Mapping[str, int]
IN_REGISTERS, IN_CHUNK, AFTER_ALL = range(3)
"""Where an epilogue is computed: with its register tile, when a chunk is summed, or in a parallel step of its own."""
DIRECT, BEFORE_ALL = 0, 2
"""Where windows are copied into columns, if not in each chunk: nowhere, or in a parallel step before."""
MAX_UNROLLED = 320
"""Most register-tile operations in an unrolled window: bounds the size of the code."""
ROWS_AT_ONCE = 4
"""Most rows of a panel that a step of packing copies."""
ROWS_A_CHUNK = 128
"""Most rows of a panel that one parallel chunk of packing copies."""


@dataclass
class Script(Stage):
    """The only stage of a register-tiled script in the making; its extents are those of [blocks, outer...]."""

    reductions: tuple[int, ...] = ()
    peeled: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Dims, and handles of the loops over them whose last register tile is not whole."""
    chunks: str = ""
    """The handle of the loop over chunks of the anchor; "": one is everything."""
    cached: bool = False
    """Whether the anchor sums into memory, and is tiled apart from its root."""


@dataclass(frozen=True, order=True)
class Step(ABC):
    """One step; its fields are names of decisions."""

    @abstractmethod
    def emit(self, values: Values, script: Any) -> None:
        """Write the step into the script that its kind makes."""

    def fields(self) -> list[Any]:
        """Return the fields in order, for JSON."""
        return [getattr(self, f.name) for f in fields(self)]

    @classmethod
    def of(cls, raw: Sequence[Any]) -> Step:
        """Make a step of what `fields` returned."""
        return cls(*map(_frozen, raw))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True, order=True)
class Block(Step):
    """Split the channels; done on the linalg operations before the script (see `prepare`)."""

    lanes: str
    vectors: str

    def emit(self, values: Values, script: Script) -> None:
        """Nothing: the script sees channels that are split already."""


@dataclass(frozen=True, order=True)
class Pack(Step):
    """Copy an operand into panels; the copy is made before the script (see `pack_operand`)."""

    pack: str
    leading: int
    """Dims of the packed operand before the last of its rows, the vectors and the lanes: chunks take one of each."""
    rows: int
    """Extent of the last of its rows."""

    def emit(self, values: Values, script: Script) -> None:
        """Tile the copy to some rows of one panel."""
        if not values[self.pack]:
            return
        chunk = max(d for d in range(1, min(ROWS_A_CHUNK, self.rows) + 1) if self.rows % d == 0)
        if ROWS_AT_ONCE * chunk < ROWS_A_CHUNK:  # rows of a prime number, say
            chunk = self.rows
        together = max(d for d in range(1, ROWS_AT_ONCE + 1) if chunk % d == 0)
        script.lines += [
            match_attribute("%pack0", "ansorc.pack"),
            tile("%pack0", "%pack1", ["%panels"], [*[1] * self.leading, chunk], "forall"),
            tile("%pack1", "%pack2", ["%rows"], [0] * self.leading + [together], "for"),
            # At once: as an identity it would be folded into a copy of slices, which stays scalar.
            f"  transform.structured.vectorize %pack2 : {OP}",
        ]


@dataclass(frozen=True, order=True)
class Pad(Step):
    """Pad what the anchor reads: in a parallel step here, or else for each chunk, after the script (see `border`)."""

    inside: str
    sizes: tuple[int, ...]
    """Extents of the padded tensor."""

    def emit(self, values: Values, script: Any) -> None:
        """Cut the parallel step into chunks, where it is one."""
        if not values[self.inside]:
            script.lines += step_before(self.sizes)


@dataclass(frozen=True, order=True)
class Parallel(Step):
    """Cut [blocks, outer...] into chunks."""

    chunks: tuple[str, ...]
    finish: str = ""
    """Where the root is computed; "": in the chunks of its anchor, if it has one."""

    def emit(self, values: Values, script: Script) -> None:
        """Tile by `scf.forall`, unless one chunk is everything."""
        sizes = [values[name] for name in self.chunks]
        if values.get(self.finish) != AFTER_ALL:
            script.chunks = script.descend(sizes, "forall")
            return
        handles = {"root": script.handles["anchor"], "fill": script.handles["fill"]}
        sums = Stage(script.lines, "sums.", list(script.extents), ("fill",), handles)
        results = script.apart("root")
        script.chunks = sums.descend(sizes, "forall")
        results.descend(sizes, "forall")
        script.handles = {"anchor": sums.handles["root"], "fill": sums.handles["fill"], "root": results.handles["root"]}
        script.extents, script.level, script.cached = sums.extents, sums.level, True


@dataclass(frozen=True, order=True)
class Columns(Step):
    """Copy windows into columns; the copy is made before the script (see `columns`)."""

    where: str
    positions: tuple[int, ...]
    """Extents of the loops that move the windows: the first dims of the columns."""
    window: int
    """Dims behind them: taps, and the channels last."""

    def emit(self, values: Values, script: Script) -> None:
        """Compute what a chunk reads inside of it, or all columns in a parallel step of their own."""
        where, rank = values.get(self.where), len(self.positions) + self.window
        if not where:
            return
        copy = "%columns0"
        script.lines.append(match_attribute(copy, columns.MARK))
        if where == IN_CHUNK:
            script.lines.append(fuse(copy, "%columns1", script.chunks, "%chunks"))
            copy = "%columns1"
        elif cut := chunks_of_step([*self.positions, *[1] * self.window]):
            script.lines.append(tile(copy, "%columns1", ["%columns"], cut, "forall"))
            copy = "%columns1"
        loops = [f"%column{k}" for k in range(rank - 1)]
        script.lines.append(tile(copy, "%columns2", loops, [1] * (rank - 1), "for"))


@dataclass(frozen=True, order=True)
class Accumulate(Step):
    """Let sums wait in a block of the chunk, all of them, or for the next part of the reduction."""

    steps: str
    """Iterations of the innermost reduction loop in a part; 0: the whole reduction."""
    finish: str = ""
    """Where the root is computed."""

    def emit(self, values: Values, script: Script) -> None:
        """Tile the anchor's reductions before its register tiles."""
        if values[self.finish] != IN_CHUNK:
            return
        script.cached = True
        # The block of sums is as large as a chunk, not a part of one as large as the result.
        script.lines += [match_ops("%sums", "func.func"), patterns("%sums", "tensor.fold_tensor_empty")]
        if not values[self.steps]:
            return
        sizes = [*(1 if extent > 1 else 0 for extent in script.reductions[:-1]), values[self.steps]]
        loops = [f"%part{k}" for k, size in enumerate(sizes) if size]
        parallel = [0] * (len(script.extents) + 2)
        script.lines.append(tile(script.handles["anchor"], "%part", loops, [*parallel, *sizes], "for"))
        script.handles["anchor"] = "%part"
        script.reductions = (*(1 for _ in sizes[:-1]), values[self.steps])


@dataclass(frozen=True, order=True)
class Walk(Step):
    """Walk over a chunk, one register tile at a time."""

    tiles: tuple[str, ...]
    """Tile of each of [blocks, outer...]; "" is one iteration."""
    channels_inside: str

    def emit(self, values: Values, script: Script) -> None:
        """Tile by `scf.for`, one loop for each dimension that is longer than its tile."""
        # Loops without a tile come first: below one that is peeled, MLIR finds no fill to fuse into a further loop.
        order = sorted(range(len(self.tiles)), key=lambda dim: bool(self.tiles[dim]))
        if values[self.channels_inside]:
            order = [*(dim for dim in order if dim), 0]
        if not script.cached:
            self._walk(values, script, script, order)
            return
        for part in ("fill", "anchor", "root"):
            stage = script.apart(part)
            self._walk(values, script, stage, order)
            script.handles[part] = stage.handles["root"]

    def _walk(self, values: Values, script: Script, stage: Stage, order: Sequence[int]) -> None:
        for dim in order:
            size = values[self.tiles[dim]] if self.tiles[dim] else 1
            left_over = stage.extents[dim] % size
            loop = stage.walk(dim, size)
            if left_over:
                script.peeled.append((dim, loop))


@dataclass(frozen=True, order=True)
class Reduce(Step):
    """Tile the anchor's reduction loops to one step, and unroll the innermost (or a whole small window)."""

    unroll: str
    window: bool

    def emit(self, values: Values, script: Script) -> None:
        """Tile the anchor alone."""
        tiled = [1 if extent > 1 else 0 for extent in script.reductions]
        if not any(tiled):
            return
        parallel = [0] * (len(script.extents) + 2)
        loops = [f"%reduce{k}" for k, t in enumerate(tiled) if t]
        script.lines.append(tile(script.handles["anchor"], "%step", loops, [*parallel, *tiled], "for"))
        factor = values[self.unroll]
        if factor == 1:
            return
        factors = [e for e in script.reductions if e > 1] if self.window else [factor]
        chosen = loops if self.window else loops[-1:]
        for loop, times in reversed(list(zip(chosen, factors, strict=True))):
            script.lines.append(f"  transform.loop.unroll {loop} {{factor = {times}}} : {OP}")


@dataclass(frozen=True, order=True)
class Peel(Step):
    """Give what a register tile leaves over a kernel of its own static size."""

    tiles: tuple[str, ...]

    def emit(self, values: Values, script: Script) -> None:
        """Peel loops from the inside out."""
        for k, (_, loop) in enumerate(sorted(script.peeled, key=lambda found: -found[0])):
            script.lines += peel(loop, k)


def peel(loop: str, number: int) -> list[str]:
    """Return the lines that split a loop's last iteration off, which is not whole."""
    cast, parts = f"%cast{number}", f"%main{number}, %rest{number}"
    return [
        f'  {cast} = transform.cast {loop} : {OP} to !transform.op<"scf.for">',
        f'  {parts} = transform.loop.peel {cast} : (!transform.op<"scf.for">) -> ({OP}, {OP})',
    ]


STEPS: dict[str, type[Step]] = {
    step.__name__: step for step in (Block, Pack, Pad, Parallel, Columns, Accumulate, Walk, Reduce, Peel)
}
"""Steps by the name that JSON has."""
