"""Estimated cycles of Strassen's algorithm, and what is known of a candidate in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ansorc.compiler.sketch.analytic import OVERLAP, imbalance, product_tile_cycles
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import (
    CACHE_SHARE,
    FMA_PORTS,
    L2_BYTES_A_CYCLE,
    MEMORY_BYTES_A_CYCLE,
    bytes_a_cycle,
)
from ansorc.compiler.sketch.strassen_step import Strassen, footprint
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.strassen import Pairs
from ansorc.dialect_passes.schedule.strassen_matrices import PRODUCTS

SHARED_BYTES_A_CYCLE = 4.0
"""Of weights that chunks of rows read at the same time for the first time: no cache has them yet."""
CARRIED_CYCLES = 12.0
"""Of a vector of products that goes on from the last part: it is read and written in the second cache."""
READING_CYCLES, WRITING_CYCLES = 26.0, 24.0
"""Of the sums for one vector of each block: 4 loads and 7 stores; 7 loads and 4 stores."""
SECTION_CYCLES = 2_000.0
EPILOGUE_CODE_BYTES = 20.0
"""For a cycle of the epilogue, which stands behind each of a pair's four vectors."""
TRANSFORM_CODE_BYTES = 1200


def step(nest: Pairs) -> Strassen:
    """Return the only step of the sketch."""
    return Strassen(nest.lead, nest.pairs, nest.channels, nest.filters)


def row_chunks(nest: Pairs, values: Values) -> int:
    """Return how many chunks the rows are cut into."""
    return prod(nest.outer) // prod(step(nest).chunk(values))


def column_chunks(nest: Pairs, values: Values) -> int:
    """Return how many chunks the columns are cut into."""
    return nest.filters // (2 * values["lanes"] * values["vectors"] * values["chunk_blocks"])


class Counts:
    """How often a candidate does what, and the bytes of it."""

    def __init__(self, nest: Pairs, values: Values) -> None:
        size, half, columns = nest.element_bytes, nest.channels // 2, nest.filters // 2
        width, part = values["lanes"] * values["vectors"], values["part"]
        self.rows, self.tile = prod(nest.outer), values["tile_x"] * values["tile_y"]
        self.parts = half // part
        self.row_chunks, self.column_chunks = row_chunks(nest, values), column_chunks(nest, values)
        self.register_tiles = PRODUCTS * (self.rows // self.tile) * (columns // width) * self.parts
        self.panel = part * width * size
        """Of the weights, for a register tile."""
        self.weights = PRODUCTS * half * columns * size
        self.between = 2 * PRODUCTS * self.rows * (half * self.column_chunks + columns * self.parts) * size
        """Sums of inputs, for every chunk of columns, and products, for every part: written and read."""
        self.input = 2 * self.rows * nest.channels * self.column_chunks * size
        self.output = 2 * self.rows * nest.filters * size


def properties(nest: Pairs, machine: Machine, values: Values) -> Properties:
    """Return what is known of a candidate without lowering it."""
    lanes, vectors, part, size = values["lanes"], values["vectors"], values["part"], nest.element_bytes
    known, width, half = Counts(nest, values), lanes * vectors, nest.channels // 2
    tile, chunks = known.tile, known.row_chunks * known.column_chunks
    kept = footprint(step(nest), values, size)
    fetched = known.register_tiles * known.panel if known.panel > CACHE_SHARE * machine.l1_bytes else 0
    sums = known.rows * (5 * half * known.column_chunks + 8 * nest.filters // 2)
    outside = known.input + known.output
    return Properties(
        flops=2.0 * PRODUCTS * known.rows * half * (nest.filters // 2) + sums,
        registers=tile * vectors + vectors + 1,
        vector_efficiency=lanes / machine.lanes(size),
        chunks=chunks,
        balance=1 / imbalance(chunks),
        tile_footprint=float(known.panel + tile * (part + width) * size),
        chunk_footprint=float(kept + known.weights // known.column_chunks),
        task_footprint=float(outside + known.weights + known.between / 2),
        l1_bytes=float(known.register_tiles * (part * (tile + width) + tile * width) * size + known.between),
        l2_bytes=float(fetched + known.between),
        memory_bytes=float(known.weights * known.row_chunks + outside),
        code_bytes=KERNEL_BYTES
        + TRANSFORM_CODE_BYTES
        + 4 * EPILOGUE_CODE_BYTES * nest.epilogue_cycles
        + tile_code_bytes(tile, vectors, values["unroll"], 1, 0.0),
    )


@dataclass(frozen=True)
class Costs:
    """Cycles on one core, by what they wait for."""

    products: float
    sums: float
    l2: float
    memory: float
    waits: float
    """For weights that others read at the same time: there is too little arithmetic around them to hide it."""
    imbalance: float

    @property
    def cycles(self) -> float:
        """The greatest part, a share of the others, and of threads that have less to do than others."""
        parts = (self.products + self.sums, self.l2, self.memory)
        hidden = max(parts) + OVERLAP * (sum(parts) - max(parts))
        return (hidden + self.waits) * self.imbalance + SECTION_CYCLES


def costs(nest: Pairs, machine: Machine, values: Values) -> Costs:
    """Estimate what a candidate takes, in cycles of `speeds`."""
    lanes, vectors, part, size = values["lanes"], values["vectors"], values["part"], nest.element_bytes
    known, half, columns = Counts(nest, values), nest.channels // 2, nest.filters // 2
    carried = CARRIED_CYCLES * known.tile * vectors if known.parts > 1 else 0.0
    tile = product_tile_cycles(machine, known.tile, vectors, values["unroll"], part, part * size, carried)
    fetched = known.panel if known.panel > CACHE_SHARE * machine.l1_bytes else 0
    near = known.register_tiles * (fetched + known.tile * part * size) + known.between
    again = known.weights * (known.row_chunks - 1)
    if footprint(step(nest), values, size) > CACHE_SHARE * machine.l2_bytes:
        again, near = again + near, 0
    longer, alone = FMA_PORTS / machine.fma_ports, known.row_chunks == 1
    outside = known.input + 2 * known.output
    writing = WRITING_CYCLES + 4 * (1 + nest.epilogue_cycles)
    reading = READING_CYCLES * known.column_chunks
    return Costs(
        products=known.register_tiles * tile,
        sums=known.rows * (half // lanes * reading + columns // lanes * writing),
        l2=near / L2_BYTES_A_CYCLE / longer,
        memory=outside / bytes_a_cycle(machine, outside)
        + again / bytes_a_cycle(machine, known.weights)
        + (known.weights / MEMORY_BYTES_A_CYCLE if alone else 0.0),
        waits=0.0 if alone else known.weights / SHARED_BYTES_A_CYCLE / longer,
        imbalance=imbalance(known.row_chunks * known.column_chunks, machine.cores),
    )
