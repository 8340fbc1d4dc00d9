"""The kind of elementwise tasks that read at places which they compute: gathers, interpolations, reflected borders.

forall (chunk of every loop) {
  for each row { where it is; for each vector of it { read it, or gather it; the rest of the body; store } } }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir

from ansorc.compiler.sketch import chunks
from ansorc.compiler.sketch.analytic import imbalance
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.gather_step import GatherRows
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import body_cycles, bytes_of
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties
from ansorc.compiler.sketch.speeds import behind_l1
from ansorc.dialect_passes.ir_walk import collect, indexing_maps
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.gather_rows import READ, reads_along, reads_rows
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.words import script, settled

VECTORS = (4, 2, 1)
"""Vectors of a row that are read together."""
LEAST_ROW = 4
"""Shorter rows are not worth a vector."""
ROW_CYCLES = 8.0
"""To find out where a row is."""
GATHERED_CYCLES = 2.0
"""Of an element that is gathered: each is loaded by itself, and put into its lane."""
VECTOR_CODE_BYTES = 16.0


@dataclass(frozen=True, order=True)
class Gathering:
    """A task that gathers, as numbers."""

    extents: tuple[int, ...]
    """Of the loops; along the last the result is contiguous."""
    along: bool
    """Whether all that is read moves on with the last loop; otherwise elements are gathered."""
    reads: int
    element_bytes: int
    touched: int
    """Bytes of all operands, of what is gathered at most as much as is read."""
    cycles: float
    """About how long the body takes for one vector."""


@dataclass(frozen=True, order=True)
class Along(Decision[Gathering]):
    """Elements of a row that are read together."""

    def options(self, nest: Gathering, machine: Machine, chosen: Values) -> tuple[int, ...]:
        lanes, row = machine.lanes(nest.element_bytes), nest.extents[-1]
        if row < lanes:
            return (row,)
        return tuple(v * lanes for v in (VECTORS if nest.along else VECTORS[-1:]) if v * lanes <= row)


@dataclass(frozen=True, order=True)
class Chunk(Decision[Gathering]):
    """Iterations of a loop in a parallel chunk: a divisor; of the last loop one that holds a vector."""

    role = "parallel"

    loop: int

    def options(self, nest: Gathering, machine: Machine, chosen: Values) -> tuple[int, ...]:
        block = chosen["along"] if self.loop == len(nest.extents) - 1 else 1
        return chunks.options(nest.extents[self.loop], block)


class Gather(Kind[Gathering]):
    """Rows that begin at computed places."""

    name = "gather"
    keeps_numbers = True
    prepared = ()

    def describe(self, function: ir.Operation) -> Gathering:
        task = analyse(function)
        root = task.root
        reads = collect(root, READ)
        if task.anchor is not None or not reads:
            raise CannotBlock("it reduces something, or gathers nothing")
        maps = indexing_maps(root)
        if not all(isinstance(e, ir.AffineDimExpr) for m in maps for e in m.results):
            raise CannotBlock("an index is compound")
        if maps[-1] != ir.AffineMap.get_identity(maps[-1].n_dims):
            raise CannotBlock("the result is written across")
        if not all(isinstance(read.operands[0].owner, ir.Block) for read in reads):
            raise CannotBlock("what is gathered is computed by the task")
        if not reads_rows(root):
            raise CannotBlock("every element is elsewhere in several dims")
        if task.parallel[-1] < LEAST_ROW:
            raise CannotBlock("rows fill no vector")
        element = ir.RankedTensorType(root.results[0].type).element_type
        width = max(1, getattr(element, "width", 64) // 8)
        read = prod(task.parallel) * width
        touched = sum(bytes_of(v) for v in root.operands) + sum(min(bytes_of(r.operands[0]), read) for r in reads)
        return Gathering(task.parallel, reads_along(root), len(reads), width, touched, body_cycles(root))

    def extents(self, nest: Gathering) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return nest.extents, ()

    def sketch(self, nest: Gathering) -> Sketch:
        return Sketch(self.name, nest.extents, (), (GatherRows(nest.extents),))

    def space(self, nest: Gathering) -> Sequence[Decision[Gathering]]:
        return (Along("along"), *(Chunk(f"chunk_{k}", k) for k in range(len(nest.extents))))

    def choose(self, nest: Gathering, machine: Machine) -> Choice | None:
        loops, along = range(len(nest.extents)), Along("along").default(nest, machine, {})
        cut, waiting = chunks.choose(nest.extents, loops, {loops[-1]: along})
        values = {"along": along, **cut}
        candidate = Candidate(self.sketch(nest), tuple((d.name, values[d.name]) for d in self.space(nest)))
        parts = self.parts(nest, machine, values)
        return Choice(candidate, sum(parts.values()) * waiting)

    def parts(self, nest: Gathering, machine: Machine, values: Values) -> Mapping[str, float]:
        points, row = prod(nest.extents), values[f"chunk_{len(nest.extents) - 1}"]
        vectors = points / min(machine.lanes(nest.element_bytes), values["along"])
        gathered = 0.0 if nest.along else points * nest.reads * GATHERED_CYCLES
        return {
            "rows": points / row * ROW_CYCLES * nest.reads,
            "vectors": vectors * (nest.reads + 1 + nest.cycles) + gathered,
            "memory": nest.touched / behind_l1(machine, nest.touched),
        }

    def properties(self, nest: Gathering, machine: Machine, values: Values) -> Properties:
        points, last = prod(nest.extents), len(nest.extents) - 1
        chunk = prod(values[f"chunk_{k}"] for k in range(len(nest.extents)))
        lanes = machine.lanes(nest.element_bytes)
        vectors = -(-values["along"] // lanes)
        moved = float((nest.reads + 1) * nest.element_bytes)
        kinds = 1 + (values[f"chunk_{last}"] % values["along"] > 0)
        return Properties(
            flops=2 * nest.cycles * points,
            registers=min(machine.vector_registers, vectors * (nest.reads + 1)),
            vector_efficiency=min(1.0, values["along"] / lanes),
            chunks=points // chunk,
            balance=1 / imbalance(points // chunk),
            tile_footprint=values["along"] * moved,
            chunk_footprint=chunk * moved,
            task_footprint=float(nest.touched),
            l1_bytes=points * moved,
            l2_bytes=points * moved,
            memory_bytes=float(nest.touched if nest.touched > machine.l2_bytes / 2 else 0),
            code_bytes=KERNEL_BYTES
            + kinds * vectors * VECTOR_CODE_BYTES * (1 + nest.cycles) * (1 if nest.along else 4 * nest.reads),
        )

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        with function.context:
            analyse(function).root.attributes["ansorc.root"] = ir.UnitAttr.get()
        return {}

    def emit(self, candidate: Candidate) -> str:
        lines: list[str] = []
        for step in candidate.sketch.steps:
            step.emit(candidate.values, lines)
        return script(*lines, *settled(), attributes=self.attributes(candidate.values))
