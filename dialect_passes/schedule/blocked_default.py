"""Choose the decisions of the blocked schedule by a closed-form estimate; nothing is measured.

A register tile of `row_tile` positions by `vectors` vectors takes, a reduction step, about

    max(row_tile * vectors / 2,            two FMA a cycle
        (row_tile + vectors) / 2,          two loads a cycle
        2 * vectors if from a panel,       the panel comes from L2 at half a vector a cycle
        4)                                 the latency of an FMA
    + (row_tile + vectors) / 10            every row is one more stream for the prefetcher

cycles, and the best tile is the one with the fewest cycles for a whole row.
"""

from dataclasses import dataclass
from math import gcd, prod

from ansorc.dialect_passes.schedule.blocked import BlockedDecisions
from ansorc.dialect_passes.schedule.machine import Machine

MAX_CHUNKS = 64
CHUNK_CYCLES = 10_000
"""Least work of a chunk: a few microseconds, so that handing it out costs nothing."""
SPARE_REGISTERS = 4
MAX_UNROLLED = 320
"""Most register-tile operations in an unrolled window: bounds the size of the code."""


@dataclass(frozen=True)
class Loops:
    """Loop extents of a task before blocking: the parallel ones (the last is the channel) and reductions."""

    parallel: tuple[int, ...]
    reductions: tuple[int, ...]
    contraction: bool
    epilogue_cycles: float = 1.0
    """Cycles that the root's body takes for one vector."""


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def choose(loops: Loops, machine: Machine, element_bytes: int) -> BlockedDecisions | None:
    """Return the decisions, or None where channels do not fill a useful vector."""
    channels = loops.parallel[-1]
    lanes = gcd(channels, machine.lanes(element_bytes))
    if lanes < 4:
        return None
    spatial = loops.parallel[:-1]
    row = _row_position(spatial)
    row_extent = spatial[row] if spatial else 1
    budget = machine.vector_registers - SPARE_REGISTERS
    if not loops.contraction:
        budget = min(budget, 16 if loops.reductions else 8)
    best = min(
        (_row_cycles(loops, row_extent, r, v) * (channels // lanes // v), -r * v, r, v)
        for v in divisors(channels // lanes)
        if v <= 8
        for r in range(1, min(row_extent, budget) + 1)
        if r * v <= budget
    )
    cycles, _, row_tile, vectors = best
    blocks = channels // (lanes * vectors)
    extents = (blocks, *spatial)
    row = row + 1 if spatial else 0
    vectors_stored = prod(loops.parallel) / lanes
    total = cycles * prod(spatial) / max(1, row_extent) + vectors_stored * loops.epilogue_cycles
    chunk = _chunk(extents, row, row_tile, total)
    steps = prod(loops.reductions) * row_tile * vectors
    return BlockedDecisions(
        lanes, vectors, row_tile, row, chunk, extents, loops.reductions,
        unroll=not loops.contraction and bool(loops.reductions) and steps <= MAX_UNROLLED,
    )  # fmt: skip


def _row_position(spatial: tuple[int, ...]) -> int:
    """The row is the innermost loop of a useful length, otherwise the longest."""
    for k in reversed(range(len(spatial))):
        if spatial[k] >= 4:
            return k
    return max(range(len(spatial)), key=lambda k: spatial[k], default=0)


def _row_cycles(loops: Loops, row: int, row_tile: int, vectors: int) -> float:
    steps = max(1, prod(loops.reductions))
    whole = _tile_cycles(loops, row_tile, vectors) * (row // row_tile)
    rest = _tile_cycles(loops, row % row_tile, vectors) if row % row_tile else 0
    return (whole + rest) * steps


def _tile_cycles(loops: Loops, row_tile: int, vectors: int) -> float:
    if not loops.contraction:
        return row_tile * vectors + 2  # every step loads
    streams = (row_tile + vectors) / 10
    return max(row_tile * vectors / 2, (row_tile + vectors) / 2, 2 * vectors, 4) + streams


def _chunk(extents: tuple[int, ...], row: int, row_tile: int, cycles: float) -> tuple[int, ...]:
    """Cut outer loops, channel blocks first, until there are enough chunks of enough work."""
    wanted = max(1, min(MAX_CHUNKS, int(cycles / CHUNK_CYCLES)))
    sizes, chunks = list(extents), 1
    for k, extent in enumerate(extents):
        if chunks >= wanted:
            break
        whole = [d for d in divisors(extent) if k != row or d % row_tile == 0 or d == extent]
        # The largest size that gives enough chunks; else the smallest there is.
        fitting = [d for d in whole if chunks * (extent // d) >= wanted]
        sizes[k] = max(fitting) if fitting else min(whole)
        chunks *= extent // sizes[k]
    return tuple(0 if s == e else s for s, e in zip(sizes, extents, strict=True))
