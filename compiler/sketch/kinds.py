"""The kinds of schedules that have candidates, and the spaces that a task has.

They are the built-in ones, and those of modules that ANSORC_RULES names: a module's `RULES` is a sequence of kinds.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mlir import ir

from ansorc.compiler.errors import UnusableRulesError
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.sketch.chain import ChainKind
from ansorc.compiler.sketch.dot import Dot
from ansorc.compiler.sketch.gather import Gather
from ansorc.compiler.sketch.kind import DOES_NOT_FIT, Kind, TaskSpace, described
from ansorc.compiler.sketch.register_tile import RegisterTile
from ansorc.compiler.sketch.split_reduction import SplitReduction
from ansorc.compiler.sketch.strassen import StrassenKind
from ansorc.compiler.sketch.transpose import Transpose
from ansorc.compiler.sketch.winograd import WinogradKind
from ansorc.dialect_passes.schedule.machine import Machine

BUILT_IN: tuple[Kind[Any], ...] = (
    RegisterTile(), WinogradKind(), ChainKind(), SplitReduction(), Transpose(), StrassenKind(), Gather(), Dot(),
)  # fmt: skip


@cache
def sketched() -> Mapping[str, Kind[Any]]:
    """Return the kinds by name. Which becomes a task's default is decided by the cycles that their models give.

    Raises UnusableRulesError.
    """
    found = {kind.name: kind for kind in BUILT_IN}
    for module in read_knobs().rules:
        for kind in _rules(module):
            if kind.name in found:
                raise UnusableRulesError(module, f"there is a kind {kind.name!r} already")
            found[kind.name] = kind
    return found


def _rules(module: str) -> Sequence[Kind[Any]]:
    try:
        rules = getattr(importlib.import_module(module), "RULES", None)
    except Exception as error:  # it is a user's module: anything may happen in it
        raise UnusableRulesError(module, f"importing it: {type(error).__name__}: {error}") from error
    if not isinstance(rules, Sequence):
        raise UnusableRulesError(module, "it has no RULES" if rules is None else f"its RULES is {rules!r}")
    for rule in rules:
        if not isinstance(rule, Kind):
            raise UnusableRulesError(module, f"{rule!r} in its RULES is no Kind")
    return rules


def spaces(function: ir.Operation, machine: Machine, allowed: tuple[str, ...] | None = None) -> list[TaskSpace[Any]]:
    """Return the spaces of the kinds that fit a task; gives an anchor that is its own root a copy behind it."""
    found: list[TaskSpace[Any]] = []
    for name, kind in sketched().items():
        if allowed is None or name in allowed:
            try:
                found.append(TaskSpace(kind, described(kind, function), machine))
            except DOES_NOT_FIT:
                continue
    return found
