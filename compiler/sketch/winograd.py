"""Winograd's algorithm as a kind of schedules: transform the input, many small products, transform back.

Either three parallel steps, with all of the transformed image between them:

    forall (rows of tiles) { input transform }
    forall (i, j, chunk of channels) { for each register tile { accumulators; for ci { fma }; store } }
    forall (rows of tiles) { output transform; epilogue; store }

or one, where a chunk takes some rows of tiles through all three, in buffers that stay in its core's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

import numpy as np
from mlir import ir

from ansorc.compiler.sketch.analytic import (
    CROWDED_CYCLES,
    L2_BYTES_A_CYCLE,
    MEMORY_BYTES_A_CYCLE,
    OVERLAP,
    TILE_CYCLES,
    border_cycles,
    imbalance,
    product_step_cycles,
)
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
from ansorc.compiler.sketch.steps import Pad
from ansorc.compiler.sketch.winograd_step import Winograd, footprint
from ansorc.dialect_passes.lower import prefetch
from ansorc.dialect_passes.schedule import border, winograd
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, Packing
from ansorc.dialect_passes.schedule.border import Border
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.winograd import SquareConvolution, pieces
from ansorc.dialect_passes.schedule.winograd_matrices import matrices, most_outputs

OUTPUTS = (4, 2, 6)
"""m of F(m x m, r x r), the one that saves most for its error first (see winograd_matrices.amplification)."""
STACK_BYTES = 1 << 20
"""Most that a chunk keeps on the stack of its thread."""
DEFAULTS = (4, 2)
"""Of which the default is chosen: a 6 makes much code for its edges, and rounds most."""
MARGIN = 1.1
"""How much faster than another algorithm the estimate has to be: it errs, and results are less exact."""
TRANSFORM_SHARE = 0.75
"""Of a transform's multiplications, what is left once opposite points share their sums."""
SECTION_CYCLES = 2_000.0
WEIGHT_BYTES_A_CYCLE = 4.0
"""The weights are (a / r)^2 times those of the direct algorithm, and in a network come from memory."""
WANTED_CHUNKS = 8
EPILOGUE_CODE_BYTES = 20.0
"""For a cycle of the epilogue, which stands behind every output of a tile."""
TRANSFORM_CODE_BYTES = {3: 3000, 4: 3700, 5: 4000, 6: 4200, 7: 7500, 8: 11_000}
"""Of both transforms, straight-line code, for tiles at an edge or inside: by the rows that a tile reads."""


@dataclass(frozen=True, order=True)
class Outputs(Decision[SquareConvolution]):
    """Rows and columns of a Winograd tile's result."""

    role = "algorithm"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = min(max(nest.height, nest.width), most_outputs(nest.window))
        return tuple(m for m in OUTPUTS if m <= most)


