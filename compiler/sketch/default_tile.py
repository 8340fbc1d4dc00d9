"""The default register tile: the decisions with the fewest estimated cycles. Nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator

from ansorc.compiler.sketch.analytic import CHUNK_CYCLES, MAX_CHUNKS, chunk_count, chunked_extents, estimate, imbalance
from ansorc.compiler.sketch.decisions import accumulators, divisors, space
from ansorc.compiler.sketch.kind import Decision, Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.dialect_passes.schedule.machine import Machine


def choose(nest: LoopNest, machine: Machine) -> tuple[dict[str, int], float] | None:
    """Return the decisions with the fewest estimated cycles, and those; None where channels fill no useful vector."""
    decisions = {d.name: d for d in space(nest)}
    lanes = decisions["lanes"].options(nest, machine, {})
    if not lanes:
        return None
    best: tuple[float, int, int, dict[str, int]] | None = None
    for tiles in _tiles(nest, machine, {"lanes": lanes[0]}):
        wanted = _wanted_chunks(nest, machine, tiles)
        for chosen in _padded(nest, machine, decisions["border"], _walks(nest, tiles, wanted)):
            cycles = estimate(nest, machine, chosen).cycles * imbalance(chunk_count(nest, chosen), wanted)
            along = -max([chosen[f"tile_{k}"] for k in nest.tileable[:1]], default=0)
            key = (cycles, -accumulators(chosen), along)
            if best is None or key < best[:3]:
                best = (*key, chosen)
    if best is None:
        return None
    chosen = best[3]
    for name in ("columns", "skip", "finish", "part", "unroll", "prefetch", "stream"):
        if name in decisions:
            chosen[name] = decisions[name].default(nest, machine, chosen)
    return chosen, best[0]


def _padded(
    nest: LoopNest, machine: Machine, decision: Decision[LoopNest], walks: Iterator[dict[str, int]]
) -> Iterator[dict[str, int]]:
    for walk in walks:
        for value in decision.options(nest, machine, walk):
            yield {**walk, decision.name: value}


def _tiles(nest: LoopNest, machine: Machine, chosen: Values) -> Iterator[dict[str, int]]:
    """Yield every register tile that uses at least half of the registers that any tile can."""
    tiles = [d for d in space(nest) if d.name in ("vectors", "pack") or d.name.startswith("tile_")]

    def walk(made: dict[str, int], left: int) -> Iterator[dict[str, int]]:
        if left == len(tiles):
            yield made
            return
        for value in tiles[left].options(nest, machine, made):
            yield from walk({**made, tiles[left].name: value}, left + 1)

    found = list(walk(dict(chosen), 0))
    if not nest.reductions:  # nothing is used twice: one row at a time, as it lies in memory
        found = [f for f in found if accumulators(f) == f["vectors"]]
    most = max(map(accumulators, found), default=0)
    return (t for t in found if 2 * accumulators(t) >= most)


def _wanted_chunks(nest: LoopNest, machine: Machine, tiles: Values) -> int:
    """Return how many chunks are worth handing out."""
    whole = estimate(nest, machine, {**tiles, **chunked_extents(nest, tiles), "channels_inside": 0})
    return max(1, min(MAX_CHUNKS, int(whole.cycles / CHUNK_CYCLES)))


def _walks(nest: LoopNest, tiles: dict[str, int], wanted: int) -> Iterator[dict[str, int]]:
    """Yield a register tile with ways to cut and walk over its task: channels first, or positions first."""
    names, extents = list(chunked_extents(nest, tiles)), list(chunked_extents(nest, tiles).values())
    # What reads weights of its own comes first: a chunk keeps its panels.
    apart = [k + 1 for k, shares in enumerate(nest.shares_panel) if not shares]
    positions = [k for k in range(1, len(extents)) if k not in apart]
    # Without weights to keep, threads share rows and not channels: what a core wrote, it reads in the next task.
    orders = [[*apart, 0, *positions]] if nest.contraction or not positions else []
    if (extents[0] > 1 or not orders) and positions:
        orders.append([*apart, *positions, 0])
    for order in orders:
        sizes = dict(zip(names, _chunk(extents, order, tiles, wanted), strict=True))
        if nest.reductions or sizes["chunk_blocks"] == 1:
            yield {**tiles, **sizes, "channels_inside": 0}
        whole = all(sizes[f"chunk_{k}"] % tiles[f"tile_{k}"] == 0 for k in nest.tileable)
        if sizes["chunk_blocks"] > 1 and whole:
            yield {**tiles, **sizes, "channels_inside": 1}


def _chunk(extents: list[int], order: list[int], tiles: Values, wanted: int) -> list[int]:
    """Cut loops in `order` until there are enough chunks."""
    sizes, chunks = list(extents), 1
    for k in order:
        if chunks >= wanted:
            break
        extent, tile = extents[k], tiles.get(f"tile_{k - 1}", 1) if k else 1
        whole = [d for d in divisors(extent) if d % tile == 0 or d == extent]
        if len(whole) == 1:  # no divisor is a multiple: the last tile of every chunk is peeled
            whole = [d for d in divisors(extent) if d >= 2 * tile or d == extent]
        # The largest size that gives enough chunks; else the smallest there is.
        fitting = [d for d in whole if chunks * (extent // d) >= wanted]
        sizes[k] = max(fitting) if fitting else min(whole)
        chunks *= extent // sizes[k]
    return sizes
