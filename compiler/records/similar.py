"""Records of a similar task, for one that has none: the same operators on other extents, such as another batch size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

from ansorc.compiler.cost_model.features import estimated_cycles
from ansorc.compiler.records.database import Records
from ansorc.compiler.search.task import Point, SearchTask, task_of_text
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.dialect_passes.schedule.machine import Machine

NEAREST = 4
"""Similar tasks that are looked at, those with the most similar number of operations first."""
SLACK = 1.05
"""An adapted schedule may be estimated to be so much slower, compared with the default, than it was where it won."""
_EXTENTS, _SYMBOL = re.compile(r"tensor<(?:\d+x)+"), re.compile(r"@task_\w+")
_PITCH = re.compile(r"(ansorc\.pitch = array<i64): [\d, ]+")


@dataclass(frozen=True)
class Adapted:
    """A schedule that won on a similar task, brought to what is legal for this one."""

    candidate: Candidate
    origin: str
    """The extents of the similar task's loops."""


class SimilarTasks:
    """The tasks of a file of records that have a measured schedule for one of some targets, the first of them first."""

    def __init__(self, records: Records, targets: Sequence[str], threads: int, machine: Machine) -> None:
        self._records, self._targets, self._threads, self._machine = records, targets, threads, machine

    def adapted(self, task: SearchTask) -> Adapted | None:
        """Return the schedule of the most similar task; None where none fits, or where it promises nothing here."""
        alike = [t for t in self._by_operators.get(operators(task.text), ()) if t[0] != task.name]
        alike.sort(key=lambda t: abs(log((1 + t[1]) / (1 + task.flops))))
        for key, _, text in alike[:NEAREST]:
            best = self._records.best(key, *self._targets, threads=self._threads)
            other = task_of_text(key, text, 1, self._machine)
            point = None if best is None else other.point(best.candidate)
            mine = None if point is None else _brought(other, point, task)
            if (
                point is not None
                and mine is not None
                and relative(task, mine) <= SLACK * max(1.0, relative(other, point))
            ):
                return Adapted(task.candidate(mine), other.shape)
        return None

    @cached_property
    def _by_operators(self) -> dict[str, list[tuple[str, float, str]]]:
        """Names, operations and texts of tasks."""
        rows = self._records.query(
            "SELECT key, flops, text FROM tasks WHERE EXISTS (SELECT 1 FROM trials WHERE task = key "
            f"AND target IN ({', '.join('?' * len(self._targets))}) AND seconds IS NOT NULL) ORDER BY key",
            self._targets,
        )  # fmt: skip
        found: dict[str, list[tuple[str, float, str]]] = {}
        for key, flops, text in rows:
            found.setdefault(operators(str(text)), []).append((str(key), float(str(flops)), str(text)))
        return found


def operators(text: str) -> str:
    """Return the text of a task without its name and its tensors' extents: that of similar tasks is equal."""
    text = _EXTENTS.sub(lambda found: "tensor<" + "?x" * found.group().count("x"), _PITCH.sub(r"\1", text))
    return _SYMBOL.sub("", text)


def _brought(other: SearchTask, point: Point, task: SearchTask) -> Point | None:
    """Return the point of `task` that is nearest to one of another task."""
    kind = other.spaces[point.space].kind.name
    for k, space in enumerate(task.spaces):
        if space.kind.name == kind:
            legal = space.nearest(other.values(point))
            return None if legal is None else Point(k, tuple(legal.values()))
    return None


def relative(task: SearchTask, point: Point) -> float:
    """Return the estimated cycles of a point over those of the task's default."""
    space = task.spaces[point.space]
    cycles = estimated_cycles(space.kind.parts(space.nest, space.machine, task.values(point)))
    return cycles / min(choice.cycles for s in task.spaces if (choice := s.choose()) is not None)
