"""Estimated cycles of a task on plain loops: softmax, transposes, and whatever fits no kind with a model."""

from __future__ import annotations

from math import prod

from mlir import ir

from ansorc.compiler.sketch.loop_nest import body_cycles, bytes_of
from ansorc.compiler.sketch.speeds import behind_l1
from ansorc.dialect_passes.ir_walk import body, collect, indexing_maps
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents

STRIDED_CYCLES = 3.0
"""An element that is gathered, or written far from the one before."""
PLAIN_FACTOR = 2.0
"""LLVM's loops over those that are written with vectors."""


def estimate(function: ir.Operation, machine: Machine) -> float:
    """Estimate the cycles on one core of a prepared task's operations, one after the other."""
    total = 0.0
    for op in collect(function, "linalg.generic"):
        points = prod(loop_extents(op))
        lanes = machine.lanes(4)
        contiguous = all(_is_contiguous(m) for m in indexing_maps(op))
        total += points * (PLAIN_FACTOR * (1 + body_cycles(op)) / lanes if contiguous else STRIDED_CYCLES)
    values = [*body(function).arguments, *list(body(function).operations)[-1].operands]
    touched = sum(map(bytes_of, values))
    return total + touched / behind_l1(machine, touched)


def _is_contiguous(m: ir.AffineMap) -> bool:
    """Whether the last loop moves along the last dim of an operand, or not at all."""
    last = ir.AffineDimExpr.get(m.n_dims - 1, m.context)
    return last not in list(m.results)[:-1]
