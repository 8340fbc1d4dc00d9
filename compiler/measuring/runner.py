"""What the running process does: a compiled candidate runs on poisoned memory, is compared, and is timed.

The process may die of a candidate; the next one gets a new process, which computes the task's reference again.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.measure import RunnableTask, runnable
from ansorc.compiler.target import Target
from ansorc.compiler.task_job import TaskCode

Array = NDArray[Any]
ENTRY = "ansorc.compiler.measuring.runner:run"
TOLERANCE = 1e-4
"""Of the largest result: between two orders of summing f32, and Winograd's rounding."""
KEPT_BYTES = 1 << 30
"""Of data of tasks: a search comes back to them."""
REPEAT_SECONDS = 0.004
FEWEST, MOST = 3, 9
"""Repeats of a candidate; the more, the nearer it comes to the best."""
HOPELESS, NEAR = 1.5, 1.1
"""Times of the best: a candidate beyond the first is not repeated; within the second it gets the most repeats."""


@dataclass(frozen=True)
class RunJob:
    """A compiled candidate, and what it is compared with."""

    text: str
    """The task."""
    code: TaskCode
    reference: TaskCode
    """Another schedule of the task, that computes what is expected."""
    target: Target
    threads: int
    seed: int
    best: float | None = None
    """Seconds of the best so far."""


@dataclass(frozen=True)
class Ran:
    """Times in seconds a call, or how far the result is off."""

    times: tuple[float, ...] = ()
    error: float = 0.0
    """The largest difference over the largest expected number."""

    @property
    def wrong(self) -> bool:
        """Whether the result is not what was expected (or not a number)."""
        return not self.error <= TOLERANCE


@dataclass(frozen=True)
class _Known:
    """A task that this process has run."""

    arguments: list[Array]
    expected: Array

    @property
    def bytes(self) -> int:
        return sum(x.nbytes for x in (*self.arguments, self.expected))


_known: dict[tuple[str, int, int], _Known] = {}
"""The tasks that ran last, the latest at the end."""


def run(job: RunJob) -> Ran:
    """Compare and time one candidate; the entry of the process."""
    known = _task(job)
    task = runnable(job.text, job.code, job.target)
    buffers = task.buffers(known.arguments)
    task.kernel.run(buffers, job.threads)
    error = difference(buffers[len(known.arguments)], known.expected)
    if not error <= TOLERANCE:
        return Ran(error=error)
    return Ran(_times(task, buffers, job.threads, job.best), error)


def _task(job: RunJob) -> _Known:
    """Return data of a task, and what its reference makes of it."""
    key = (job.text, job.seed, job.threads)
    found = _known.pop(key, None)
    if found is None:
        plain = runnable(job.text, job.reference, job.target)
        arguments = plain.random_arguments(np.random.default_rng(job.seed))
        found = _Known(arguments, plain.run(arguments, job.threads).copy())
    while _known and sum(k.bytes for k in _known.values()) + found.bytes > KEPT_BYTES:
        del _known[next(iter(_known))]
    _known[key] = found
    return found


def difference(result: Array, expected: Array) -> float:
    """Return the largest difference over the largest expected number; infinite where a number is missing."""
    result, expected = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(result[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    largest = abs(expected[finite]).max(initial=0.0)
    error = abs(result[finite] - expected[finite]).max(initial=0.0)
    return float(error / largest) if largest else float(error)


def _times(task: RunnableTask, buffers: Sequence[Array], threads: int, best: float | None) -> tuple[float, ...]:
    once = max(1e-9, task.kernel.run(buffers, threads))
    if best is not None and once > 2 * HOPELESS * best:
        return (once,)
    calls = max(1, round(REPEAT_SECONDS / once))
    times: list[float] = []
    while len(times) < MOST:
        times.append(task.kernel.run(buffers, threads, calls))
        middle = statistics.median(times)
        if best is not None and times[0] > HOPELESS * best:
            break
        if len(times) >= FEWEST and best is not None and middle > NEAR * best:
            break
    return tuple(times)
