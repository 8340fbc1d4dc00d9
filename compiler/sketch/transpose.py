"""The kind of elementwise tasks that read something across: transposes, and what is computed along with them.

forall (chunk of every loop) {
  for each block of rows and columns { load vectors of rows; transpose them in registers; store vectors of columns } }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir

from ansorc.compiler.sketch import chunks
from ansorc.compiler.sketch.analytic import imbalance
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import body_cycles, bytes_of
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties
from ansorc.compiler.sketch.speeds import behind_l1
from ansorc.compiler.sketch.transpose_step import TransposeBlocks
from ansorc.dialect_passes.ir_walk import indexing_maps, segments
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import analyse
from ansorc.dialect_passes.schedule.words import script, settled

BLOCKS = (16, 8, 4)
"""Rows or columns that are transposed in registers; 16 x 16 has a network of shuffles of its own."""
SHUFFLE_CYCLES = 0.6
"""Of an element of a block: a shuffle moves a vector, and 16 x 16 elements take 64 of them."""
LINE_CYCLES = 4.0
"""Of a row of a block, which lies in a cache line of its own."""
ELEMENT_CODE_BYTES = 4.0


@dataclass(frozen=True, order=True)
class Transposition:
    """An elementwise task as numbers."""

    extents: tuple[int, ...]
    """Of the loops."""
    across: int
    """The loop along which something that is read is contiguous."""
    along: int
    """The loop along which the result is contiguous."""
    operands: int
    element_bytes: int
    touched: int
    """Bytes of all operands."""
    cycles: float
    """About how long the body takes for one vector."""


@dataclass(frozen=True, order=True)
class Block(Decision[Transposition]):
    """Iterations of one of the two loops in a block."""

    def options(self, nest: Transposition, machine: Machine, chosen: Values) -> tuple[int, ...]:
        extent = nest.extents[nest.across if self.name == "across" else nest.along]
        return tuple(b for b in BLOCKS if b <= extent)


@dataclass(frozen=True, order=True)
class Chunk(Decision[Transposition]):
    """Iterations of a loop in a parallel chunk: a divisor that holds a block."""

    role = "parallel"

    loop: int

    def options(self, nest: Transposition, machine: Machine, chosen: Values) -> tuple[int, ...]:
        block = {nest.across: chosen["across"], nest.along: chosen["along"]}.get(self.loop, 1)
        return chunks.options(nest.extents[self.loop], block)


@dataclass(frozen=True, order=True)
class AcrossInside(Decision[Transposition]):
    """Whether the loop that reads on is the innermost (1), or the one that writes on (0)."""

    role = "location"

    def options(self, nest: Transposition, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return (0, 1)


class Transpose(Kind[Transposition]):
    """Blocks that are transposed in registers."""

    name = "transpose"
    prepared = ()

    def describe(self, function: ir.Operation) -> Transposition:
        task = analyse(function)
        root = task.root
        if task.anchor is not None:
            raise CannotBlock("it reduces something")
        maps, inputs = indexing_maps(root), segments(root)[0]
        if not all(isinstance(e, ir.AffineDimExpr) for m in maps for e in m.results) or not maps[-1].is_permutation:
            raise CannotBlock("an index is compound")
        along = ir.AffineDimExpr(maps[-1].results[-1]).position
        # What does not move along the result's rows is one number for each of them.
        reads = [[ir.AffineDimExpr(e).position for e in m.results] for m in maps[:-1]]
        others = {dims[-1] for dims in reads if along in dims} - {along}
        across = {k for k in others if task.parallel[k] > 1}
        if len(across) != 1:
            raise CannotBlock("nothing is read across, or several things are")
        (other,) = across
        if min(task.parallel[other], task.parallel[along]) < BLOCKS[-1]:
            raise CannotBlock("rows and columns fill no vector")
        element = ir.RankedTensorType(root.results[0].type).element_type
        width = max(1, getattr(element, "width", 64) // 8)
        touched = sum(bytes_of(v) for v in root.operands)
        return Transposition(task.parallel, other, along, inputs, width, touched, body_cycles(root))

    def extents(self, nest: Transposition) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return nest.extents, ()

    def sketch(self, nest: Transposition) -> Sketch:
        return Sketch(self.name, nest.extents, (), (TransposeBlocks(nest.extents, nest.across, nest.along),))

    def space(self, nest: Transposition) -> Sequence[Decision[Transposition]]:
        cuts = [Chunk(f"chunk_{k}", k) for k in range(len(nest.extents))]
        return (Block("across"), Block("along"), *cuts, AcrossInside("across_inside"))

    def choose(self, nest: Transposition, machine: Machine) -> Choice | None:
        values = {d.name: d.default(nest, machine, {}) for d in self.space(nest)[:2]}
        # The dims that neither lies along come first, then the rows that are written.
        order = sorted(range(len(nest.extents)), key=lambda k: (k in (nest.across, nest.along), k == nest.along))
        blocks = {nest.across: values["across"], nest.along: values["along"]}
        cut, waiting = chunks.choose(nest.extents, order, blocks)
        values |= cut
        values["across_inside"] = 0
        candidate = Candidate(self.sketch(nest), tuple((d.name, values[d.name]) for d in self.space(nest)))
        parts = self.parts(nest, machine, values)
        return Choice(candidate, sum(parts.values()) * waiting)

    def parts(self, nest: Transposition, machine: Machine, values: Values) -> Mapping[str, float]:
        points = prod(nest.extents)
        lines = points / values["across"] + points / values["along"]
        return {
            "shuffles": points * (SHUFFLE_CYCLES + nest.cycles / machine.lanes(nest.element_bytes)),
            "cache lines": lines * LINE_CYCLES,
            "memory": nest.touched / behind_l1(machine, nest.touched),
        }

    def properties(self, nest: Transposition, machine: Machine, values: Values) -> Properties:
        points, block = prod(nest.extents), values["across"] * values["along"]
        chunk = prod(values[f"chunk_{k}"] for k in range(len(nest.extents)))
        kinds = prod(
            1 + (values[f"chunk_{k}"] % values[name] > 0)
            for k, name in ((nest.across, "across"), (nest.along, "along"))
        )
        moved = float((nest.operands + 1) * nest.element_bytes)
        lanes = machine.lanes(nest.element_bytes)
        return Properties(
            flops=2 * nest.cycles * points,
            registers=min(machine.vector_registers, max(values["across"], values["along"])),
            vector_efficiency=min(1.0, values["along"] / lanes),
            chunks=points // chunk,
            balance=1 / imbalance(points // chunk),
            tile_footprint=block * moved,
            chunk_footprint=chunk * moved,
            task_footprint=float(nest.touched),
            l1_bytes=points * moved,
            l2_bytes=points * moved,
            memory_bytes=float(nest.touched if nest.touched > machine.l2_bytes / 2 else 0),
            code_bytes=KERNEL_BYTES + kinds * block * (ELEMENT_CODE_BYTES * (1 + nest.cycles)),
        )

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        with function.context:
            analyse(function).root.attributes["ansorc.root"] = ir.UnitAttr.get()
        return {}

    def emit(self, candidate: Candidate) -> str:
        lines: list[str] = []
        for step in candidate.sketch.steps:
            step.emit(candidate.values, lines)
        return script(
            *lines,
            *settled(),
            attributes=self.attributes(candidate.values),
        )
