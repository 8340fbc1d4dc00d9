"""The kind of chains: several contractions, or one and reductions of rows, computed a block of rows at a time.

forall (heads, block of rows) {
  contraction into a block that stays in the near caches; reductions of its rows; elementwise stages;
  the second contraction reads that block; its epilogue }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlir import ir

from ansorc.compiler.sketch import chain_cost, chain_properties
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.chain_nest import ChainNest, chain_nest, space
from ansorc.compiler.sketch.chain_steps import ChainScript, Each, Loops, Multiply, Panels, Rows
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.properties import Properties
from ansorc.compiler.sketch.steps import Step
from ansorc.dialect_passes.ir_walk import collect, segments
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule import pack_panels, prepare_chain, split_loops
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, MAP, REDUCTION, analyse
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.split_loops import Width
from ansorc.dialect_passes.schedule.words import script, settled


class ChainKind(Kind[ChainNest]):
    """Blocks of rows, through all stages."""

    name = "chain"
    prepared = ("lanes",)

    def describe(self, function: ir.Operation) -> ChainNest:
        prepare_chain.run(function)
        return chain_nest(analyse(function), function)

    def extents(self, nest: ChainNest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        common = (*nest.batch, *nest.rows)
        return tuple(nest.extents[c] for c in common), tuple(e for c, e in enumerate(nest.extents) if c not in common)

    def sketch(self, nest: ChainNest) -> Sketch:
        steps: list[Step] = [Loops(nest.extents, nest.batch, nest.rows, nest.columns)]
        for k, p in nest.products:
            stage = nest.stages[k]
            steps.append(Panels(k, p.panel_loops, p.columns, stage.reduced, p.contiguous))
        windows = tuple((w.loops, w.rows, w.stride, w.reach) for w in nest.windows)
        steps.append(Rows(nest.stages[-1].loops, len(nest.stages) - 1, nest.batch, nest.rows, windows))
        roots = {p.root for _, p in nest.products}
        for k, stage in enumerate(nest.stages):
            if stage.product is not None:
                root = nest.stages[stage.product.root].loops
                parallel = len(stage.loops) - stage.reductions
                steps.append(
                    Multiply(
                        k,
                        stage.product.root,
                        root,
                        parallel,
                        stage.reduced,
                        stage.product.columns,
                        nest.rows_of(stage),
                        stage.product.window,
                    )
                )
            elif stage.role in (MAP, REDUCTION) and k not in roots:
                steps.append(Each(k, stage.loops, stage.role == REDUCTION, nest.rows_of(stage)))
        return Sketch(self.name, *self.extents(nest), tuple(steps))

    def space(self, nest: ChainNest) -> Sequence[Decision[ChainNest]]:
        return space(nest)

    def choose(self, nest: ChainNest, machine: Machine) -> Choice | None:
        best = chain_cost.choose(nest, machine)
        if best is None:
            return None
        values, cycles = best
        return Choice(Candidate(self.sketch(nest), tuple((d.name, values[d.name]) for d in space(nest))), cycles)

    def parts(self, nest: ChainNest, machine: Machine, values: Values) -> Mapping[str, float]:
        cost = chain_cost.estimate(nest, machine, values)
        return {"FMA ports": cost.arithmetic, "L2": cost.l2, "memory": cost.memory}

    def properties(self, nest: ChainNest, machine: Machine, values: Values) -> Properties:
        return chain_properties.properties(nest, machine, values)

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        chain = analyse(function)
        nest = chain_nest(chain, function)
        with function.context:
            for k, stage in enumerate(chain.stages):
                stage.op.attributes[f"ansorc.stage{k}"] = ir.UnitAttr.get()
                if stage.role in (CONTRACTION, REDUCTION):
                    fill = stage.op.operands[segments(stage.op)[0]].owner.operation
                    mark = "fill" if stage.role == CONTRACTION else "start"
                    fill.attributes[f"ansorc.{mark}{k}"] = ir.UnitAttr.get()
        widths = {c: Width(values[f"vectors_{c}"], nest.lanes(c, values)) for c in nest.columns}
        packings = split_loops.run(function, chain, widths)
        for k, p in nest.products:
            if values[f"pack_{k}"]:
                contraction = next(
                    op for op in collect(function, "linalg.generic") if f"ansorc.stage{k}" in op.attributes
                )
                pack_panels.run(function, contraction, p.operand, f"ansorc.pack{k}")
        return packings

    def emit(self, candidate: Candidate) -> str:
        made = ChainScript(candidate.values)
        for step in candidate.sketch.steps:
            step.emit(candidate.values, made)
        return script(
            *made.lines,
            *settled('vector.lower_multi_reduction lowering_strategy = "innerreduction"'),
            attributes=self.attributes(candidate.values),
        )

    def attributes(self, values: Values) -> str:
        """Return all that `prepare` is told: the names depend on the task."""
        decided = [n for n in values if n == "lanes" or n.startswith(("vectors_", "pack_"))]
        return ", ".join([f'ansorc.kind = "{self.name}"', *(f"ansorc.{n} = {values[n]} : i64" for n in decided)])
