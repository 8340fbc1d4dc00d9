"""Estimated cycles of a chain in closed form, and the decisions that have the fewest.

arithmetic  register tiles as in analytic.py; every other stage its vectors; a reduction ends once a row
L2          panels that leave the first cache, and blocks of rows that do
memory      arguments and result, once
"""

from __future__ import annotations

from itertools import product as combinations
from math import prod

from ansorc.compiler.sketch.analytic import (
    CHUNK_CYCLES,
    PACK_BYTES_A_CYCLE,
    PACK_CYCLES,
    TILE_CYCLES,
    Cost,
    imbalance,
    product_step_cycles,
)
from ansorc.compiler.sketch.chain_nest import ChainNest, Product, space
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.speeds import (
    CACHE_SHARE,
    FMA_PORTS,
    L2_BYTES_A_CYCLE,
    MEMORY_BYTES_A_CYCLE,
    bytes_a_cycle,
)
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, MAP, REDUCTION
from ansorc.dialect_passes.schedule.machine import Machine

WINDOW_TILE_CYCLES = 4.0
"""What a register tile of a window costs besides its taps."""
ROW_CYCLES = 25.0
"""What it costs to bring the lanes of a vector together."""
WINDOW_RELOADS = 1.5
"""Once accumulators, inputs that taps share, and those on their way leave no registers for a window's weights."""
LINE_CYCLES = 1.0
"""What a row of a panel costs that is not packed and lies far from the one before."""


def choose(nest: ChainNest, machine: Machine) -> tuple[dict[str, int], float] | None:
    """Return the decisions with the fewest estimated cycles, and those; None where columns fill no vector."""
    decisions = {d.name: d for d in space(nest)}
    lanes = decisions["lanes"].options(nest, machine, {})
    if not lanes:
        return None
    names = [n for n in decisions if n.startswith("vectors_")]
    best: tuple[float, dict[str, int]] | None = None
    vectors = [decisions[n].options(nest, machine, {"lanes": lanes[0]}) for n in names]
    unrolls = decisions["unroll"].options(nest, machine, {})
    known: dict[tuple[int, ...], int] = {}  # the best tile depends on less than the estimate does
    for unroll, *widths in combinations(unrolls, *vectors):
        chosen = {"lanes": lanes[0], "unroll": unroll, **dict(zip(names, widths, strict=True))}
        for blocks in _blocks(nest, machine, chosen):
            made = {**chosen, **blocks}
            for k, p in nest.products:
                rows = nest.block(nest.rows_of(nest.stages[k])[-1], made)
                key = (k, unroll, made[f"vectors_{p.columns}"], rows, _is_near(nest, machine, k, made))
                if key not in known:
                    tiles = decisions[f"tile_{k}"].options(nest, machine, made)
                    if not tiles:
                        break
                    known[key] = min(
                        tiles, key=lambda t: (product_cycles(nest, machine, k, p, {**made, f"tile_{k}": t}), -t)
                    )
                made[f"tile_{k}"] = known[key]
            else:
                packs = [decisions[f"pack_{k}"].options(nest, machine, made) for k, _ in nest.products]
                for packed in combinations(*packs):
                    full = {**made, **{f"pack_{k}": v for (k, _), v in zip(nest.products, packed, strict=True)}}
                    cycles = estimate(nest, machine, full).cycles * imbalance(chunk_count(nest, full))
                    if best is None or cycles < best[0]:
                        best = (cycles, full)
    if best is None:
        return None
    values = best[1]
    values["row_tile"] = decisions["row_tile"].options(nest, machine, values)[-1]
    return {name: values[name] for name in decisions}, best[0]


def _blocks(nest: ChainNest, machine: Machine, chosen: Values) -> list[dict[str, int]]:
    found: list[dict[str, int]] = [{}]
    for d in space(nest):
        if d.name.startswith("block_"):
            found = [{**f, d.name: v} for f in found for v in d.options(nest, machine, {**chosen, **f})]
    return found


