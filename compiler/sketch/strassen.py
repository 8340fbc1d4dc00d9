"""Strassen's algorithm as a kind of schedules: 7 products of blocks instead of 8, for products with weights.

forall (chunk of pairs of rows)
  sums of the blocks of its rows                                           in buffers that stay in its core's cache
  for some blocks of columns
    for t in 7, block { for each register tile { accumulators; for c { fma }; store } }
    sums of products; epilogue; store
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

from mlir import ir

from ansorc.compiler.sketch.analytic import CROWDED_CYCLES, OVERLAP, TILE_CYCLES, imbalance, product_step_cycles
from ansorc.compiler.sketch.bilinear import script_of
from ansorc.compiler.sketch.cache_sets import crowding, ways
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import (
    LEAST_LANES,
    MAX_VECTORS,
    MOST_UNROLLED,
    OFTEN_READ,
    divisors,
    interleaves,
)
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import body_cycles
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import FMA_PORTS, L2_BYTES_A_CYCLE, bytes_a_cycle
from ansorc.compiler.sketch.strassen_step import Strassen, footprint
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.lower import prefetch
from ansorc.dialect_passes.schedule import strassen
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.strassen import Pairs
from ansorc.dialect_passes.schedule.strassen_matrices import PRODUCTS

STACK_BYTES = 1 << 20
"""Most that a chunk keeps on the stack of its thread."""
WEIGHT_BYTES_A_CYCLE = 4.0
"""Of weights that come from memory: there are 7/4 of those of the direct algorithm."""
MARGIN = 1.05
"""How much faster than another algorithm the estimate has to be: it errs, and results are less exact."""
READING_CYCLES, WRITING_CYCLES = 26.0, 24.0
"""Of the sums for one vector of each block: 4 loads and 7 stores; 7 loads and 4 stores."""
SECTION_CYCLES = 2_000.0
EPILOGUE_CODE_BYTES = 20.0
"""For a cycle of the epilogue, which stands behind each of a pair's four vectors."""
TRANSFORM_CODE_BYTES = 1200


