"""Winograd's algorithm as a kind of schedules: transform the input, many small products, transform back.

Either three parallel steps, with all of the transformed image between them:

    forall (rows of tiles) { input transform }
    forall (i, j, chunk of channels) { for each register tile { accumulators; for ci { fma }; store } }
    forall (rows of tiles) { output transform; epilogue; store }

or one, where a chunk takes some rows of tiles through all three, in buffers that stay in its core's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from mlir import ir

from ansorc.compiler.sketch.bilinear import script_of
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import body_cycles
from ansorc.compiler.sketch.properties import Properties
from ansorc.compiler.sketch.steps import Pad
from ansorc.compiler.sketch.winograd_cost import costs, estimate, properties
from ansorc.compiler.sketch.winograd_decisions import OUTPUTS, SPACE, SPACE_WITH_BORDER, Chunk, step, tiles_of
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.lower import prefetch
from ansorc.dialect_passes.schedule import border, winograd
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.winograd import SquareConvolution
from ansorc.dialect_passes.schedule.winograd_matrices import most_outputs

DEFAULTS = (4, 2)
"""Of which the default is chosen: a 6 makes much code for its edges, and rounds most."""
MARGIN = 1.1
"""How much faster than another algorithm the estimate has to be: it errs, and results are less exact."""
WANTED_CHUNKS = 8


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
        return properties(nest, machine, values)

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