def chunk_count(nest: ChainNest, values: Values) -> int:
    blocks = prod(nest.extents[c] // values[f"block_{c}"] for c in nest.rows)
    return blocks * prod(nest.extents[c] for c in nest.batch)


def estimate(nest: ChainNest, machine: Machine, values: Values) -> Cost:
    """Estimate a candidate; `values` lack at most `row_tile`."""
    arithmetic = l2 = 0.0
    rows = prod(nest.extents[c] for c in (*nest.batch, *nest.rows))
    kept = nest.kept_bytes(values)
    roots = {p.root for _, p in nest.products}  # they are part of their register tiles
    for k, stage in enumerate(nest.stages):
        points = prod(nest.extents[c] for c in stage.loops)
        if stage.role == CONTRACTION and stage.product is not None:
            arithmetic += product_cycles(nest, machine, k, stage.product, values)
            if values[f"pack_{k}"]:
                arithmetic += PACK_CYCLES + 2 * panel_bytes(nest, k) / PACK_BYTES_A_CYCLE
        elif stage.role in (MAP, REDUCTION) and k not in roots:
            lanes = max((nest.lanes(c, values) for c in stage.loops if c in nest.columns), default=values["lanes"])
            arithmetic += points / lanes * (1 + stage.cycles)
            if stage.role == REDUCTION:
                arithmetic += rows * ROW_CYCLES
            if kept > machine.l1_bytes / 2:
                l2 += points * nest.element_bytes / L2_BYTES_A_CYCLE
    arithmetic += chunk_count(nest, values) * CHUNK_CYCLES / 40
    touched = nest.argument_bytes + nest.result_bytes
    values_read = touched - nest.weight_bytes
    memory = nest.weight_bytes / MEMORY_BYTES_A_CYCLE
    memory += (values_read + nest.result_bytes) / bytes_a_cycle(machine, values_read)
    near = (touched + nest.result_bytes) / 4 / MEMORY_BYTES_A_CYCLE
    return Cost(arithmetic, l2, memory if touched > machine.l2_bytes / 2 else near)


def product_cycles(nest: ChainNest, machine: Machine, k: int, p: Product, values: Values) -> float:
    """Return the cycles of all register tiles of one contraction."""
    stage, lanes = nest.stages[k], nest.lanes(p.columns, values)
    vectors = 1 if p.window else values[f"vectors_{p.columns}"]
    steps = prod(nest.extents[c] for c in stage.reduced)
    block, tile = nest.block(nest.rows_of(stage)[-1], values), values[f"tile_{k}"]
    others = chunk_count(nest, values) * nest.block_rows(stage, values) // block
    columns = nest.extents[p.columns] // (lanes * vectors)
    panel = steps * vectors * lanes * nest.element_bytes
    near = _is_near(nest, machine, k, values)
    total = 0.0
    for size, count in ((tile, block // tile), (block % tile, 1)):
        if not size:
            continue
        if p.window:
            reloads = 1.0 if steps + 3 * size <= machine.vector_registers else WINDOW_RELOADS
            step = (size * reloads + 1) / FMA_PORTS
        else:
            step = product_step_cycles(machine, size, vectors, values["unroll"], near=near)
        cycles = steps * step + (WINDOW_TILE_CYCLES if p.window else TILE_CYCLES)
        cycles += size * vectors * (1 + nest.stages[p.root].cycles)
        if panel > CACHE_SHARE * machine.l1_bytes:
            cycles += panel / (
                L2_BYTES_A_CYCLE if panel <= CACHE_SHARE * machine.l2_bytes else bytes_a_cycle(machine, panel)
            )
        total += others * columns * count * cycles
    # A panel is fetched for each block of rows; its rows lie apart where it is not packed.
    fetched = others * columns * panel / L2_BYTES_A_CYCLE
    if not values.get(f"pack_{k}", 1) and not p.constant:
        fetched += others * columns * steps * vectors * LINE_CYCLES
    return total + fetched


def _is_near(nest: ChainNest, machine: Machine, k: int, values: Values) -> bool:
    """Whether a contraction reads a block by rows that the first cache holds."""
    return k != nest.products[0][0] and nest.kept_bytes(values) <= machine.l1_bytes / 2


def panel_bytes(nest: ChainNest, k: int) -> int:
    """Return the bytes of what a contraction reads by columns."""
    stage, p = nest.stages[k], nest.stages[k].product
    assert p is not None
    return nest.element_bytes * prod(nest.extents[c] for c in (*p.panel_loops, p.columns, *stage.reduced))
