"""Strassen's algorithm as a kind of schedules: 7 products of blocks instead of 8, for products with weights.

forall (chunk of pairs of rows, chunk of columns)
  sums of the blocks of its rows                                           in buffers that stay in its core's cache
  for some blocks of columns
    for t in 7, block { for each register tile { accumulators; for c { fma }; store } }
    sums of products; epilogue; store
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from mlir import ir

from ansorc.compiler.sketch.bilinear import script_of
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import LEAST_LANES, MAX_VECTORS, MOST_UNROLLED, divisors, interleaves
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import body_cycles
from ansorc.compiler.sketch.properties import Properties
from ansorc.compiler.sketch.strassen_cost import SECTION_CYCLES, column_chunks, costs, properties, row_chunks, step
from ansorc.compiler.sketch.strassen_step import footprint
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.lower import prefetch
from ansorc.dialect_passes.schedule import strassen
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.strassen import Pairs

STACK_BYTES = 1 << 20
"""Most that a chunk keeps on the stack of its thread."""
LEAST_PART = 64
"""Channels of a part: with fewer, most of the time goes into adding to what the last one made."""
DRAFTED_PART = 512
MARGIN = 1.05
"""How much faster than another algorithm the estimate has to be: it errs, and results are less exact."""


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
class Part(Decision[Pairs]):
    """Channels, of a half, of which a chunk keeps the sums of its rows; those of the next add to what they made."""

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        half = nest.channels // 2
        return tuple(d for d in reversed(divisors(half)) if d == half or (d >= LEAST_PART and d % chosen["lanes"] == 0))


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
class ChunkBlocks(Decision[Pairs]):
    """Blocks of columns of a chunk, most first: few rows have weights to share out, and sum theirs in each chunk."""

    role = "parallel"

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        blocks = nest.filters // (2 * chosen["lanes"] * chosen["vectors"])
        return tuple(d for d in reversed(divisors(blocks)) if _is_shared(nest, {**chosen, self.name: d}))


@dataclass(frozen=True, order=True)
class OutputBlocks(Decision[Pairs]):
    """Blocks of columns of which a chunk keeps the products before it sums them: a divisor."""

    def options(self, nest: Pairs, machine: Machine, chosen: Values) -> tuple[int, ...]:
        of = divisors(chosen["chunk_blocks"]) if chosen["part"] == nest.channels // 2 else (chosen["chunk_blocks"],)
        return tuple(d for d in of if _fits(nest, {**chosen, self.name: d}))


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
        return (0, 4, 16, 64)


SPACE: tuple[Decision[Pairs], ...] = (
    Lanes("lanes"), Vectors("vectors"), Part("part"), Chunk("chunk_0"), Chunk("chunk_1"), ChunkBlocks("chunk_blocks"),
    OutputBlocks("output_blocks"), TileOf("tile_x", ""), TileOf("tile_y", "tile_x"), Unroll("unroll"),
    Prefetch("prefetch"),
)  # fmt: skip


class StrassenKind(Kind[Pairs]):
    """A product with weights by seven products of blocks."""

    name = "strassen"
    exact = False
    few_streams = True
    prepared = ("lanes", "vectors", "prefetch", "part")

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
        waits = (known.products, known.sums, known.l2, known.memory + known.waits, SECTION_CYCLES)
        return dict(zip(("FMA ports", "transforms", "L2", "memory", "barriers"), waits, strict=True))

    def properties(self, nest: Pairs, machine: Machine, values: Values) -> Properties:
        return properties(nest, machine, values)

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        task = analyse(function)
        nest = strassen.describe(function, task)
        lanes, vectors, ahead, part = (values[name] for name in self.prepared)
        if lanes < 1 or vectors < 1 or nest.filters % (2 * lanes * vectors) or nest.channels % (2 * lanes):
            raise CannotBlock(f"{vectors} vectors of {lanes} lanes do not divide the halves of the channels")
        packings = strassen.run(function, task, nest, lanes, vectors, whole=2 * part == nest.channels)
        if ahead:
            prefetch.mark(function, list(packings), ahead * vectors * lanes)
        return packings

    def emit(self, candidate: Candidate) -> str:
        return script_of(candidate, self.attributes(candidate.values))


def _is_shared(nest: Pairs, values: Values) -> bool:
    """Whether there are several chunks."""
    return row_chunks(nest, values) * column_chunks(nest, values) > 1


def _fits(nest: Pairs, values: Values) -> bool:
    """Whether what a chunk keeps is little."""
    return footprint(step(nest), {"output_blocks": 1, **values}, nest.element_bytes) <= STACK_BYTES


def _drafts(nest: Pairs, machine: Machine) -> Iterator[dict[str, int]]:
    """Yield the candidates that are worth an estimate."""

    def walk(chosen: dict[str, int], left: int) -> Iterator[dict[str, int]]:
        if left == len(SPACE):
            yield chosen
            return
        decision = SPACE[left]
        options = decision.options(nest, machine, chosen)
        if decision.name == "part":
            options = options[:1] + tuple(d for d in options[1:] if d <= DRAFTED_PART)[:2]
        for value in options[:1] if decision.name in ("lanes", "unroll", "prefetch") else options:
            yield from walk({**chosen, decision.name: value}, left + 1)

    return walk({}, 0)
