"""An estimate of cycles in closed form.

The cycles of a task on one core are those of its busiest part and a share of the others:

    arithmetic  a reduction step of a register tile of `rows` positions by `vectors` vectors takes
                max(rows * vectors / 2 (two FMA a cycle), (rows + vectors) / 2 (two loads a cycle), 5 (latency));
                a tile begins, ends, and stores what it has
    L2          the panel of weights of a tile, where the first cache does not hold it, and the tile's input
    memory      weights, input and output, as often as the order of loops fetches each again

Nothing is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, prod

from ansorc.compiler.sketch import cache_sets, window_cost
from ansorc.compiler.sketch.cache_sets import CACHE_LINE
from ansorc.compiler.sketch.decisions import (
    MOST_UNROLLED,
    chunk_of,
    column_bytes,
    crossing,
    interleaves,
    skipped,
)
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.speeds import (
    CACHE_SHARE,
    FMA_LATENCY,
    FMA_PORTS,
    L2_BYTES_A_CYCLE,
    LOAD_PORTS,
    MEMORY_BYTES_A_CYCLE,
)
from ansorc.compiler.sketch.steps import AFTER_ALL, BEFORE_ALL
from ansorc.compiler.sketch.traffic import input_bytes, traffic
from ansorc.dialect_passes.schedule.border import EACH_READ, WHERE_NEEDED, Border
from ansorc.dialect_passes.schedule.machine import Machine

MAX_CHUNKS = 64
CHUNK_CYCLES = 10_000
"""Least work of a chunk: a few microseconds, so that handing it out costs nothing."""
THREADS = (1, 2, 4, 8)
TILE_CYCLES = 30.0
"""What a register tile costs besides its arithmetic: loops, addresses, a pipeline that starts empty."""
LOOP_CYCLES = {64: 1.0}
"""What a turn of the reduction loop costs besides its arithmetic, by bytes of a vector: of the ports that take scalar
operations, 512-bit multiplications use half, and others none that is missed."""
BURST_CYCLES = 0.007
"""The rows of a register tile reach their next cache lines in the same step: each waits for all others."""
CROWDED_CYCLES = 0.19
"""Rows that share a set of the first cache are more than it holds: each step waits for some. Grows by the square."""
SPLIT_CYCLES = 0.75
"""An argument starts anywhere: the vectors of one that is not packed cross cache lines."""
SPILL_FACTOR = 1.3
L2_WAYS = 16
WAIT_CYCLES = 2.0
"""Sums that wait for their epilogue are stored and loaded."""
PACK_CYCLES, PACK_BYTES_A_CYCLE = 3_000.0, 12.0
"""Packing is a parallel step more, and a copy with strides."""
BORDER_CYCLES, BORDER_BYTES_A_CYCLE = 200.0, 16.0
"""A chunk's own tile is filled at its borders, and else copied from where the second cache has it."""
OVERLAP = 0.25
"""The share of the lesser costs that the greatest does not hide."""


@dataclass(frozen=True)
class Cost:
    """Estimated cycles of a whole task on one core."""

    arithmetic: float
    l2: float
    memory: float

    @property
    def cycles(self) -> float:
        """The greatest part, and a share of the others."""
        parts = (self.arithmetic, self.l2, self.memory)
        return max(parts) + OVERLAP * (sum(parts) - max(parts))

    @property
    def bound(self) -> str:
        """Which part is the greatest."""
        parts = {"arithmetic": self.arithmetic, "L2": self.l2, "memory": self.memory}
        return max(parts, key=lambda name: parts[name])


def chunked_extents(nest: LoopNest, tiles: Values) -> dict[str, int]:
    """Return the extents of the loops that are cut into chunks, by the chunk's name."""
    blocks = nest.parallel[-1] // (tiles["lanes"] * tiles["vectors"])
    return {"chunk_blocks": blocks, **{f"chunk_{k}": e for k, e in enumerate(nest.outer)}}


