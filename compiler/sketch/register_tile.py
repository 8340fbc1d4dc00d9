"""The register-tiled sketch: one anchor with an elementwise epilogue, or an elementwise task alone.

forall (chunk of blocks, outer...) {
  for each register tile { accumulators; for each reduction step { fma }; epilogue; store } }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from mlir import ir

from ansorc.compiler.sketch import analytic, default_tile, shared_rows, tile_properties
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import space
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import LoopNest, loop_nest
from ansorc.compiler.sketch.properties import Properties
from ansorc.compiler.sketch.steps import Accumulate, Block, Columns, Pack, Pad, Parallel, Peel, Reduce, Script, Walk
from ansorc.dialect_passes.ir_walk import collect, indexing_maps, shape
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.lower import prefetch, sections, streaming
from ansorc.dialect_passes.schedule import block_channels, border, columns, pack_operand, skip_taps
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape, analyse, loop_extents
from ansorc.dialect_passes.schedule.words import script, settled


class RegisterTile(Kind[LoopNest]):
    """One register tile of channels and positions, walked over the task."""

    name = "register-tile"
    few_streams = True
    keeps_numbers = True
    prepared = ("lanes", "vectors", "pack", "border", "prefetch")
    sometimes = ("columns", "skip", "stream")

    def describe(self, function: ir.Operation) -> LoopNest:
        task = analyse(function)
        if not task.parallel:
            raise CannotBlock("no loops")
        block_channels.splittable_channels(function)
        if collect(function, "tensor.extract"):
            raise CannotBlock("it reads at places that it computes")
        numbers = [ir.IntegerAttr(op.attributes["dim"]).value for op in collect(function, "linalg.index")]
        if min(numbers, default=len(task.parallel)) < len(task.parallel):
            raise CannotBlock("it computes with the numbers of loops that are blocked")
        if _reads_past_its_window(task):
            raise CannotBlock("of an input that is larger than its only window, no loop cuts a part")
        return loop_nest(function, task)

    def extents(self, nest: LoopNest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return nest.parallel, nest.reductions

    def sketch(self, nest: LoopNest) -> Sketch:
        tiled = nest.tileable
        tiles = ("", *(f"tile_{k}" if k in tiled else "" for k in range(len(nest.outer))))
        chunks = ("chunk_blocks", *(f"chunk_{k}" for k in range(len(nest.outer))))
        operand = nest.packable
        pack = (Pack("pack", len(operand.shape) - 1, operand.shape[-2]),) if operand is not None else ()
        pad = (Pad("border", nest.border.sizes),) if nest.border is not None else ()
        steps = (Block("lanes", "vectors"), *pack, *pad, Parallel(chunks, "finish"))
        if nest.windows:
            positions, window = nest.columns
            steps = (*steps, Columns("columns", tuple(nest.outer[k] for k in positions), len(window)))
        accumulate = (Accumulate("part", "finish"),) if nest.reductions else ()
        walk = (*accumulate, Walk(tiles, "channels_inside"))
        reduce = (Reduce("unroll", not nest.contraction),) if nest.reductions else ()
        return Sketch(self.name, nest.parallel, nest.reductions, (*steps, *walk, *reduce, Peel(tiles)))

    def space(self, nest: LoopNest) -> Sequence[Decision[LoopNest]]:
        return space(nest)

    def choose(self, nest: LoopNest, machine: Machine) -> Choice | None:
        best = default_tile.choose(nest, machine)
        if best is None:
            return None
        values, cycles = best
        return Choice(Candidate(self.sketch(nest), tuple((d.name, values[d.name]) for d in space(nest))), cycles)

    def parts(self, nest: LoopNest, machine: Machine, values: Values) -> Mapping[str, float]:
        cost = analytic.estimate(nest, machine, values)
        return {"FMA ports": cost.arithmetic, "L2": cost.l2, "memory": cost.memory}

    def properties(self, nest: LoopNest, machine: Machine, values: Values) -> Properties:
        return tile_properties.properties(nest, machine, values)

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        task, lanes, vectors = analyse(function), values["lanes"], values["vectors"]
        skips = skip_taps.skips_of(function, task) if values.get("skip") else ()
        if lanes < 1 or vectors < 1 or not task.parallel or task.parallel[-1] % (lanes * vectors):
            raise CannotBlock(f"{vectors} vectors of {lanes} lanes do not divide the channels of the task")
        if values["pack"] and self.describe(function).packable is None:
            raise CannotBlock("the task has no operand to pack")
        with function.context:
            for name, op in (("root", task.root), ("anchor", task.anchor), ("fill", task.fill)):
                if op is not None:
                    op.attributes[f"ansorc.{name}"] = ir.UnitAttr.get()
            if (cut := shared_rows.chunk_columns(self.describe(function), values)) > 1:
                function.attributes[sections.COLUMNS] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), cut)
            if values.get("stream"):
                function.attributes[streaming.MARK] = ir.UnitAttr.get()
        if task.anchor is not None:
            skip_taps.mark(task.anchor, skips)
        packings = block_channels.run(function, lanes, vectors)
        if values["pack"]:
            pack_operand.run(function)
        if values.get("columns"):
            columns.run(function)
        border.put_off(function, values["border"])
        if values["prefetch"]:
            prefetch.mark(function, panels(function, packings), values["prefetch"] * vectors * lanes)
        return packings

    def emit(self, candidate: Candidate) -> str:
        s, values = candidate.sketch, candidate.values
        blocks = s.parallel[-1] // (values["lanes"] * values["vectors"])
        parts = ("anchor", "fill") if s.reductions else ()
        made = Script([], "", [blocks, *s.parallel[:-1]], parts, reductions=s.reductions)
        for step in s.steps:
            step.emit(values, made)
        return script(
            *made.lines,
            *settled(),
            attributes=self.attributes(values),
        )


def _reads_past_its_window(task: TaskShape) -> bool:
    """Whether an index is a sum of loops of one iteration, into a dim of more: a stride that nobody takes."""
    if task.anchor is None:
        return False
    extents = loop_extents(task.anchor)
    extents = [e or 1 for e in [*task.parallel, *extents[len(task.parallel) :]]]
    for value, m in zip(task.anchor.operands, indexing_maps(task.anchor), strict=True):
        for e, size in zip(m.results, shape(value), strict=True):
            if isinstance(e, ir.AffineDimExpr) or size == 1:
                continue
            loops = [k for k in range(m.n_dims) if block_channels.reads(e, k, m)]
            if loops and all(extents[k] == 1 for k in loops):
                return True
    return False


def panels(function: ir.Operation, packings: Mapping[int, Packing]) -> list[int]:
    """Return the numbers of the packed arguments that the anchor reads."""
    anchor = next(op for op in collect(function, "linalg.generic") if "ansorc.anchor" in op.attributes)
    read = [v for v in anchor.operands if isinstance(v.owner, ir.Block)]
    return [n for v in read if (n := ir.BlockArgument(v).arg_number) in packings]


def register_count(candidate: Candidate) -> int:
    """Return how many vector registers the accumulators of a candidate take."""
    values = candidate.values
    return values["vectors"] * prod(v for name, v in values.items() if name.startswith("tile_"))
