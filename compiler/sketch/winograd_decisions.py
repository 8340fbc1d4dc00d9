"""The decisions of Winograd's algorithm: for each, its legal values."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from ansorc.compiler.sketch.decisions import LEAST_LANES, MAX_VECTORS, MOST_UNROLLED, OFTEN_READ, divisors, interleaves
from ansorc.compiler.sketch.kind import Decision, Values
from ansorc.compiler.sketch.winograd_step import Winograd, footprint
from ansorc.dialect_passes.schedule.border import Border
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.winograd import SquareConvolution
from ansorc.dialect_passes.schedule.winograd_matrices import most_outputs

OUTPUTS = (4, 2, 6)
"""m of F(m x m, r x r), the one that saves most for its error first (see winograd_matrices.amplification)."""
STACK_BYTES = 1 << 20
"""Most that a chunk keeps on the stack of its thread."""


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
