"""Estimated cycles of Winograd's algorithm, and what is known of a candidate in closed form."""

from __future__ import annotations

from math import prod

import numpy as np

from ansorc.compiler.sketch.analytic import OVERLAP, border_cycles, imbalance, product_tile_cycles
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import CACHE_SHARE, FMA_PORTS, L2_BYTES_A_CYCLE, bytes_a_cycle
from ansorc.compiler.sketch.winograd_decisions import read_tile, step, tiles_of
from ansorc.compiler.sketch.winograd_step import footprint
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.winograd import SquareConvolution, pieces
from ansorc.dialect_passes.schedule.winograd_matrices import matrices

TRANSFORM_SHARE = 0.75
"""Of a transform's multiplications, what is left once opposite points share their sums."""
SECTION_CYCLES = 2_000.0
WEIGHT_BYTES_A_CYCLE = 4.0
"""The weights are (a / r)^2 times those of the direct algorithm, and in a network come from memory."""
EXCHANGED, EXCHANGE_BYTES_A_CYCLE = 1.5, 8.0
"""Between steps, values pass from core to core; what is written is fetched first."""
EPILOGUE_CODE_BYTES = 20.0
"""For a cycle of the epilogue, which stands behind every output of a tile."""
TRANSFORM_CODE_BYTES = {3: 3000, 4: 3700, 5: 4000, 6: 4200, 7: 7500, 8: 11_000}
"""Of both transforms, straight-line code, for tiles at an edge or inside: by the rows that a tile reads."""


def estimate(nest: SquareConvolution, machine: Machine, values: Values) -> float:
    """Estimate the cycles of a candidate on one core, and a share for threads that have less to do than others."""
    products, transforms, memory, barriers, waiting = costs(nest, machine, values)
    arithmetic = products + transforms
    return (max(arithmetic, memory) + OVERLAP * min(arithmetic, memory)) * waiting + barriers


def costs(nest: SquareConvolution, machine: Machine, values: Values) -> tuple[float, float, float, float, float]:
    """Return the cycles of products, transforms, memory and barriers, and the imbalance of threads."""
    m, rows, vectors, lanes = (values[name] for name in ("m", "rows", "vectors", "lanes"))
    known, edge = matrices(m, nest.window), m + nest.window - 1
    y, x = tiles_of(nest, m)
    tiles, images = prod(nest.lead) * y * x, prod(nest.read) * y * x
    steps = prod(nest.taps) * nest.channels
    tile = values["tile_x"] * values["tile_y"]
    register_tiles = edge * edge * tiles // tile * (nest.filters // (lanes * vectors))
    taken = steps * prod(s.share for s in nest.skips) if values.get("skip") else steps
    longer, row = FMA_PORTS / machine.fma_ports, nest.channels * nest.element_bytes
    products = register_tiles * product_tile_cycles(machine, tile, vectors, values["unroll"], taken, row)
    reading = TRANSFORM_SHARE * edge * np.count_nonzero(known.input) + edge * edge
    writing = TRANSFORM_SHARE * (edge + m) / 2 * np.count_nonzero(known.output) + edge * edge / 2 + m * m
    transforms = images * (nest.channels // lanes) * reading + tiles * (nest.filters // lanes) * writing
    weights = edge * edge * steps * nest.filters * nest.element_bytes
    between = 2 * edge * edge * (images * nest.channels + tiles * nest.filters) * nest.element_bytes
    panel = steps * lanes * vectors * nest.element_bytes
    fetched = (panel if panel > CACHE_SHARE * machine.l1_bytes else 0) + tile * steps * nest.element_bytes
    l2 = L2_BYTES_A_CYCLE * longer
    memory = weights / (WEIGHT_BYTES_A_CYCLE * longer) + register_tiles * fetched / l2
    if rows:
        chunks, sections = prod(nest.lead) * y // rows, 1
        kept = footprint(step(nest), values, nest.element_bytes)
        held = kept + weights <= CACHE_SHARE * machine.l2_bytes
        memory += weights * (chunks - 1) / (l2 if held else bytes_a_cycle(machine, weights))
        memory += between / (l2 if kept <= machine.l2_bytes / 2 else bytes_a_cycle(machine, kept))
    else:
        chunks = edge * edge
        sections = 1 + 2 * len(pieces(nest.height, m, nest.window)) * len(pieces(nest.width, m, nest.window))
        fits = between / 2 <= CACHE_SHARE * machine.l3_bytes
        memory += EXCHANGED * between / ((EXCHANGE_BYTES_A_CYCLE if fits else WEIGHT_BYTES_A_CYCLE) * longer)
    if nest.border is not None:
        tile = prod(read_tile(nest, nest.border, values)) * nest.element_bytes
        transforms += border_cycles(nest.border, tile, chunks if values["border"] else 0)
    return products, transforms, memory, SECTION_CYCLES * sections / longer, imbalance(chunks, machine.cores)


def properties(nest: SquareConvolution, machine: Machine, values: Values) -> Properties:
    """Return what is known of a candidate in closed form."""
    m, rows, lanes, vectors = (values[name] for name in ("m", "rows", "lanes", "vectors"))
    y, x = tiles_of(nest, m)
    edge = m + nest.window - 1
    known, points, size = matrices(m, nest.window), edge**2, nest.element_bytes
    tiles, images = prod(nest.lead) * y * x, prod(nest.read) * y * x
    steps = prod(nest.taps) * nest.channels
    tile, width = values["tile_x"] * values["tile_y"], lanes * vectors
    transforms = 2 * (np.count_nonzero(known.input) * images * nest.channels * edge)
    transforms += np.count_nonzero(known.output) * tiles * nest.filters * (m + edge)
    between = points * (images * nest.channels + tiles * nest.filters) * size
    weights, panel = points * steps * nest.filters * size, steps * width * size
    outside = (prod(nest.read) * nest.height * nest.width * nest.channels) * size
    outside += prod(nest.lead) * nest.height * nest.width * nest.filters * size
    register_tiles = points * tiles // tile * (nest.filters // width)
    chunks = prod(nest.lead) * y // rows if rows else points * (nest.filters // width // values["chunk_blocks"])
    filters = width * values["chunk_blocks"]
    kept = (
        footprint(step(nest), values, size) + weights if rows else (tiles * (steps + filters) + steps * filters) * size
    )
    near = between <= machine.l2_bytes or rows
    kinds = len(pieces(nest.height, m, nest.window)) * len(pieces(nest.width, m, nest.window))
    return Properties(
        flops=float(2 * points * tiles * steps * nest.filters + transforms),
        registers=tile * vectors + vectors + 1,
        vector_efficiency=lanes / machine.lanes(size),
        chunks=chunks,
        balance=1 / imbalance(chunks),
        tile_footprint=float(panel + tile * (steps + width) * size),
        chunk_footprint=float(kept),
        task_footprint=float(outside + weights + between),
        l1_bytes=float(register_tiles * (steps * (tile + width) + tile * width) * size + 2 * between),
        l2_bytes=float((register_tiles * panel if panel > CACHE_SHARE * machine.l1_bytes else 0) + 2 * between),
        memory_bytes=float(weights + outside + (0 if near else 2 * between)),
        code_bytes=KERNEL_BYTES
        + kinds * (TRANSFORM_CODE_BYTES[edge] + m * m * EPILOGUE_CODE_BYTES * nest.epilogue_cycles)
        + tile_code_bytes(tile, vectors, values["unroll"], 1, 0.0),
    )  # fmt: skip
