"""The schedules that a task can have."""

from __future__ import annotations

from typing import Any

from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.kinds import spaces
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.schedule.machine import Machine


def spaces_of_task(text: str, machine: Machine) -> list[TaskSpace[Any]]:
    """Return the spaces of candidates that a task has, one for each kind of schedule that fits it."""
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        kernel.prepare(module)
        return spaces(next(functions(module)), machine)
