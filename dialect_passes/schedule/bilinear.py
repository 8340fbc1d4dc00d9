"""Stages of bilinear algorithms, Winograd's and Strassen's: transforms by small constant matrices around products.

Each stage is an anchor (a sum of products) behind a fill and before an elementwise root, which carry the attributes
`ansorc.<stage>.root|anchor|fill`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from mlir import ir
from mlir.dialects import arith, tensor

from ansorc.dialect_passes.ir_walk import indexing_maps, segments, shape
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, constant_arguments
from ansorc.dialect_passes.schedule.build_generic import Build, body_of, generic, plain_map
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape

Expressions = Sequence[ir.AffineExpr]
"""How an operand is read."""


@dataclass(frozen=True)
class Epilogue:
    """How the task's own root reads its operands where loops were split."""

    tiled: Callable[[ir.Value], ir.Value]
    """What has all loops of the result, in the loops of the stage."""
    channels: tuple[int, ...]
    """Extents that the channels are split into."""
    channel_loops: tuple[int, ...]
    """Those loops of the stage."""


class Stages:
    """Makes the stages of one task, at the insertion point."""

    def __init__(self, task: TaskShape) -> None:
        self.task = task
        self.element = ir.RankedTensorType(task.root.results[0].type).element_type

    def stage(
        self,
        name: str,
        inputs: Sequence[ir.Value],
        reads: Sequence[Expressions],
        reductions: int,
        sizes: Sequence[int],
        destination: ir.Value,
        epilogue: Epilogue | None = None,
        *,
        copied: bool = True,
    ) -> ir.Value:
        """Make fill, anchor (the sum of the product of its inputs) and root; the latter copies without `epilogue`.

        With nothing `copied`, the anchor is the root: loops over parts of its sum go on with what they find.
        """
        identity = [ir.AffineDimExpr.get(k) for k in range(len(sizes))]
        zero = arith.constant(self.element, 0.0)
        fill = _marked(f"{name}.fill", [], self.empty(sizes), [], 0, lambda _: zero)
        mark = f"{name}.anchor" if copied else f"{name}.root"
        anchor = _marked(mark, inputs, fill, reads, reductions, _multiply_add)
        if not copied:
            return anchor
        if epilogue is None:
            return _marked(f"{name}.root", [anchor], destination, [identity], 0, lambda inner: inner[0])
        return self._root(f"{name}.root", anchor, destination, epilogue)

    def _root(self, name: str, anchor: ir.Value, destination: ir.Value, epilogue: Epilogue) -> ir.Value:
        """The task's own root, on tiles."""
        old = self.task.root
        assert self.task.anchor is not None
        identity = [ir.AffineDimExpr.get(k) for k in range(len(shape(destination)))]
        inputs: list[ir.Value] = []
        reads: list[Expressions] = []
        for operand, m in zip(list(old.operands)[:-1], indexing_maps(old), strict=False):
            if operand == self.task.anchor.results[0]:
                inputs.append(anchor)
                reads.append(identity)
            elif len(m.results) == 0:
                inputs.append(operand)
                reads.append([])
            elif len(m.results) == 1:
                inputs.append(expand(operand, [len(epilogue.channels)], epilogue.channels))
                reads.append([identity[k] for k in epilogue.channel_loops])
            else:
                inputs.append(epilogue.tiled(operand))
                reads.append(identity)
        return _marked(name, inputs, destination, reads, 0, body_of(old))

    def constant(self, values: np.ndarray) -> ir.Value:
        """A matrix of a transform."""
        dtype = np.float32 if str(self.element) == "f32" else np.float64
        dense = ir.DenseElementsAttr.get(np.ascontiguousarray(values, dtype=dtype))  # pyright: ignore
        return arith.constant(dense.type, dense)

    def empty(self, sizes: Sequence[int]) -> ir.Value:
        """What a stage is written to."""
        return tensor.EmptyOp(list(sizes), self.element).result

    def replace(self, result: ir.Value) -> None:
        """Put the result of the last stage in the place of the task's."""
        self.task.root.results[0].replace_all_uses_with(result)
        for op in (self.task.root, self.task.anchor, self.task.fill):
            if op is not None:
                op.erase()


def check_operands(function: ir.Operation, task: TaskShape) -> None:
    """Check weights, epilogue and element type of a contraction; raises CannotBlock."""
    anchor, outer = task.anchor, len(task.parallel)
    assert anchor is not None
    weight = anchor.operands[1]
    if not isinstance(weight.owner, ir.Block) or len(list(weight.uses)) != 1:
        raise CannotBlock("weights are no argument of their own")
    if ir.BlockArgument(weight).arg_number not in constant_arguments(function):
        raise CannotBlock("weights are not constant")
    for operand, m in zip(task.root.operands, indexing_maps(task.root), strict=True):
        plain = list(m.results)
        identity = [ir.AffineDimExpr.get(k, anchor.context) for k in range(outer)]
        if plain not in ([], identity, identity[-1:]):
            raise CannotBlock("the epilogue reads neither all of a value nor one for each channel")
        if plain and not isinstance(operand.type, ir.RankedTensorType):
            raise CannotBlock("the epilogue reads no tensor")
    kind = ir.RankedTensorType(task.root.results[0].type).element_type
    if str(kind) not in ("f32", "f64"):
        raise CannotBlock("the transforms need more range than the element type has")


def is_contraction(task: TaskShape) -> bool:
    """Whether a task is a sum of products of two operands from zero."""
    return task.anchor is not None and task.fill is not None and task.contraction and segments(task.anchor) == (2, 1)


def expand(value: ir.Value, counts: Sequence[int], sizes: Sequence[int]) -> ir.Value:
    """Split each dim into `counts` dims."""
    assert prod(shape(value)) == prod(sizes)
    kind = ir.RankedTensorType.get(list(sizes), ir.RankedTensorType(value.type).element_type)
    return tensor.ExpandShapeOp(kind, value, _groups(counts), [], list(sizes)).result


def collapse(value: ir.Value, counts: Sequence[int], sizes: Sequence[int]) -> ir.Value:
    """Make one dim of every `counts` dims."""
    kind = ir.RankedTensorType.get(list(sizes), ir.RankedTensorType(value.type).element_type)
    return tensor.CollapseShapeOp(kind, value, _groups(counts)).result


def _multiply_add(inner: Sequence[ir.Value]) -> ir.Value:
    *factors, total = inner
    contract = arith.FastMathFlags.contract
    value = factors[0]
    for factor in factors[1:]:
        value = arith.mulf(value, factor, fastmath=contract)
    return arith.addf(total, value, fastmath=contract)


def _marked(
    name: str, inputs: Sequence[ir.Value], out: ir.Value, reads: Sequence[Expressions], reductions: int, build: Build
) -> ir.Value:
    """Make a generic whose result has all loops but the reductions, in order; it carries the attribute `name`."""
    parallel = len(shape(out))
    maps = [ir.AffineMap.get(parallel + reductions, 0, list(m)) for m in reads]
    written = plain_map(parallel + reductions, range(parallel))
    marks = {f"ansorc.{name}": ir.UnitAttr.get()}
    return generic(inputs, [*maps, written], out, reductions, build, marks).results[0]


def _groups(counts: Sequence[int]) -> ir.ArrayAttr:
    """How consecutive dims belong together, `counts` of them each."""
    index = ir.IntegerType.get_signless(64)
    starts = np.cumsum([0, *counts])
    return ir.ArrayAttr.get(
        [
            ir.ArrayAttr.get([ir.IntegerAttr.get(index, int(s) + k) for k in range(c)])
            for s, c in zip(starts, counts, strict=False)
        ]
    )