@dataclass(frozen=True, order=True)
class Lanes(Decision[Pairs]):
    """Elements of a vector: of channels in the sums of inputs, of filters elsewhere."""

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = gcd(nest.filters // 2, nest.channels // 2, machine.lanes(nest.element_bytes))
        return tuple(sorted((d for d in divisors(most) if d >= LEAST_LANES), reverse=True))


@dataclass(frozen=True, order=True)
class Vectors(Decision[Pairs]):
    """Vectors of filters in a register tile of the products."""

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(d for d in divisors(nest.filters // (2 * chosen["lanes"])) if d <= MAX_VECTORS)


@dataclass(frozen=True, order=True)
class Chunk(Decision[Pairs]):
    """What a parallel chunk takes of the rows: of an image whole rows, or parts of one."""

    role = "parallel"

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if self.name == "chunk_0":
            extents = divisors(nest.lead[-1]) if nest.lead else (1,)
            return tuple(
                e for e in extents if _fits(nest, {**chosen, "chunk_0": e, "chunk_1": 1 if e == 1 else nest.pairs})
            )
        whole = chosen["chunk_0"] > 1
        return tuple(
            e for e in ((nest.pairs,) if whole else divisors(nest.pairs)) if _fits(nest, {**chosen, "chunk_1": e})
        )


@dataclass(frozen=True, order=True)
class OutputBlocks(Decision[Pairs]):
    """Blocks of columns of which a chunk keeps the products before it sums them: a divisor."""

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        blocks = nest.filters // (2 * chosen["lanes"] * chosen["vectors"])
        return tuple(d for d in divisors(blocks) if _fits(nest, {**chosen, self.name: d}))


@dataclass(frozen=True, order=True)
class TileOf(Decision[Pairs]):
    """Pairs of a row, or rows of them, in a register tile of the products."""

    before: str

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        budget = machine.vector_registers - chosen["vectors"] - 1
        most = budget // (chosen["vectors"] * chosen.get(self.before, 1))
        return tuple(d for d in divisors(chosen["chunk_1" if self.name == "tile_x" else "chunk_0"]) if d <= most)


@dataclass(frozen=True, order=True)
class Unroll(Decision[Pairs]):
    """How often the loop over the channels is unrolled."""

    role = "unroll"

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        free = interleaves(machine, chosen["tile_x"] * chosen["tile_y"], chosen["vectors"])
        order = (MOST_UNROLLED, 2, 1) if free else (1, 2, MOST_UNROLLED)
        return tuple(f for f in order if nest.channels // 2 % f == 0)


@dataclass(frozen=True, order=True)
class Prefetch(Decision[Pairs]):
    """How many steps of a product ahead the summed weights are fetched (0: not by instructions)."""

    role = "unroll"

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return (16, 0, 4, 64) if prod(nest.outer) < OFTEN_READ else (0, 4, 16, 64)


SPACE: tuple[Decision[Pairs], ...] = (
    Lanes("lanes"), Vectors("vectors"), Chunk("chunk_0"), Chunk("chunk_1"), OutputBlocks("output_blocks"),
    TileOf("tile_x", ""), TileOf("tile_y", "tile_x"), Unroll("unroll"), Prefetch("prefetch"),
)  # fmt: skip


class StrassenKind(Kind[Pairs]):
    """A product with weights by seven products of blocks."""

    name = "strassen"
    exact = False
    few_streams = True
    prepared = ("lanes", "vectors", "prefetch")

    def describe(self, function: ir.Operation) -> Pairs:
        task = analyse(function)
        return replace(strassen.describe(function, task), epilogue_cycles=body_cycles(task.root))

    def extents(self, nest: Pairs) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (*nest.lead, 2 * nest.pairs, nest.filters), (*[1] * (nest.reductions - 1), nest.channels)

    def sketch(self, nest: Pairs) -> Sketch:
        return Sketch(self.name, *self.extents(nest), (step(nest),))

    def space(self, nest: Pairs) -> Sequence[Decision[Pairs]]:
        return SPACE

    def choose(self, nest: Pairs, machine: Machine) -> Choice | None:
        best: tuple[float, dict[str, int]] | None = None
        for values in _drafts(nest, machine):
            cycles = MARGIN * costs(nest, machine, values).cycles
            if best is None or cycles < best[0]:
                best = cycles, values
        return best and Choice(Candidate(self.sketch(nest), tuple(best[1].items())), best[0])

    def parts(self, nest: Pairs, machine: Machine, values: Values) -> Mapping[str, float]:
        known = costs(nest, machine, values)
        waits = (known.products, known.sums, known.l2, known.memory, SECTION_CYCLES)
        return dict(zip(("FMA ports", "transforms", "L2", "memory", "barriers"), waits, strict=True))

    def properties(self, nest: Pairs, machine: Machine, values: Values) -> Properties:
        lanes, vectors, size = values["lanes"], values["vectors"], nest.element_bytes
        tile, width, half = values["tile_x"] * values["tile_y"], lanes * vectors, nest.channels // 2
        rows, chunks = prod(nest.outer), chunk_count(nest, values)
        between = PRODUCTS * rows * (half + nest.filters // 2) * size
        weights, panel = PRODUCTS * half * (nest.filters // 2) * size, half * width * size
        outside = 2 * rows * (nest.channels + nest.filters) * size
        register_tiles = PRODUCTS * (rows // tile) * (nest.filters // (2 * width))
        return Properties(
            flops=2.0 * PRODUCTS * rows * half * (nest.filters // 2) + rows * (5 * half + 8 * nest.filters // 2),
            registers=tile * vectors + vectors + 1,
            vector_efficiency=lanes / machine.lanes(size),
            chunks=chunks,
            balance=1 / imbalance(chunks),
            tile_footprint=float(panel + tile * (half + width) * size),
            chunk_footprint=float(footprint(step(nest), values, size) + weights),
            task_footprint=float(outside + weights + between),
            l1_bytes=float(register_tiles * (half * (tile + width) + tile * width) * size + 2 * between),
            l2_bytes=float((register_tiles * panel if panel > 0.75 * machine.l1_bytes else 0) + 2 * between),
            memory_bytes=float(weights * chunks + outside),
            code_bytes=KERNEL_BYTES
            + TRANSFORM_CODE_BYTES
            + 4 * EPILOGUE_CODE_BYTES * nest.epilogue_cycles
            + tile_code_bytes(tile, vectors, values["unroll"], 1, 0.0),
        )  # fmt: skip

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        task = analyse(function)
        nest = strassen.describe(function, task)
        lanes, vectors, ahead = (values[name] for name in self.prepared)
        if lanes < 1 or vectors < 1 or nest.filters % (2 * lanes * vectors) or nest.channels % (2 * lanes):
            raise CannotBlock(f"{vectors} vectors of {lanes} lanes do not divide the halves of the channels")
        packings = strassen.run(function, task, nest, lanes, vectors)
        if ahead:
            prefetch.mark(function, list(packings), ahead * vectors * lanes)
        return packings

    def emit(self, candidate: Candidate) -> str:
        return script_of(candidate, self.attributes(candidate.values))


def step(nest: Pairs) -> Strassen:
    """Return the only step of the sketch."""
    return Strassen(nest.lead, nest.pairs, nest.channels, nest.filters)


def chunk_count(nest: Pairs, values: Values) -> int:
    return prod(nest.outer) // prod(step(nest).chunk(values))


def _fits(nest: Pairs, values: Values) -> bool:
    """Whether there are several chunks, and what each keeps is little."""
    kept = footprint(step(nest), {"output_blocks": 1, **values}, nest.element_bytes)
    return chunk_count(nest, values) > 1 and kept <= STACK_BYTES


def _drafts(nest: Pairs, machine: Machine) -> Iterator[dict[str, int]]:
    """Yield the candidates that are worth an estimate."""

    def walk(chosen: dict[str, int], left: int) -> Iterator[dict[str, int]]:
        if left == len(SPACE):
            yield chosen
            return
        decision = SPACE[left]
        options = decision.options(nest, machine, chosen)
        for value in options[:1] if decision.name in ("lanes", "unroll", "prefetch") else options:
            yield from walk({**chosen, decision.name: value}, left + 1)

    return walk({}, 0)


@dataclass(frozen=True)
class Costs:
    """Cycles on one core, by what they wait for."""

    products: float
    sums: float
    l2: float
    memory: float
    weights: float
    """Of the memory's, those of the weights' first reading: there is too little arithmetic around them to hide it."""
    imbalance: float

    @property
    def cycles(self) -> float:
        """The greatest part, a share of the others, and of threads that have less to do than others."""
        parts = (self.products + self.sums, self.l2, self.memory - self.weights)
        hidden = max(parts) + OVERLAP * (sum(parts) - max(parts))
        return (hidden + self.weights) * self.imbalance + SECTION_CYCLES


def costs(nest: Pairs, machine: Machine, values: Values) -> Costs:
    """Estimate what a candidate takes.

    Cycles are counted as if as many FMA began in each as on most machines: where it are fewer, one is longer, and more
    passes beside them.
    """
    lanes, vectors, size = values["lanes"], values["vectors"], nest.element_bytes
    tile, width, half = values["tile_x"] * values["tile_y"], lanes * vectors, nest.channels // 2
    rows, chunks, columns = prod(nest.outer), chunk_count(nest, values), nest.filters // 2
    register_tiles = PRODUCTS * (rows // tile) * (columns // width)
    longer = FMA_PORTS / machine.fma_ports
    fma = tile * vectors / FMA_PORTS
    crowded = CROWDED_CYCLES * crowding((tile,), (half * size,), ways(machine))
    beside = product_step_cycles(machine, tile, vectors, values["unroll"]) + crowded - fma
    panel = half * width * size
    fetched = 0.0 if panel <= 0.75 * machine.l1_bytes else panel
    near = register_tiles * (fetched + tile * half * size) + 2 * PRODUCTS * rows * (half + columns) * size
    weights = PRODUCTS * half * columns * size
    again = weights * (chunks - 1)
    if footprint(step(nest), values, size) + panel > 0.75 * machine.l2_bytes:
        again, near = again + near, 0.0
    read = weights / WEIGHT_BYTES_A_CYCLE / longer
    outside = 2 * rows * (nest.channels + 2 * nest.filters) * size
    writing = WRITING_CYCLES + 4 * (1 + nest.epilogue_cycles)
    return Costs(
        products=register_tiles * (half * (fma + beside / longer) + TILE_CYCLES / longer),
        sums=rows * (half // lanes * READING_CYCLES + columns // lanes * writing),
        l2=near / L2_BYTES_A_CYCLE / longer,
        memory=outside / bytes_a_cycle(machine, outside) + again / bytes_a_cycle(machine, weights) + read,
        weights=read,
        imbalance=imbalance(chunks, machine.cores),
    )
