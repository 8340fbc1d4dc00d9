"""Reduce along one loop what lies in memory one after the other.

    generic over (n, c, h, w) adding x[n, c, h, w] to y[n, c]  -->  generic over (n, c, hw)

LLVM vectorizes the innermost loop alone, and a width of 28 is hardly worth it.
"""

from __future__ import annotations

from math import prod

from mlir import ir

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.ir_walk import collect, functions, indexing_maps, iterators, shape
from ansorc.dialect_passes.schedule.block_channels import retype
from ansorc.dialect_passes.schedule.build_generic import body_of, generic, plain_map


def run(module: ir.Module) -> None:
    """Rewrite the reductions of arguments that nothing else reads."""
    for function in functions(module):
        pitched = pitch.of_arguments(function)
        for op in collect(function, "linalg.generic"):
            if _can(op, pitched):
                _collapse(op)
        retype(function)


def _can(op: ir.Operation, pitched: dict[int, pitch.Pitch]) -> bool:
    kinds, maps = iterators(op), indexing_maps(op)
    parallel = kinds.count("parallel")
    if len(kinds) < parallel + 2 or kinds[:parallel] != ["parallel"] * parallel or collect(op, "linalg.index"):
        return False
    rows, whole = plain_map(len(kinds), range(parallel)), ir.AffineMap.get_identity(len(kinds))
    read = [v for v, m in zip(op.operands, maps, strict=True) if m == whole]
    if not read or any(m not in (rows, whole) for m in maps) or maps[-1] != rows:
        return False
    arguments = [v for v in read if isinstance(v.owner, ir.Block) and len(list(v.uses)) == 1]
    return len(arguments) == len(read) and not any(ir.BlockArgument(v).arg_number in pitched for v in read)


def _collapse(op: ir.Operation) -> None:
    kinds, maps = iterators(op), indexing_maps(op)
    parallel = kinds.count("parallel")
    rows = plain_map(parallel + 1, range(parallel))
    whole = ir.AffineMap.get_identity(parallel + 1)
    narrow = [rows if len(m.results) == parallel else whole for m in maps]
    for value, m in zip(op.operands, maps, strict=True):
        if len(m.results) > parallel:
            sizes = shape(value)
            kind = [*sizes[:parallel], prod(sizes[parallel:])]
            value.set_type(ir.RankedTensorType.get(kind, ir.RankedTensorType(value.type).element_type))
    with ir.InsertionPoint(op), op.location:
        new = generic(list(op.operands)[:-1], narrow, op.operands[len(maps) - 1], 1, body_of(op))
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()