@dataclass(frozen=True, order=True)
class Rows(Decision[SquareConvolution]):
    """Rows of tiles that a chunk takes through all stages; 0: the stages are parallel steps of their own."""

    role = "parallel"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        m = chosen["m"]
        if nest.height % m or nest.width % m or nest.taps:
            return (0,)
        return (0, *(r for r in divisors(nest.height // m) if self._fits(nest, {**chosen, self.name: r})))

    def _fits(self, nest: SquareConvolution, values: Values) -> bool:
        several = prod(nest.lead) * nest.height > values["m"] * values[self.name]
        return several and footprint(step(nest), values, nest.element_bytes) <= STACK_BYTES


@dataclass(frozen=True, order=True)
class Lanes(Decision[SquareConvolution]):
    """Elements of a vector: of channels in the input transform, of filters elsewhere."""

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = gcd(nest.filters, nest.channels, machine.lanes(nest.element_bytes))
        # A result of one vector of one tile would be written without any loop, and then not where it belongs.
        one_tile = prod(nest.lead) * prod(tiles_of(nest, chosen["m"])) == 1
        fitting = (d for d in divisors(most) if d >= LEAST_LANES and not (one_tile and d == nest.filters))
        return tuple(sorted(fitting, reverse=True))


@dataclass(frozen=True, order=True)
class Vectors(Decision[SquareConvolution]):
    """Vectors of filters in a register tile of the products."""

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(d for d in divisors(nest.filters // chosen["lanes"]) if d <= MAX_VECTORS)


@dataclass(frozen=True, order=True)
class TileOf(Decision[SquareConvolution]):
    """Winograd tiles of a row, or rows of them, in a register tile of the products."""

    before: str

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        budget = machine.vector_registers - chosen["vectors"] - 1
        most = budget // (chosen["vectors"] * chosen.get(self.before, 1))
        y, x = tiles_of(nest, chosen["m"])
        extent = x if self.name == "tile_x" else chosen["rows"] or y
        return tuple(d for d in divisors(extent) if d <= most)


@dataclass(frozen=True, order=True)
class Chunk(Decision[SquareConvolution]):
    """What a parallel chunk takes of a dim, in a stage that is a parallel step of its own: a divisor."""

    role = "parallel"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if self.name == "input_channels":
            extent, unit = nest.channels, chosen["lanes"]
        else:
            extent, unit = nest.filters // (chosen["lanes"] * chosen["vectors"]), 1
        return (extent,) if chosen["rows"] else tuple(d for d in divisors(extent) if d % unit == 0)


@dataclass(frozen=True, order=True)
class Unroll(Decision[SquareConvolution]):
    """How often the loop over the channels is unrolled."""

    role = "unroll"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        vectors = chosen["vectors"]
        free = interleaves(machine, chosen["tile_x"] * chosen["tile_y"], vectors)
        order = (MOST_UNROLLED, 2, 1) if free else (1, 2, MOST_UNROLLED)
        return tuple(f for f in order if nest.channels % f == 0)


@dataclass(frozen=True, order=True)
class Prefetch(Decision[SquareConvolution]):
    """How many steps of a product ahead the transformed weights are fetched (0: not by instructions)."""

    role = "unroll"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        y, x = tiles_of(nest, chosen["m"])
        return (16, 0, 4, 64) if prod(nest.lead) * y * x < OFTEN_READ else (0, 4, 16, 64)


@dataclass(frozen=True, order=True)
class PadInside(Decision[SquareConvolution]):
    """Whether a chunk of rows pads what it reads (1), or a parallel step before pads all of the input (0)."""

    role = "location"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        border = nest.border
        if border is None or not chosen["rows"]:
            return (0,)
        kept = footprint(step(nest), chosen, nest.element_bytes)
        kept += prod(read_tile(nest, border, chosen)) * nest.element_bytes
        return (1, 0) if kept <= STACK_BYTES else (0,)


@dataclass(frozen=True, order=True)
class SkipTaps(Decision[SquareConvolution]):
    """Whether products of planes that lie in a border of zeros are left out (1)."""

    role = "algorithm"

    def options(self, nest: SquareConvolution, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return (1, 0)


SPACE: tuple[Decision[SquareConvolution], ...] = (
    Outputs("m"), Rows("rows"), Lanes("lanes"), Vectors("vectors"), TileOf("tile_x", ""), TileOf("tile_y", "tile_x"),
    Chunk("chunk_blocks"), Chunk("input_channels"), Chunk("output_blocks"),
    PadInside("border"), Unroll("unroll"), Prefetch("prefetch"),
)  # fmt: skip
SPACE_WITH_BORDER = (*SPACE, SkipTaps("skip"))
"""Of a convolution that may leave out planes."""


class WinogradKind(Kind[SquareConvolution]):
    """A convolution of a square window by minimal filtering."""

    name = "winograd"
    exact = False
    prepared = ("m", "lanes", "vectors", "border", "prefetch")
    sometimes = ("skip",)

    def describe(self, function: ir.Operation) -> SquareConvolution:
        task = analyse(function)
        return replace(winograd.describe(function, task), epilogue_cycles=body_cycles(task.root))

    def extents(self, nest: SquareConvolution) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (*nest.lead, nest.height, nest.width, nest.filters), (
            *nest.taps,
            nest.window,
            nest.window,
            nest.channels,
        )

    def sketch(self, nest: SquareConvolution) -> Sketch:
        pad = (Pad("border", nest.border.sizes),) if nest.border is not None else ()
        return Sketch(self.name, *self.extents(nest), (*pad, step(nest)))

    def space(self, nest: SquareConvolution) -> Sequence[Decision[SquareConvolution]]:
        return SPACE_WITH_BORDER if nest.skips else SPACE

    def choose(self, nest: SquareConvolution, machine: Machine) -> Choice | None:
        best: tuple[float, dict[str, int]] | None = None
        for values in _drafts(nest, machine):
            cycles = MARGIN * estimate(nest, machine, values)
            if best is None or cycles < best[0]:
                best = cycles, values
        return best and Choice(Candidate(self.sketch(nest), tuple(best[1].items())), best[0])

    def parts(self, nest: SquareConvolution, machine: Machine, values: Values) -> Mapping[str, float]:
        return dict(
            zip(("FMA ports", "transforms", "memory", "barriers"), costs(nest, machine, values)[:4], strict=True)
        )

    def properties(self, nest: SquareConvolution, machine: Machine, values: Values) -> Properties:
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
            footprint(step(nest), values, size) + weights
            if rows
            else (tiles * (steps + filters) + steps * filters) * size
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
            l2_bytes=float((register_tiles * panel if panel > 0.75 * machine.l1_bytes else 0) + 2 * between),
            memory_bytes=float(weights + outside + (0 if near else 2 * between)),
            code_bytes=KERNEL_BYTES
            + kinds * (TRANSFORM_CODE_BYTES[edge] + m * m * EPILOGUE_CODE_BYTES * nest.epilogue_cycles)
            + tile_code_bytes(tile, vectors, values["unroll"], 1, 0.0),
        )  # fmt: skip

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        task = analyse(function)
        nest = winograd.describe(function, task)
        m, lanes, vectors, inside, ahead = (values[name] for name in self.prepared)
        if m not in OUTPUTS or m > most_outputs(nest.window):
            raise CannotBlock(f"F({m}, {nest.window}) has no matrices")
        if lanes < 1 or vectors < 1 or nest.filters % (lanes * vectors) or nest.channels % lanes:
            raise CannotBlock(
                f"F({m}, {nest.window}) with {vectors} vectors of {lanes} lanes does not divide the channels"
            )
        border.put_off(function, inside)
        skips = nest.skips if values.get("skip") else ()
        packings = winograd.run(function, task, nest, m, lanes, vectors, skips)
        if ahead:
            prefetch.mark(function, [k for k, p in packings.items() if p.winograd], ahead * vectors * lanes)
        return packings

    def emit(self, candidate: Candidate) -> str:
        return script_of(candidate, self.attributes(candidate.values))


def read_tile(nest: SquareConvolution, of: Border, values: Values) -> tuple[int, ...]:
    """Return the extents of the padded input that a chunk of rows reads."""
    outputs = [*[1] * len(nest.lead), values["rows"] * values["m"], nest.width, 1]
    return of.tile([*outputs, *nest.taps, nest.window, nest.window, nest.channels])


def tiles_of(nest: SquareConvolution, m: int) -> tuple[int, int]:
    """Return the rows of Winograd tiles, and the tiles of a row."""
    return -(-nest.height // m), -(-nest.width // m)


def step(nest: SquareConvolution) -> Winograd:
    """Return the only step of the sketch."""
    return Winograd(
        nest.lead, nest.height, nest.width, nest.channels, nest.filters, nest.read, nest.taps, window=nest.window
    )


def _drafts(nest: SquareConvolution, machine: Machine) -> Iterator[dict[str, int]]:
    """Yield the candidates that are worth an estimate: every algorithm and register tile, with enough chunks."""

    space = SPACE_WITH_BORDER if nest.skips else SPACE

    def walk(chosen: dict[str, int], left: int) -> Iterator[dict[str, int]]:
        if left == len(space):
            yield chosen
            return
        decision = space[left]
        options = decision.options(nest, machine, chosen)
        if decision.name == "m":
            options = tuple(m for m in options if m in DEFAULTS)
        elif isinstance(decision, Chunk):
            options = _enough(decision.name, options, nest, chosen)
        elif decision.name in ("lanes", "unroll", "prefetch", "skip"):
            options = options[:1]
        for value in options:
            yield from walk({**chosen, decision.name: value}, left + 1)

    return walk({}, 0)


def _enough(name: str, options: tuple[int, ...], nest: SquareConvolution, chosen: Values) -> tuple[int, ...]:
    """The largest chunk of which there are enough."""
    y, _ = tiles_of(nest, chosen["m"])
    others = (chosen["m"] + nest.window - 1) ** 2 if name == "chunk_blocks" else prod(nest.lead) * y
    fitting = [o for o in options if others * (options[-1] // o) >= WANTED_CHUNKS] if options else []
    return tuple(fitting or options[:1])[-1:]


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
    crowded = CROWDED_CYCLES * crowding((tile,), (nest.channels * nest.element_bytes,), ways(machine))
    step_cycles = product_step_cycles(machine, tile, vectors, values["unroll"]) + crowded
    register_tiles = edge * edge * tiles // tile * (nest.filters // (lanes * vectors))
    taken = steps * prod(s.share for s in nest.skips) if values.get("skip") else steps
    products = register_tiles * (taken * step_cycles + TILE_CYCLES)
    reading = TRANSFORM_SHARE * edge * np.count_nonzero(known.input) + edge * edge
    writing = TRANSFORM_SHARE * (edge + m) / 2 * np.count_nonzero(known.output) + edge * edge / 2 + m * m
    transforms = images * (nest.channels // lanes) * reading + tiles * (nest.filters // lanes) * writing
    # What passes between the stages, and the weights.
    between = 2 * edge * edge * (images * nest.channels + tiles * nest.filters) * nest.element_bytes
    weights = edge * edge * steps * nest.filters * nest.element_bytes
    chunks, sections = (
        edge * edge,
        1 + 2 * len(pieces(nest.height, m, nest.window)) * len(pieces(nest.width, m, nest.window)),
    )
    if rows:
        chunks, sections = prod(nest.lead) * y // rows, 1
        near = footprint(step(nest), values, nest.element_bytes) <= machine.l2_bytes / 2
        times = chunks if weights > machine.l2_bytes / 2 else 1
    else:
        near, times = between / 2 <= machine.l2_bytes, 1
    if nest.border is not None:
        tile = prod(read_tile(nest, nest.border, values)) * nest.element_bytes
        transforms += border_cycles(nest.border, tile, chunks if values["border"] else 0)
    memory = between / (L2_BYTES_A_CYCLE if near else MEMORY_BYTES_A_CYCLE)
    memory += weights * times / WEIGHT_BYTES_A_CYCLE
    if times < chunks and rows:
        memory += weights * chunks / L2_BYTES_A_CYCLE
    return products, transforms, memory, SECTION_CYCLES * sections, imbalance(chunks)
