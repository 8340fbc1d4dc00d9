"""The kind that reduces few long rows in parts: norms, sums and maxima of whole tensors.

forall (rows, parts) { accumulators of some vectors; for each step { combine; } store }
for each part { combine the accumulators }; one number a row; epilogue
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod

from mlir import ir

from ansorc.compiler.sketch.analytic import CHUNK_CYCLES, imbalance
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import LEAST_LANES, MAX_VECTORS, divisors
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import body_cycles
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import FMA_LATENCY, LOAD_PORTS, bytes_a_cycle
from ansorc.compiler.sketch.split_step import SplitRows
from ansorc.dialect_passes.ir_walk import segments
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule import split_reduction
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.words import script, settled

MOST_ROWS = 64
"""With more rows than that, threads have enough to do without parts."""
MOST_PARTS = 256
SECTION_CYCLES = 2_000.0


@dataclass(frozen=True, order=True)
class Reduction:
    """A reduction of rows as numbers."""

    rows: tuple[int, ...]
    length: int
    operands: int
    element_bytes: int
    cycles: float
    """About how long the body takes for one vector."""


@dataclass(frozen=True, order=True)
class Lanes(Decision[Reduction]):
    """Elements of a vector."""

    def options(self, nest: Reduction, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = gcd(nest.length, machine.lanes(nest.element_bytes))
        return tuple(sorted((d for d in divisors(most) if d >= LEAST_LANES), reverse=True))


@dataclass(frozen=True, order=True)
class Vectors(Decision[Reduction]):
    """Accumulators of a part."""

    def options(self, nest: Reduction, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(d for d in range(1, MAX_VECTORS + 1) if nest.length // chosen["lanes"] % d == 0)


@dataclass(frozen=True, order=True)
class Parts(Decision[Reduction]):
    """Parts of a row: chunks that threads take."""

    role = "parallel"

    def options(self, nest: Reduction, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = nest.length // (chosen["lanes"] * chosen["vectors"])
        return tuple(d for d in range(1, min(most, MOST_PARTS) + 1) if most % d == 0)


@dataclass(frozen=True, order=True)
class Unroll(Decision[Reduction]):
    """How often the loop over the steps of a part is unrolled."""

    role = "unroll"

    def options(self, nest: Reduction, machine: Machine, chosen: Values) -> tuple[int, ...]:
        steps = nest.length // (chosen["lanes"] * chosen["vectors"] * chosen["parts"])
        return tuple(f for f in (1, 2, 4) if steps % f == 0)


SPACE: tuple[Decision[Reduction], ...] = (Lanes("lanes"), Vectors("vectors"), Parts("parts"), Unroll("unroll"))


class SplitReduction(Kind[Reduction]):
    """Partial results in parallel."""

    name = "split-reduction"
    prepared = ("lanes", "vectors", "parts")

    def describe(self, function: ir.Operation) -> Reduction:
        task = split_reduction.analyse(function)
        if prod(task.rows) > MOST_ROWS:
            raise CannotBlock("enough rows for all threads")
        element = ir.RankedTensorType(task.op.results[0].type).element_type
        width = max(1, getattr(element, "width", 64) // 8)
        return Reduction(task.rows, task.length, segments(task.op)[0], width, body_cycles(task.op))

    def extents(self, nest: Reduction) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return nest.rows, (nest.length,)

    def sketch(self, nest: Reduction) -> Sketch:
        return Sketch(self.name, *self.extents(nest), (SplitRows(nest.rows, nest.length),))

    def space(self, nest: Reduction) -> Sequence[Decision[Reduction]]:
        return SPACE

    def choose(self, nest: Reduction, machine: Machine) -> Choice | None:
        best: tuple[float, dict[str, int]] | None = None
        chosen: dict[str, int] = {}
        for lanes in SPACE[0].options(nest, machine, chosen)[:1]:
            for vectors in SPACE[1].options(nest, machine, {"lanes": lanes}):
                for parts in SPACE[2].options(nest, machine, {"lanes": lanes, "vectors": vectors}):
                    chosen = {"lanes": lanes, "vectors": vectors, "parts": parts}
                    chosen["unroll"] = SPACE[3].options(nest, machine, chosen)[-1]
                    cycles = sum(self.parts(nest, machine, chosen).values())
                    if best is None or cycles < best[0]:
                        best = cycles, chosen
        return best and Choice(Candidate(self.sketch(nest), tuple(best[1].items())), best[0])

    def parts(self, nest: Reduction, machine: Machine, values: Values) -> Mapping[str, float]:
        rows, vectors, parts = prod(nest.rows), values["vectors"], values["parts"]
        steps = nest.length // (values["lanes"] * vectors * parts)
        chunks = rows * parts
        step = max(vectors * nest.operands / LOAD_PORTS, vectors * nest.cycles / 2, FMA_LATENCY) + 1 / values["unroll"]
        size = rows * nest.length * nest.operands * nest.element_bytes
        arithmetic = chunks * steps * step
        memory = size / bytes_a_cycle(machine, size) if size > machine.l2_bytes / 2 else 0.0
        worth = max(1, int((arithmetic + memory) / CHUNK_CYCLES))  # more threads than that would only wait
        waiting = imbalance(chunks, worth)
        return {
            "FMA ports": arithmetic * waiting,
            "memory": memory * waiting,
            "combining": rows * (parts * max(vectors, FMA_LATENCY) + 50 * vectors),
            "barriers": 2 * SECTION_CYCLES,
        }

    def properties(self, nest: Reduction, machine: Machine, values: Values) -> Properties:
        rows, width, parts = prod(nest.rows), values["lanes"] * values["vectors"], values["parts"]
        size = rows * nest.length * nest.operands * nest.element_bytes
        chunks = rows * parts
        code = KERNEL_BYTES + tile_code_bytes(1, values["vectors"], values["unroll"], 1, nest.cycles)
        return Properties(
            flops=float(2 * rows * nest.length),
            registers=2 * values["vectors"],
            vector_efficiency=values["lanes"] / machine.lanes(nest.element_bytes),
            chunks=chunks,
            balance=1 / imbalance(chunks),
            tile_footprint=float(width * (nest.operands + 1) * nest.element_bytes),
            chunk_footprint=float(size / chunks + width * nest.element_bytes),
            task_footprint=float(size + chunks * width * nest.element_bytes),
            l1_bytes=float(size + 2 * chunks * width * nest.element_bytes),
            l2_bytes=float(size),
            memory_bytes=float(size if size > machine.l2_bytes / 2 else 0),
            code_bytes=code,
        )

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        split_reduction.run(function, values["parts"], values["vectors"], values["lanes"])
        return {}

    def emit(self, candidate: Candidate) -> str:
        lines: list[str] = []
        for step in candidate.sketch.steps:
            step.emit(candidate.values, lines)
        return script(
            *lines,
            *settled('vector.lower_multi_reduction lowering_strategy = "innerreduction"'),
            attributes=self.attributes(candidate.values),
        )