def imbalance(chunks: int, most: int = MAX_CHUNKS) -> float:
    """Return how much longer the busiest thread works than the average, for some numbers of threads up to `most`."""
    threads = [t for t in THREADS if t <= most]
    return sum(-(-chunks // t) * t / chunks for t in threads) / len(threads)


def chunk_count(nest: LoopNest, values: Values) -> int:
    return prod(e // values[name] for name, e in chunked_extents(nest, values).items())


def estimate(nest: LoopNest, machine: Machine, values: Values) -> Cost:
    """Estimate a candidate; `values` may lack `columns`, `skip`, `finish`, `unroll`, `prefetch` and `stream`."""
    lanes, vectors = values["lanes"], values["vectors"]
    blocks = nest.parallel[-1] // (lanes * vectors)
    steps = max(1, nest.steps)
    taken = steps * prod(s.share for s in skipped(nest, values)) if values.get("skip", 1) else steps
    vector_bytes = lanes * nest.element_bytes
    finished = nest.epilogue_cycles + (WAIT_CYCLES if values.get("finish") else 0)
    tiles, arithmetic, l2 = 0, 0.0, 0.0
    panel = steps * vectors * vector_bytes if nest.contraction else 0
    fetched = panel / _panel_bytes_a_cycle(nest, machine, values, panel) if panel else 0.0
    shared = input_bytes(nest, shared=True)
    read = shared + (input_bytes(nest) - shared) / blocks
    for sizes, times in tile_kinds(nest, values):
        count, rows = times * blocks, prod(sizes)
        tiles += count
        if nest.slides:
            arithmetic += count * (window_cost.tile_cycles(nest, machine, values, sizes) + rows * vectors * finished)
            continue
        step = _step_cycles(nest, machine, values, rows) + CROWDED_CYCLES * _crowding(nest, machine, sizes)
        arithmetic += count * (taken * step + TILE_CYCLES)
        arithmetic += count * rows * vectors * (1 + finished)
        l2 += count * (fetched + read * rows / max(1, prod(nest.outer)) / L2_BYTES_A_CYCLE)
    if nest.slides:
        l2 = window_cost.near_bytes(nest, machine, values) / L2_BYTES_A_CYCLE
    if values.get("finish") == AFTER_ALL:
        arithmetic += PACK_CYCLES
    memory = traffic(nest, machine, values, panel, tiles // blocks).cycles(machine)
    if values.get("pack") and nest.packable is not None:
        # Most panels are read by another core than the one that wrote them.
        arithmetic += PACK_CYCLES + nest.packable.size * (2 / PACK_BYTES_A_CYCLE + 1 / MEMORY_BYTES_A_CYCLE)
    if nest.border is not None and values.get("border") != EACH_READ:
        tile = nest.border.tile(chunk_of(nest, values))
        chunks = chunk_count(nest, values) if values.get("border") else 0
        share = crossing(nest, values) if values.get("border") == WHERE_NEEDED else 1
        arithmetic += share * border_cycles(nest.border, prod(tile) * nest.element_bytes, chunks)
    if values.get("columns"):
        arithmetic += _column_cycles(nest, values)
    return Cost(arithmetic, l2, memory)


def _column_cycles(nest: LoopNest, values: Values) -> float:
    size = column_bytes(nest, nest.outer)
    if values["columns"] == BEFORE_ALL:
        return PACK_CYCLES + size * (2 / PACK_BYTES_A_CYCLE + 1 / MEMORY_BYTES_A_CYCLE)
    times = nest.parallel[-1] // (values["lanes"] * values["vectors"] * values["chunk_blocks"])
    return chunk_count(nest, values) * BORDER_CYCLES + times * size * 2 / PACK_BYTES_A_CYCLE


def border_cycles(border: Border, tile: int, chunks: int) -> float:
    """Return what it takes to pad: for each of some chunks a tile of so many bytes, or for 0 the whole input before."""
    if chunks:
        return chunks * (BORDER_CYCLES + tile / BORDER_BYTES_A_CYCLE)
    return PACK_CYCLES + border.size * (2 / PACK_BYTES_A_CYCLE + 1 / MEMORY_BYTES_A_CYCLE)


def _panel_bytes_a_cycle(nest: LoopNest, machine: Machine, values: Values, panel: int) -> float:
    """Return how fast a register tile reads its panel: from the nearest cache that holds it.

    Rows that lie a power of two apart share the sets of a cache: of a panel that is not packed, less fits.
    """
    operand = nest.packable
    apart = 0
    if operand is not None and not values.get("pack"):
        apart = min((s for s in operand.strides[len(nest.parallel) :] if s), default=0)
    l1_ways = cache_sets.ways(machine)
    for size, ways, speed in ((machine.l1_bytes, l1_ways, float("inf")), (machine.l2_bytes, L2_WAYS, L2_BYTES_A_CYCLE)):
        way = size // ways
        rows = size if apart < CACHE_LINE else way // gcd(apart, way) * ways
        if panel <= CACHE_SHARE * size and nest.steps <= CACHE_SHARE * rows:
            return speed
    return MEMORY_BYTES_A_CYCLE


def tile_kinds(nest: LoopNest, values: Values) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield (size in each tiled loop, how many) of the whole and the peeled register tiles of one block of channels."""
    tiled = nest.tileable
    kinds: list[list[tuple[int, int]]] = []
    for k in tiled:
        size, chunk = values[f"tile_{k}"], values[f"chunk_{k}"]
        times = nest.outer[k] // chunk
        kinds.append([(size, times * (chunk // size)), *([(chunk % size, times)] if chunk % size else [])])
    others = prod(e for k, e in enumerate(nest.outer) if k not in tiled)
    for combination in product(*kinds):
        yield tuple(size for size, _ in combination), others * prod(times for _, times in combination)


def _step_cycles(nest: LoopNest, machine: Machine, values: Values, rows: int) -> float:
    vectors = values["vectors"]
    if not nest.contraction:
        return rows * vectors + 2  # every step loads
    most = MOST_UNROLLED if interleaves(machine, rows, vectors) else 1
    cycles = product_step_cycles(machine, rows, vectors, values.get("unroll", most))
    return cycles if nest.packable is None or values.get("pack") else cycles + SPLIT_CYCLES * vectors


def _crowding(nest: LoopNest, machine: Machine, sizes: Sequence[int]) -> int:
    channel, held = len(nest.outer), cache_sets.ways(machine)
    read = [o for o in nest.operands[:-1] if not o.strides[channel]] if nest.contraction else []
    strides = [tuple(o.strides[k] for k in nest.tileable) for o in read]
    return sum(cache_sets.crowding(tuple(sizes), s, held) for s in strides if any(s))


def product_step_cycles(machine: Machine, rows: int, vectors: int, unrolled: int, *, near: bool = False) -> float:
    """Return the cycles of a reduction step of a register tile that reads its weights once and its rows once.

    Rows that are `near` lie in the first cache.
    """
    busiest = max(rows * vectors / FMA_PORTS, (rows + vectors) / LOAD_PORTS, FMA_LATENCY)
    cycles = busiest + LOOP_CYCLES.get(machine.vector_bytes, 0.1) / unrolled + (0 if near else BURST_CYCLES * rows**2)
    return cycles * SPILL_FACTOR if unrolled > 1 and not interleaves(machine, rows, vectors) else cycles


def product_tile_cycles(
    machine: Machine, rows: int, vectors: int, unrolled: int, steps: float, stride: int, before: float = 0.0
) -> float:
    """Return the cycles of a register tile of products whose rows lie `stride` bytes apart; `before` it come more.

    As many FMA begin in each as on most machines: where it are fewer, one is longer, and more passes beside them.
    """
    longer, fma = FMA_PORTS / machine.fma_ports, rows * vectors / FMA_PORTS
    crowded = CROWDED_CYCLES * cache_sets.crowding((rows,), (stride,), cache_sets.ways(machine))
    beside = product_step_cycles(machine, rows, vectors, unrolled) + crowded - fma
    return steps * (fma + beside / longer) + (TILE_CYCLES + before) / longer
