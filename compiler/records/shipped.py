"""Schedules that come with the package: what won inside of some networks, on machines with AVX-512 and with AVX2.

`ansorc-tune ship` makes the file. A machine that differs from the one that measured takes a schedule where its own
analytic model expects as much of it as of the default; another number of threads, where they share it as well.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from ansorc.compiler.records.database import Fusion, Records
from ansorc.compiler.records.similar import SLACK, relative
from ansorc.compiler.search.sample import default_points
from ansorc.compiler.search.task import Point, SearchTask
from ansorc.compiler.target import Target, target_key

SHIPPED = Path(__file__).with_name("x86-64.db")


class ShippedSchedules:
    """The open file; a context manager. Without the file there are none."""

    def __init__(self, target: Target, threads: int) -> None:
        path = SHIPPED
        self._records = Records(path, create=False, frozen=True) if path.exists() else None
        self._threads, self._key = threads, target_key(target)
        known = self._records.query("SELECT DISTINCT task, target FROM trials") if self._records is not None else []
        self._tasks = {str(task) for task, _ in known}
        near = {str(t): _distance(self._key, str(t)) for t in sorted({str(t) for _, t in known})}
        self._targets = sorted((d, t) for t, d in near.items() if d is not None)

    def __enter__(self) -> ShippedSchedules:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._records is not None:
            self._records.close()

    def known(self, tasks: Collection[str]) -> list[str]:
        """Return those of some tasks, by name, that there is a schedule for on a machine like this, in their order."""
        return [name for name in tasks if name in self._tasks] if self._targets else []

    def fusions(self) -> list[Fusion]:
        """Return what is known of chains of tasks."""
        return [] if self._records is None else self._records.fusions()

    def best(self, task: SearchTask) -> Point | None:
        """Return the schedule of a task that was measured on the most similar machine; None where none fits."""
        if self._records is None or task.name not in self._tasks:
            return None
        for distance, target in self._targets:
            record = self._records.best(task.name, target, threads=self._threads)
            point = None if record is None else task.point(record.candidate)
            if record is None or point is None:
                continue
            likes = distance < OTHER_PROCESSOR or relative(task, point) <= SLACK
            if likes and (record.threads == self._threads or self._shares(task, point)):
                return point
        return None

    def _shares(self, task: SearchTask, point: Point) -> bool:
        """Whether this number of threads shares a schedule for another number as well as the default."""
        (default, *_) = default_points(task)
        return _idle(task, point, self._threads) <= SLACK * _idle(task, default, self._threads)


def _idle(task: SearchTask, point: Point, threads: int) -> float:
    """Return how much longer the busiest of some threads works than the average."""
    space = task.spaces[point.space]
    chunks = space.kind.properties(space.nest, space.machine, task.values(point)).chunks
    return -(-chunks // threads) * threads / chunks


SAME, OTHER_FEATURES, OTHER_PROCESSOR = range(3)


def _distance(here: str, there: str) -> int | None:
    """Return how far a target is from this machine's; None where its vectors are others."""
    if here == there:
        return SAME
    (cpu, bits, _), (other_cpu, other_bits, *_) = here.rsplit("-", 2), there.rsplit("-", 2)
    if bits != other_bits:
        return None
    return OTHER_FEATURES if cpu == other_cpu else OTHER_PROCESSOR
