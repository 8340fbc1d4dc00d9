"""Winograd's algorithm as a kind of schedules: transform the input, many small products, transform back.

Either three parallel steps, with all of the transformed image between them:

    forall (rows of tiles) { input transform }
    forall (i, j, chunk of channels) { for each register tile { accumulators; for ci { fma }; store } }
    forall (rows of tiles) { output transform; epilogue; store }

or one, where a chunk takes some rows of tiles through all three, in buffers that stay in its core's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd, prod

from mlir import ir

from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import LEAST_LANES, MAX_VECTORS, divisors
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.steps import Script
from ansorc.compiler.sketch.winograd_step import Winograd, footprint
from ansorc.dialect_passes.schedule import winograd
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, Packing
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.winograd import TAPS, Convolution3x3
from ansorc.dialect_passes.schedule.words import cse, match_ops, patterns, script

OUTPUTS = (4, 2, 6)
"""m of F(m x m, 3 x 3), the best first: of a 6 the error grows to 1e-4 of the largest result and beyond."""
STACK_BYTES = 1 << 20
"""Most that a chunk keeps on the stack of its thread."""
TRANSFORM_REGISTERS = 2


@dataclass(frozen=True, order=True)
class Outputs(Decision[Convolution3x3]):
    """Rows and columns of a Winograd tile's result."""

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(m for m in OUTPUTS if m <= max(nest.height, nest.width))


@dataclass(frozen=True, order=True)
class Rows(Decision[Convolution3x3]):
    """Rows of tiles that a chunk takes through all stages; 0: the stages are parallel steps of their own."""

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        m = chosen["m"]
        if nest.height % m or nest.width % m or nest.taps:
            return (0,)
        return (0, *(r for r in divisors(nest.height // m) if self._fits(nest, {**chosen, self.name: r})))

    def _fits(self, nest: Convolution3x3, values: Values) -> bool:
        several = prod(nest.lead) * nest.height > values["m"] * values[self.name]
        return several and footprint(step(nest), values, nest.element_bytes) <= STACK_BYTES


@dataclass(frozen=True, order=True)
class Lanes(Decision[Convolution3x3]):
    """Elements of a vector: of channels in the input transform, of filters elsewhere."""

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = gcd(nest.filters, nest.channels, machine.lanes(nest.element_bytes))
        return tuple(sorted((d for d in divisors(most) if d >= LEAST_LANES), reverse=True))


@dataclass(frozen=True, order=True)
class Vectors(Decision[Convolution3x3]):
    """Vectors of filters in a register tile of the products."""

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(d for d in divisors(nest.filters // chosen["lanes"]) if d <= MAX_VECTORS)


@dataclass(frozen=True, order=True)
class TileOf(Decision[Convolution3x3]):
    """Winograd tiles of a row, or rows of them, in a register tile of the products."""

    before: str

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        budget = machine.vector_registers - chosen["vectors"] - 1
        most = budget // (chosen["vectors"] * chosen.get(self.before, 1))
        y, x = tiles_of(nest, chosen["m"])
        extent = x if self.name == "tile_x" else chosen["rows"] or y
        return tuple(d for d in divisors(extent) if d <= most)


@dataclass(frozen=True, order=True)
class Chunk(Decision[Convolution3x3]):
    """What a parallel chunk takes of a dim, in a stage that is a parallel step of its own: a divisor."""

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        if self.name == "input_channels":
            extent, unit = nest.channels, chosen["lanes"]
        else:
            extent, unit = nest.filters // (chosen["lanes"] * chosen["vectors"]), 1
        return (extent,) if chosen["rows"] else tuple(d for d in divisors(extent) if d % unit == 0)


@dataclass(frozen=True, order=True)
class Unroll(Decision[Convolution3x3]):
    """How often the loop over the channels is unrolled."""

    def options(self, nest: Convolution3x3, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(f for f in (1, 2, 4) if nest.channels % f == 0)


SPACE: tuple[Decision[Convolution3x3], ...] = (
    Outputs("m"), Rows("rows"), Lanes("lanes"), Vectors("vectors"), TileOf("tile_x", ""), TileOf("tile_y", "tile_x"),
    Chunk("chunk_blocks"), Chunk("input_channels"), Chunk("output_blocks"), Unroll("unroll"),
)  # fmt: skip


class WinogradKind(Kind[Convolution3x3]):
    """A 3x3 convolution by minimal filtering."""

    name = "winograd"
    prepared = ("m", "lanes", "vectors")

    def describe(self, function: ir.Operation) -> Convolution3x3:
        return winograd.describe(function, analyse(function))

    def extents(self, nest: Convolution3x3) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (*nest.lead, nest.height, nest.width, nest.filters), (*nest.taps, TAPS, TAPS, nest.channels)

    def sketch(self, nest: Convolution3x3) -> Sketch:
        return Sketch(self.name, *self.extents(nest), (step(nest),))

    def space(self, nest: Convolution3x3) -> Sequence[Decision[Convolution3x3]]:
        return SPACE

    def choose(self, nest: Convolution3x3, machine: Machine) -> Choice | None:
        return None

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        task = analyse(function)
        nest = winograd.describe(function, task)
        m, lanes, vectors = (values[name] for name in self.prepared)
        if m not in OUTPUTS or lanes < 1 or vectors < 1 or nest.filters % (lanes * vectors) or nest.channels % lanes:
            raise CannotBlock(f"F({m}, 3) with {vectors} vectors of {lanes} lanes does not divide the channels")
        return winograd.run(function, task, nest, m, lanes, vectors)

    def emit(self, candidate: Candidate) -> str:
        made = Script(0, (), ())
        made.lines.clear()
        for s in candidate.sketch.steps:
            s.emit(candidate.values, made)
        return script(
            *made.lines,
            match_ops("%f", "func.func"),
            patterns("%f", "canonicalization"),
            cse("%f"),
            attributes=self.attributes(candidate.values),
        )


def tiles_of(nest: Convolution3x3, m: int) -> tuple[int, int]:
    """Return the rows of Winograd tiles, and the tiles of a row."""
    return -(-nest.height // m), -(-nest.width // m)


def step(nest: Convolution3x3) -> Winograd:
    """Return the only step of the sketch."""
    return Winograd(nest.lead, nest.height, nest.width, nest.channels, nest.filters, nest.read, nest.taps)
