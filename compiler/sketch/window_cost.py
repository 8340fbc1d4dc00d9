"""Estimated cycles of register tiles that slide over what they read: depthwise convolutions and pools.

Where all taps are unrolled, LLVM loads what neighbouring outputs share once:

    2 rows of 7 outputs, 3x3 taps each: 126 multiplications, 36 inputs and 9 weights that are loaded

Else it does so for a row of taps: the innermost loop is unrolled in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from ansorc.compiler.sketch.cache_sets import WAY, ways
from ansorc.compiler.sketch.decisions import unrolled_windows
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.speeds import CACHE_SHARE, FMA_PORTS, LOAD_PORTS
from ansorc.dialect_passes.schedule.border import EACH_CHUNK, EACH_READ
from ansorc.dialect_passes.schedule.machine import Machine

WINDOW_TILE_CYCLES = 2.0
"""What a register tile costs besides its taps; the next one has begun meanwhile."""
LOAD_SHARE = 0.15
"""Of what loads take, where something else takes longer."""
STORE_CYCLES = 0.25
"""Of each vector of results; they are stored while the next tile is computed."""
SPARE_REGISTERS, RELOADING = 4, 1.3
"""Accumulators and all weights of an unrolled window fill the registers but a few; more are loaded again."""
LOOP_FACTOR = 2.0
"""Taps in a loop that ask for each vector whether it lies in the border."""
ASKING_CYCLES, ASKING_ROWS = 3.0, 0.5
"""To choose where a vector is read, and where a row of them is; tiles that read no border have code of their own."""
POSITION_BYTES = 300
"""Positions that share the sets of the first cache come one by one from the second: each as long as so many bytes."""


def tile_cycles(nest: LoopNest, machine: Machine, values: Values, sizes: Sequence[int]) -> float:
    """Return the cycles of a register tile, `sizes` of each of the loops that tiles cover."""
    innermost = max((j for j, n in enumerate(nest.reductions) if n > 1), default=0)
    taps, vectors = nest.reductions[innermost], values["vectors"]
    tiled = dict(zip(nest.tileable, sizes, strict=True))
    read, asked = nest.steps // taps, values.get("border") == EACH_READ
    if whole := is_unrolled(nest, values):
        inputs = positions(nest, [tiled.get(k, 1) for k in range(len(nest.outer))])
    else:
        along = {loop: step for loop, tap, step in nest.slides if tap == innermost}
        inputs = read * prod(distinct(n, along[k], taps) if k in along else n for k, n in tiled.items())
        inputs *= 1 if set(tiled) & set(along) else taps
    loads = vectors * (inputs + nest.steps * (len(nest.operands) - 2))
    products = vectors * prod(sizes) * nest.steps
    cycles = max(products / FMA_PORTS, loads / LOAD_PORTS) + LOAD_SHARE * loads
    if whole and vectors * (prod(sizes) + nest.steps) > machine.vector_registers - SPARE_REGISTERS:
        cycles *= RELOADING
    if asked:
        cycles = cycles * (1 if whole else LOOP_FACTOR) + vectors * inputs * _asking(nest, sizes)
    return cycles + WINDOW_TILE_CYCLES + STORE_CYCLES * vectors * prod(sizes)


def is_unrolled(nest: LoopNest, values: Values) -> bool:
    """Whether all taps of a register tile are."""
    return values.get("unroll", next(iter(unrolled_windows(nest, values)))) == nest.steps


def has_versions(nest: LoopNest, values: Values) -> bool:
    """Whether register tiles that may end in a border have code of their own: no tile is a whole row."""
    along = nest.tileable[:1]
    whole = all(values[f"tile_{k}"] >= nest.outer[k] for k in along)
    return values.get("border") == EACH_READ and not whole and is_unrolled(nest, values)


def _asking(nest: LoopNest, sizes: Sequence[int]) -> float:
    """Return what a vector costs that may be one of a border, and how many are: those of the first and last tiles."""
    tiles = [nest.outer[k] / size for k, size in zip(nest.tileable, sizes, strict=True)]
    share = 1 - prod(max(0.0, 1 - 2 / t) for t in tiles if t > 1)
    return share * (ASKING_CYCLES if tiles and tiles[0] > 1 else ASKING_ROWS)


def near_bytes(nest: LoopNest, machine: Machine, values: Values) -> float:
    """Return the bytes that come from the second cache."""
    width = values["lanes"] * values["vectors"] * nest.element_bytes
    blocks = nest.parallel[-1] // (values["lanes"] * values["vectors"])
    weights = nest.steps * width * (len(nest.operands) - 2)
    chunk = [values[f"chunk_{k}"] for k in range(len(nest.outer))]
    tile = [values.get(f"tile_{k}", 1) for k in range(len(nest.outer))]
    # What one row of outputs reads is to stay for the next row.
    rows = [c if k in nest.tileable[:1] else t for k, (c, t) in enumerate(zip(chunk, tile, strict=True))]
    together = blocks if values["channels_inside"] else 1
    chunks = prod(e // c for e, c in zip(nest.outer, chunk, strict=True))
    room = _room(nest, machine, values, width)
    if _stays(machine, room, positions(nest, rows), width * together, weights * together):
        return chunks * blocks * (positions(nest, chunk) * width + weights)
    one_block = not values["channels_inside"] and _stays(machine, room, positions(nest, tile), width, weights)
    walked = rows if one_block else tile
    times = prod(-(-c // w) for c, w in zip(chunk, walked, strict=True))
    line = width + (POSITION_BYTES if room < positions(nest, tile) else 0)
    return chunks * blocks * (times * positions(nest, walked) * line + weights)


def positions(nest: LoopNest, outputs: Sequence[int]) -> int:
    """Return how many positions of what is slid over so many outputs of each loop read."""
    taps = {loop: (nest.reductions[tap], step) for loop, tap, step in nest.slides}
    return prod(distinct(n, taps[k][1], taps[k][0]) if k in taps else n for k, n in enumerate(outputs))


def distinct(outputs: int, step: int, taps: int) -> int:
    """Return how many inputs so many neighbouring outputs read."""
    return (outputs - 1) * min(step, taps) + taps


def _stays(machine: Machine, room: int, count: int, width: int, weights: int) -> bool:
    """Whether the first cache holds so many positions and the weights."""
    return count * width + weights <= CACHE_SHARE * machine.l1_bytes and count <= CACHE_SHARE * room


def _room(nest: LoopNest, machine: Machine, values: Values, width: int) -> int:
    """Return how many positions find room in the first cache: those that lie a power of two apart share its sets."""
    strides, channel = nest.operands[0].strides, len(nest.outer)
    pitch = min((s for s in (*strides[:channel], *strides[channel + 1 :]) if s), default=0)
    if values.get("border") == EACH_CHUNK:
        pitch = width * values["chunk_blocks"]  # what a chunk copies lies close together
    return WAY // gcd(pitch, WAY) * ways(machine) if pitch >= width else machine.l1_bytes
