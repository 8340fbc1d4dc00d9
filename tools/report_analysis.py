"""What a report says of trials: who won by how much, by which decisions, and how well it was predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np

from ansorc.compiler.cost_model import training
from ansorc.compiler.cost_model.training import Programs
from ansorc.compiler.measuring.measurer import Measurer
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.task import Point, SearchTask, task_of_text
from ansorc.dialect_passes.schedule.machine import Machine

FOLDS = 5
LEAST_PROGRAMS = 40
"""Fewer measured programs say nothing about predictions."""
MOST_UNDONE = 12
"""Decisions of a winner that are undone, at most."""


@dataclass(frozen=True)
class TaskTrials:
    """All trials of one task on one target with so many threads, in order."""

    key: str
    shape: str
    flops: float
    text: str
    records: Sequence[Record]
    elapsed: Sequence[float]
    """Seconds of searching until the batch of each record was done; those of all runs one after another."""

    @property
    def measured(self) -> list[Record]:
        """Those that have a time."""
        return [r for r in self.records if r.seconds is not None]

    @property
    def best(self) -> Record:
        """The fastest."""
        return min(self.measured, key=lambda r: r.seconds or 0.0)

    @property
    def first(self) -> Record:
        """The first one: a search begins with the default schedule."""
        return self.measured[0]

    @property
    def gain(self) -> float:
        """How many times faster the best is than the first."""
        return (self.first.seconds or 0.0) / (self.best.seconds or 1.0)

    @property
    def anchor(self) -> str:
        """The name of its part of the page."""
        return f"{self.key}-{self.first.target}-{self.first.threads}"

    def task(self, machine: Machine) -> SearchTask:
        """Return the task with its spaces on a machine."""
        return task_of_text(self.key, self.text, 1, machine)


def tasks_of(records: Records) -> list[TaskTrials]:
    """Return all tasks that have a measured trial, the slowest first."""
    known = {str(k): (str(s), float(str(f)), str(t)) for k, s, f, t in records.query("SELECT * FROM tasks")}
    groups: dict[tuple[str, str, int], tuple[list[Record], list[float]]] = {}
    for record, seconds in zip(records.every(), _elapsed(records), strict=True):
        trials, elapsed = groups.setdefault((record.task, record.target, record.threads), ([], []))
        trials.append(record)
        elapsed.append(seconds)
    found = [TaskTrials(k[0], *known.get(k[0], ("", 0.0, "")), *trials) for k, trials in groups.items()]
    return sorted((t for t in found if t.measured), key=lambda t: -(t.best.seconds or 0.0))


def _elapsed(records: Records) -> list[float]:
    """Return the seconds of searching until each trial; none pass where trials of another file were taken."""
    before, last, run, found = 0.0, 0.0, None, list[float]()
    for number, seconds in records.query(
        "SELECT run, created - started FROM trials JOIN runs ON runs.id = run ORDER BY trials.id"
    ):
        if number != run:
            before, last, run = before + last, 0.0, number
        last = max(last, float(str(seconds)))
        found.append(before + last)
    return found


def wins(task: TaskTrials, roles: Mapping[str, str]) -> dict[str, float]:
    """Return which roles of decisions made the best better, as logarithms of how many times.

    From one best to the next, the roles of all decisions that changed have an equal share.
    """
    found: dict[str, float] = {}
    best = task.first
    for record in task.measured[1:]:
        if (record.seconds or 0.0) >= (best.seconds or 0.0):
            continue
        old, new = best.candidate, record.candidate
        if old.sketch.kind != new.sketch.kind:
            changed = {"algorithm"}
        else:
            changed = {roles.get(n, "tile") for n, v in new.decisions if old.values.get(n) != v}
        for role in changed:
            gained = log((best.seconds or 1.0) / (record.seconds or 1.0)) / len(changed)
            found[role] = found.get(role, 0.0) + gained
        best = record
    return found


def roles_of(task: SearchTask) -> dict[str, str]:
    """Return the role of each decision of a task."""
    return {d.name: d.role for space in task.spaces for d in space.decisions}


def held_out_predictions(path: Path, machine: Machine, targets: Sequence[str]) -> tuple[Programs, np.ndarray] | None:
    """Return the measured programs of some targets, and what models say of each that were trained on the others.

    None where there are too few.
    """
    programs = training.programs_of([path], dict.fromkeys(targets, machine))
    if len(programs.seconds) < LEAST_PROGRAMS:
        return None
    fold = np.random.default_rng(0).permutation(len(programs.seconds)) % FOLDS
    predicted = np.empty(len(fold))
    for k in range(FOLDS):
        mine = fold == k
        trees = training.fit(programs.some(~mine))
        predicted[mine] = programs.cycles[mine] * np.exp2(trees.predict(programs.rows[mine]))
    return programs, predicted


def intensity(task: TaskTrials, machine: Machine) -> float | None:
    """Return the operations a byte of a task's arrays, each of them moved once; None where no space fits any more."""
    whole = task.task(machine)
    point = whole.point(task.best.candidate)
    if point is None:
        return None
    return task.flops / whole.spaces[point.space].properties(task.best.candidate).task_footprint


def undone(
    tasks: Sequence[TaskTrials], machine: Machine, measurer: Measurer, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Measure winners with one decision taken back to its default.

    Returns, for each task and decision, how many times slower that is.
    """
    found: dict[str, dict[str, float]] = {}
    for number, trials in enumerate(tasks, 1):
        task = trials.task(machine)
        winner = task.point(trials.best.candidate)
        if winner is None:
            continue
        variants = _variants(task, winner)
        say(f"{number} of {len(tasks)}: {trials.shape}, {len(variants)} decisions")
        points = [winner, *variants.values()]
        ((best, *others),) = measurer.confirm([(task, [task.candidate(p) for p in points])])
        if best:
            base = float(np.median(best))
            found[trials.anchor] = {
                name: float(np.median(times)) / base for name, times in zip(variants, others, strict=True) if times
            }
    return found


def _variants(task: SearchTask, winner: Point) -> dict[str, Point]:
    """Return, by the decision that was undone, the legal points nearest to a winner with that decision's default."""
    space = task.spaces[winner.space]
    choice = space.choose()
    if choice is None:
        return {}
    values, default = task.values(winner), choice.candidate.values
    found: dict[str, Point] = {}
    for name, value in values.items():
        if default.get(name, value) == value:
            continue
        legal = space.nearest({**values, name: default[name]})
        point = None if legal is None else Point(winner.space, tuple(legal.values()))
        if point is not None and point != winner and len(found) < MOST_UNDONE:
            found[name] = point
    return found
