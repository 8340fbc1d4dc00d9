"""Training on records, and how well a model tells programs apart (OSDI'20, 7.5)."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.cost_model.boosted_trees import LEAST_WEIGHT, Trees, train
from ansorc.compiler.cost_model.features import NAMES, features
from ansorc.compiler.records.database import Records
from ansorc.compiler.search.task import SearchTask, task_of_text
from ansorc.dialect_passes.schedule.machine import Machine

Array = NDArray[Any]
TOP = 30
"""Programs that a search would measure next."""
LEAST_HELD_OUT = 20
"""Tasks with fewer programs held out say nothing about order."""


@dataclass(frozen=True)
class Programs:
    """Measured candidates of many tasks."""

    tasks: Array
    """Names, each with its target and number of threads: what times can be compared of."""
    rows: Array
    cycles: Array
    """Estimated by the analytic models."""
    seconds: Array

    def some(self, chosen: Array) -> Programs:
        """Return those that a mask chooses."""
        return Programs(self.tasks[chosen], self.rows[chosen], self.cycles[chosen], self.seconds[chosen])

    @property
    def groups(self) -> list[str]:
        """The name of each one's task alone."""
        return [name.split()[0] for name in self.tasks.tolist()]

    @property
    def throughput(self) -> Array:
        """Speed over that of the task's fastest program: 0 to 1."""
        return self.best / self.seconds

    @property
    def best(self) -> Array:
        """Seconds of the fastest program of each one's task."""
        names, which = np.unique(self.tasks, return_inverse=True)
        least = np.full(len(names), np.inf)
        np.minimum.at(least, which, self.seconds)
        return least[which]


@dataclass(frozen=True)
class Accuracy:
    """How well predictions order the programs of each task."""

    programs: int
    pairs: float
    """The share of pairs of a task whose order is right."""
    recall: float
    """The share of a task's TOP fastest programs among its TOP predicted ones, where it has twice so many."""
    rmse: float
    """Of predicted throughput, over the task's best."""

    def __str__(self) -> str:
        recall = f"{self.recall:.3f}" if np.isfinite(self.recall) else "(no task has enough programs)"
        return f"{self.programs} programs: pairs {self.pairs:.3f}, recall@{TOP} {recall}, RMSE {self.rmse:.3f}"


def programs_of(paths: Iterable[Path], machines: Mapping[str, Machine], imported: Container[str] = ()) -> Programs:
    """Read what was measured on targets (by their keys in records); raises UnusableRecordsError.

    Programs of `imported` targets are another compiler's: their times are scaled, all by the same, to those of ours.
    """
    names, rows, cycles, seconds = list[str](), list[Array](), list[float](), list[float]()
    foreign: list[bool] = []
    for path in paths:
        with Records(path, create=False) as records:
            tasks: dict[tuple[str, str], SearchTask] = {}
            texts = {str(name): str(text) for name, text in records.query("SELECT key, text FROM tasks")}
            for record in records.every("seconds IS NOT NULL"):
                name, target = record.task, record.target
                if target in machines and name in texts and (name, target) not in tasks:
                    tasks[name, target] = task_of_text(name, texts[name], 1, machines[target])
                task = tasks.get((name, target))
                point = task.point(record.candidate) if task is not None else None
                if task is None or point is None or record.seconds is None:
                    continue
                (row,), (estimated,) = features(task.spaces[point.space], [point.values], record.threads)
                names.append(f"{name} {target} {record.threads}")
                rows.append(row)
                cycles.append(estimated)
                seconds.append(record.seconds)
                foreign.append(target in imported)
    scaled = _scaled(np.array(seconds), np.array(cycles), np.array(foreign, bool))
    return Programs(np.array(names), np.array(rows).reshape(-1, len(NAMES)), np.array(cycles), scaled)


def _scaled(seconds: Array, cycles: Array, foreign: Array) -> Array:
    """Return times, those of another compiler's programs as far from the estimates, in the median, as ours are."""
    if foreign.all() or not foreign.any():
        return seconds
    ours, theirs = (float(np.median(seconds[mask] / cycles[mask])) for mask in (~foreign, foreign))
    return np.where(foreign, seconds * ours / theirs, seconds)


def fit(programs: Programs, seed: int = 0) -> Trees:
    """Train trees on programs, each weighted by its throughput."""
    weights = np.maximum(programs.throughput, LEAST_WEIGHT)
    return train(programs.rows, np.log2(programs.seconds / programs.cycles), weights, seed)


def held_out(programs: Programs, share: float, seed: int = 0, *, whole_tasks: bool = False) -> Array:
    """Return a mask of a random share of the programs, or of all programs of a share of the tasks."""
    generator = random.Random(seed)
    if not whole_tasks:
        return np.array([generator.random() < share for _ in programs.tasks])
    names = sorted(set(programs.groups))
    chosen = set(generator.sample(names, round(share * len(names))))
    return np.array([name in chosen for name in programs.groups])


def accuracy(programs: Programs, predicted: Array) -> Accuracy:
    """Compare predicted with measured seconds, task by task."""
    right = pairs = 0
    recalls: list[float] = []
    errors: list[Array] = []
    for name in np.unique(programs.tasks):
        mine = programs.tasks == name
        real, guess = programs.seconds[mine], predicted[mine]
        if len(real) < LEAST_HELD_OUT:
            continue
        faster = real[:, None] < real[None, :]
        pairs += int(faster.sum())
        right += int((faster & (guess[:, None] < guess[None, :])).sum())
        if len(real) >= 2 * TOP:
            recalls.append(len(set(np.argsort(real)[:TOP]) & set(np.argsort(guess)[:TOP])) / TOP)
        errors.append(real.min() / real - real.min() / guess)
    rmse = float(np.sqrt(np.mean(np.concatenate(errors) ** 2))) if errors else float("nan")
    recall = float(np.mean(recalls)) if recalls else float("nan")
    return Accuracy(sum(map(len, errors)), right / pairs if pairs else float("nan"), recall, rmse)
