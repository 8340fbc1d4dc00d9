"""Estimated cycles of register tiles that slide over what they read: depthwise convolutions and pools.

LLVM unrolls the loop over the innermost taps, and loads what neighbouring outputs share once:

    a row of 7 outputs, 3 taps each: 21 multiplications, 9 inputs and 3 weights that are loaded
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from ansorc.compiler.sketch.cache_sets import WAY, ways
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.dialect_passes.schedule.border import EACH_CHUNK
from ansorc.dialect_passes.schedule.machine import Machine

WINDOW_TILE_CYCLES = 8.0
"""What a register tile costs besides its taps; the next one has begun meanwhile."""
CHAIN_CYCLES = 8.0
"""What an accumulator waits for its last tap, in the cycles of a port that takes one vector."""
LOAD_SHARE = 0.1
"""Of what loads take, where something else takes longer."""
ROW_CYCLES = 2.0
"""A row of outputs reads somewhere else than the one before."""
POSITION_BYTES = 300
"""Positions that share the sets of the first cache come one by one from the second: each as long as so many bytes."""
L1_SHARE = 0.75


def tile_cycles(nest: LoopNest, values: Values, sizes: Sequence[int]) -> float:
    """Return the cycles of a register tile, `sizes` of each of the loops that tiles cover; a vector takes one."""
    innermost = max((j for j, n in enumerate(nest.reductions) if n > 1), default=0)
    taps, vectors = nest.reductions[innermost], values["vectors"]
    around = nest.steps // taps
    tiled = dict(zip(nest.tileable, sizes, strict=True))
    along = {loop: step for loop, tap, step in nest.slides if tap == innermost}
    inputs = prod(distinct(n, along[k], taps) if k in along else n for k, n in tiled.items())
    if not set(tiled) & set(along):
        inputs *= taps
    rows = prod(n for k, n in tiled.items() if k not in along)
    loads = vectors * (inputs + taps * (len(nest.operands) - 2))
    products = vectors * prod(sizes) * taps
    busiest = max(products, loads, taps * CHAIN_CYCLES)
    return around * (busiest + LOAD_SHARE * loads + ROW_CYCLES * rows) + WINDOW_TILE_CYCLES + products / taps


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
    line = width + (POSITION_BYTES if room < positions(nest, rows) else 0)
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
    return count * width + weights <= L1_SHARE * machine.l1_bytes and count <= L1_SHARE * room


def _room(nest: LoopNest, machine: Machine, values: Values, width: int) -> int:
    """Return how many positions find room in the first cache: those that lie a power of two apart share its sets."""
    pitch = min((s for s in nest.operands[0].strides[: len(nest.outer)] if s), default=0)
    if values.get("border") == EACH_CHUNK:
        pitch = width * values["chunk_blocks"]  # what a chunk copies lies close together
    return WAY // gcd(pitch, WAY) * ways(machine) if pitch >= width else machine.l1_bytes
