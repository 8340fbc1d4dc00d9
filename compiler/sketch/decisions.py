"""The decisions of the register-tiled sketch: for each, its legal values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd, prod

from ansorc.compiler.sketch.kind import Decision, Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.steps import AFTER_ALL, BEFORE_ALL, DIRECT, IN_CHUNK, IN_REGISTERS, MAX_UNROLLED
from ansorc.dialect_passes.schedule.border import EACH_CHUNK, EACH_READ, STEP_BEFORE, WHERE_NEEDED
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.skip_taps import Skip

MAX_VECTORS = 8
LEAST_LANES = 4


OFTEN_READ = 320
"""Weights that are used so many times in a task cost little to wait for: 16 FMAs take as long as fetching them."""
MOST_UNROLLED = 4
LEAST_PART = 32
"""Steps of a part of the reduction: fewer are not worth loading and storing the sums."""
PARTS = (128, 256, 512)
MAX_BLOCK_BYTES = 256 << 10
"""Largest block of sums of a chunk, and largest padded tile: they lie on the stack of a thread."""
MAX_ROOM = 512 << 10
"""Largest room for a padded tile whose rows lie as far apart as those of the input; little of it is touched."""
BROADCAST_BYTES = 64
"""Vectors of so many bytes are multiplied by a number in memory, which takes no register."""


@cache
def divisors(number: int) -> tuple[int, ...]:
    """Return the divisors of a number in ascending order."""
    return tuple(d for d in range(1, number + 1) if number % d == 0)


@dataclass(frozen=True, order=True)
class Lanes(Decision[LoopNest]):
    """Elements of a vector: a power of two that divides the channels."""

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = gcd(nest.parallel[-1], machine.lanes(nest.element_bytes))
        return tuple(sorted((d for d in divisors(most) if d >= LEAST_LANES), reverse=True))


@dataclass(frozen=True, order=True)
class Vectors(Decision[LoopNest]):
    """Vectors of channels in a register tile."""

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(d for d in divisors(nest.parallel[-1] // chosen["lanes"]) if d <= MAX_VECTORS)


@dataclass(frozen=True, order=True)
class PackOperand(Decision[LoopNest]):
    """Whether what is read by channels is packed into panels first, at run time (1); weights always are, before."""

    role = "packing"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return (0, 1) if nest.packable is not None and nest.outer[-1] > 1 else (0,)


@dataclass(frozen=True, order=True)
class RegisterTile(Decision[LoopNest]):
    """Iterations of one outer loop in a register tile; the loops before it in the space are decided already."""

    dim: int
    """Which of the outer loops."""
    tiled: tuple[str, ...]
    """Names of the register tiles decided before this one."""

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        vectors = chosen["vectors"]
        taken = vectors * prod(chosen[name] for name in self.tiled)
        most = min(register_budget(nest, machine, vectors) // taken, nest.outer[self.dim])
        return tuple(range(1, most + 1))


@dataclass(frozen=True, order=True)
class Chunk(Decision[LoopNest]):
    """Iterations of one loop in a parallel chunk: a divisor of its extent that holds a register tile."""

    role = "parallel"

    extent_of: str
    """`blocks` of channels, or the number of an outer loop."""
    tile: str
    """Name of the register tile of this loop; empty for blocks."""

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        step = chosen[self.tile] if self.tile else 1
        return tuple(d for d in divisors(extent(nest, chosen, self.extent_of)) if d >= step)


@dataclass(frozen=True, order=True)
class ChannelsInside(Decision[LoopNest]):
    """Whether a chunk walks over blocks of channels in its innermost loop (1) or its outermost (0)."""

    role = "location"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        whole = all(chosen[f"chunk_{k}"] % chosen[f"tile_{k}"] == 0 for k in nest.tileable)
        # MLIR finds no fill to fuse into a third loop below one that is peeled.
        return (0, 1) if chosen["chunk_blocks"] > 1 and whole else (0,)


@dataclass(frozen=True, order=True)
class PadInside(Decision[LoopNest]):
    """Who pads: each chunk what it reads (1), those alone that read a border (2), or a parallel step before (0).

    Or nobody (3): vectors that are read ask whether they lie in the border.
    """

    role = "location"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        border = nest.border
        if border is None:
            return (STEP_BEFORE,)
        # Of windows that each channel has for itself, vectors are read.
        reads = (EACH_READ,) if nest.reductions and not nest.contraction and border.in_place else ()
        tile = border.tile(chunk_of(nest, chosen))
        fits = prod(tile) * border.element_bytes <= MAX_BLOCK_BYTES
        if not fits or chunk_of(nest, chosen) == [*nest.parallel, *nest.reductions]:
            return (*reads, STEP_BEFORE)
        room = border.room(tile)
        apart = room is not None and room <= MAX_ROOM and crossing(nest, chosen) < 1
        return (EACH_CHUNK, *((WHERE_NEEDED,) if apart else ()), *reads, STEP_BEFORE)


@dataclass(frozen=True, order=True)
class CopyColumns(Decision[LoopNest]):
    """Whether windows are copied into columns (im2col): not, in each chunk (1), or in a parallel step before (2)."""

    role = "algorithm"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        whole = all(chosen[f"chunk_{k}"] == e for k, e in enumerate(nest.outer))
        one = whole and chosen["chunk_blocks"] == extent(nest, chosen, "blocks")
        fits = column_bytes(nest, [chosen[f"chunk_{k}"] for k in range(len(nest.outer))]) <= MAX_BLOCK_BYTES
        return (DIRECT, *((IN_CHUNK,) if fits and not one else ()), BEFORE_ALL)


@dataclass(frozen=True, order=True)
class SkipTaps(Decision[LoopNest]):
    """Whether taps that lie in a border of zeros are left out (1), where register tiles are of one output there."""

    role = "algorithm"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return (1, 0) if skipped(nest, chosen) else (0,)


@dataclass(frozen=True, order=True)
class Finish(Decision[LoopNest]):
    """Where sums become results: the epilogue's compute location.

    In registers, tile by tile; in each chunk, whose sums wait in a block; or in a parallel step after all others.
    """

    role = "location"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        width = chosen["lanes"] * chosen["vectors"]
        block = width * chosen["chunk_blocks"] * prod(chosen[f"chunk_{k}"] for k in range(len(nest.outer)))
        near = (IN_CHUNK,) if block * nest.element_bytes <= MAX_BLOCK_BYTES else ()
        return (IN_REGISTERS, *near, *((AFTER_ALL,) if nest.epilogue_cycles else ()))


@dataclass(frozen=True, order=True)
class Part(Decision[LoopNest]):
    """Iterations of the innermost reduction loop that all of a chunk takes before the next ones.

    0 sums from the first iteration to the last. Otherwise the panel of a part stays in the first cache, and the sums
    of a chunk wait in a block for the next part.
    """

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if not nest.contraction or chosen["finish"] != IN_CHUNK:
            return (0,)
        steps = nest.reductions[-1]
        useful = [d for d in divisors(steps) if LEAST_PART <= d < steps]
        near = (max((d for d in useful if d <= size), default=0) for size in PARTS)
        return (0, *sorted({d for d in near if d}))


@dataclass(frozen=True, order=True)
class Stream(Decision[LoopNest]):
    """Whether the result is written past the caches (1), as is worth it where the last of them does not hold it."""

    role = "location"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if not machine.x86 or chosen["lanes"] * nest.element_bytes != machine.vector_bytes:
            return (0,)
        return (1, 0) if nest.operands[-1].size >= machine.l3_bytes else (0, 1)


@dataclass(frozen=True, order=True)
class UnrollReduction(Decision[LoopNest]):
    """How often the innermost reduction loop is unrolled; for a window without channels, whether all of it is.

    The weights of an unrolled window stay in registers: with more than one vector of them, LLVM spills. But where
    vectors ask whether they lie in a border, loops over taps ask again and again.
    """

    role = "unroll"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if not nest.reductions:
            return (1,)
        if not nest.contraction:
            return unrolled_windows(nest, chosen)
        order = (
            (MOST_UNROLLED, 2, 1)
            if interleaves(machine, accumulators(chosen) // chosen["vectors"], chosen["vectors"])
            else (1, 2, MOST_UNROLLED)
        )
        return tuple(f for f in order if (chosen.get("part") or nest.reductions[-1]) % f == 0)


@dataclass(frozen=True, order=True)
class Prefetch(Decision[LoopNest]):
    """How many reduction steps ahead the weights are fetched (0: not by instructions)."""

    role = "unroll"

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if not nest.reads_weights:
            return (0,)
        return (16, 0, 4, 64) if prod(nest.outer) < OFTEN_READ else (0, 4, 16, 64)


def chunk_of(nest: LoopNest, chosen: Values) -> list[int]:
    """Return the iterations of a chunk: of outer loops, channels, and reductions."""
    channels = chosen["lanes"] * chosen["vectors"] * chosen["chunk_blocks"]
    return [*(chosen[f"chunk_{k}"] for k in range(len(nest.outer))), channels, *nest.reductions]


def crossing(nest: LoopNest, chosen: Values) -> float:
    """Return which share of the chunks reads a border."""
    assert nest.border is not None
    chunk = chunk_of(nest, chosen)
    # Channels move no dim that has a border.
    loops = [*nest.outer, chunk[len(nest.outer)], *nest.reductions]
    return nest.border.crossing(chunk, loops)


def skipped(nest: LoopNest, chosen: Values) -> list[Skip]:
    """Return which loops may leave out taps in register tiles of these sizes."""
    return [s for s in nest.skips if chosen.get(f"tile_{s.loop}", 1) == 1]


def column_bytes(nest: LoopNest, outer: Sequence[int]) -> int:
    """Return the bytes of the columns of so many iterations of each outer loop."""
    positions, window = nest.columns
    return prod(outer[k] for k in positions) * prod(nest.reductions[k] for k in window) * nest.element_bytes


def unrolled_windows(nest: LoopNest, chosen: Values) -> tuple[int, ...]:
    """Return how often the taps of a window without channels may be unrolled: all, or not."""
    if nest.steps * accumulators(chosen) > MAX_UNROLLED:
        return (1,)
    return (nest.steps, 1) if chosen["vectors"] == 1 or chosen.get("border") == EACH_READ else (1, nest.steps)


def accumulators(chosen: Values) -> int:
    """Return how many vector registers a register tile sums in."""
    return chosen["vectors"] * prod(v for name, v in chosen.items() if name.startswith("tile_"))


def interleaves(machine: Machine, rows: int, vectors: int) -> bool:
    """Whether the steps of an unrolled loop have registers enough: LLVM interleaves them, and may spill accumulators.

    It likes to multiply one vector of weights with all rows: their numbers are in registers, then, where several
    vectors use them. The thresholds are what spilled of all tiles of 16 and of 32 registers.
    """
    spare = machine.vector_registers - rows * vectors - vectors - 1
    if vectors == 1 and machine.vector_bytes == BROADCAST_BYTES:
        return spare >= 2
    return spare >= min(max(rows - 3, 1), 5)


def register_budget(nest: LoopNest, machine: Machine, vectors: int) -> int:
    """Return how many accumulators fit into registers beside the weights of a step and a value of the input."""
    if nest.contraction:
        return machine.vector_registers - vectors - 1
    return window_budget(machine) if nest.reductions else 8


def window_budget(machine: Machine) -> int:
    """Return how many accumulators of a window fit, whose steps are all unrolled and load all that they read."""
    return 16 if machine.vector_registers > 16 else 8


def extent(nest: LoopNest, chosen: Values, of: str) -> int:
    """Return the extent of a loop of the blocked root."""
    if of == "blocks":
        return nest.parallel[-1] // (chosen["lanes"] * chosen["vectors"])
    return nest.outer[int(of)]


def space(nest: LoopNest) -> tuple[Decision[LoopNest], ...]:
    """Return the decisions of the register-tiled sketch, in the order in which they are made."""
    tiles: list[RegisterTile] = []
    for dim in nest.tileable:
        tiles.append(RegisterTile(f"tile_{dim}", dim, tuple(t.name for t in tiles)))
    named = {t.dim: t.name for t in tiles}
    chunks = [Chunk("chunk_blocks", "blocks", "")]
    chunks += [Chunk(f"chunk_{k}", str(k), named.get(k, "")) for k in range(len(nest.outer))]
    return (Lanes("lanes"), Vectors("vectors"), PackOperand("pack"), *tiles, *chunks, ChannelsInside("channels_inside"),
            PadInside("border"),
            *((CopyColumns("columns"),) if nest.windows else ()), *((SkipTaps("skip"),) if nest.skips else ()),
            *((Finish("finish"), Part("part")) if nest.reductions else ()), UnrollReduction("unroll"),
            Prefetch("prefetch"), *((Stream("stream"),) if nest.streams else ()))  # fmt: skip
