"""Reduce few long rows in parts: partial results by vectors, then those, then what is left of each row.

    y[r] = sum over n of f(x[r, n])
    -->
    V[r, p, v, l] = sum over s of f(x[r, p, s, v, l])       parts p in parallel; v and l stay in registers
    W[r, v, l]    = sum over p of V[r, p, v, l]
    y[r]          = sum over (v, l) of W[r, v, l]

How many parts there are is a decision, not the number of threads: neither are the bits of the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.ir_walk import indexing_maps, iterators, segments, shape
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, retype
from ansorc.dialect_passes.schedule.build_generic import Build, body_of, generic, plain_map
from ansorc.dialect_passes.schedule.chain_loops import generics
from ansorc.dialect_passes.schedule.shape_of_task import add_epilogue
from ansorc.dialect_passes.schedule.split_loops import combiner, starts_neutral

MARKS = ("partial.root", "partial.anchor", "partial.fill", "start", "combine", "final")
"""What a script finds the operations by, after `ansorc.`."""


@dataclass(frozen=True)
class LongRows:
    """A reduction of rows that lie in memory one after the other, with an elementwise epilogue on its results."""

    op: ir.Operation
    fill: ir.Operation
    rows: tuple[int, ...]
    length: int


def analyse(function: ir.Operation) -> LongRows:
    """Find the only reduction of a task; raises CannotBlock."""
    found = [op for op in generics(function) if "reduction" in iterators(op)]
    if len(found) != 1:
        raise CannotBlock("no single reduction")
    op = found[0]
    kinds, maps, count = iterators(op), indexing_maps(op), segments(op)[0]
    parallel = kinds.count("parallel")
    rows_first = kinds == ["parallel"] * parallel + ["reduction"] * (len(kinds) - parallel)
    if not rows_first or maps[-1] != plain_map(len(kinds), range(parallel)):
        raise CannotBlock("rows and reduced loops are mixed")
    sizes = shape(op.operands[0])
    for value, m in zip(list(op.operands)[:count], maps, strict=False):
        whole = m == ir.AffineMap.get_identity(len(kinds)) and isinstance(value.owner, ir.Block)
        if not whole or len(list(value.uses)) != 1:
            raise CannotBlock("what is reduced is not an argument that is read once, in order")
    behind = [o for o in generics(function) if o != op and segments(o)[0]]
    if any(len(iterators(o)) != parallel for o in behind):
        raise CannotBlock("something else than the results of rows is computed")
    lying = pitch.of_arguments(function)
    read = [ir.BlockArgument(v).arg_number for v in list(op.operands)[:count]]
    if any(lying[n].strides([*sizes[:parallel], prod(sizes[parallel:])]) is None for n in read if n in lying):
        raise CannotBlock("rows of what is reduced lie apart")
    if not starts_neutral(op):
        raise CannotBlock("a reduction that does not start from its neutral element")
    fill = op.operands[count].owner.operation
    return LongRows(op, fill, tuple(sizes[:parallel]), prod(sizes[parallel:]))


def run(function: ir.Operation, parts: int, vectors: int, lanes: int) -> None:
    """Rewrite a task in place; raises CannotBlock where the numbers do not divide the rows."""
    task = analyse(function)
    if min(parts, vectors, lanes) < 1 or task.length % (parts * vectors * lanes):
        raise CannotBlock(f"{parts} parts of {vectors} vectors of {lanes} lanes do not divide rows of {task.length}")
    op, rows = task.op, task.rows
    steps, rank = task.length // (parts * vectors * lanes), len(rows)
    inputs = list(op.operands)[: segments(op)[0]]
    for argument in inputs:
        element = ir.RankedTensorType(argument.type).element_type
        ir.BlockArgument(argument).set_type(ir.RankedTensorType.get([*rows, parts, steps, vectors, lanes], element))
    all_rows = list(range(rank))
    part, vector, lane, step = rank, rank + 1, rank + 2, rank + 3
    combine = _combine(op)
    with ir.InsertionPoint(op), op.location:
        wide = _filled(task, [*rows, parts, vectors, lanes], "partial.fill")
        read = plain_map(rank + 4, [*all_rows, part, step, vector, lane])
        partial = generic(
            inputs, [*[read] * len(inputs), plain_map(rank + 4, range(rank + 3))], wide, 1, body_of(op),
            _mark("partial.anchor"),
        )  # fmt: skip
        root = add_epilogue(partial)
        root.attributes["ansorc.partial.root"] = ir.UnitAttr.get()
    with ir.InsertionPoint(op), op.location:
        start = _filled(task, [*rows, vectors, lanes], "start")
        by_part = plain_map(rank + 3, [*all_rows, rank + 2, rank, rank + 1])
        whole = generic(
            [root.results[0]], [by_part, plain_map(rank + 3, range(rank + 2))], start, 1, combine, _mark("combine")
        )
        final = generic(
            [whole.results[0]], [ir.AffineMap.get_identity(rank + 2), plain_map(rank + 2, all_rows)],
            task.fill.results[0], 2, combine, _mark("final"),
        )  # fmt: skip
    op.results[0].replace_all_uses_with(final.results[0])
    op.erase()
    retype(function)


def _filled(task: LongRows, sizes: Sequence[int], mark: str) -> ir.Value:
    start = list(task.fill.regions[0].blocks[0].operations)[-1].operands[0]
    element = ir.RankedTensorType(task.op.results[0].type).element_type
    identity = ir.AffineMap.get_identity(len(sizes))
    into = tensor.EmptyOp(list(sizes), element).result
    return generic([], [identity], into, 0, lambda inner: start, _mark(mark)).results[0]


def _mark(name: str) -> Mapping[str, ir.Attribute]:
    return {f"ansorc.{name}": ir.UnitAttr.get()}


def _combine(op: ir.Operation) -> Build:
    made = combiner(op)

    def build(inner: Sequence[ir.Value]) -> ir.Value:
        clone = made.clone()
        clone.operands[0], clone.operands[1] = inner[1], inner[0]
        return clone.results[0]

    return build
