"""The kinds of schedules that have candidates, and the spaces that a task has."""

from __future__ import annotations

from typing import Any

from mlir import ir

from ansorc.compiler.sketch.chain import ChainKind
from ansorc.compiler.sketch.kind import DOES_NOT_FIT, Kind, TaskSpace
from ansorc.compiler.sketch.register_tile import RegisterTile
from ansorc.compiler.sketch.split_reduction import SplitReduction
from ansorc.compiler.sketch.transpose import Transpose
from ansorc.compiler.sketch.winograd import WinogradKind
from ansorc.dialect_passes.schedule.machine import Machine

SKETCHED: dict[str, Kind[Any]] = {
    kind.name: kind for kind in (RegisterTile(), WinogradKind(), ChainKind(), SplitReduction(), Transpose())
}
"""By name. Which of them becomes a task's default is decided by the cycles that their models give."""


def spaces(
    function: ir.Operation, machine: Machine, allowed: tuple[str, ...] = tuple(SKETCHED)
) -> list[TaskSpace[Any]]:
    """Return the spaces of the kinds that fit a task; gives an anchor that is its own root a copy behind it."""
    found: list[TaskSpace[Any]] = []
    for name in allowed:
        if name in SKETCHED:
            try:
                found.append(TaskSpace(SKETCHED[name], SKETCHED[name].describe(function), machine))
            except DOES_NOT_FIT:
                continue
    return found
