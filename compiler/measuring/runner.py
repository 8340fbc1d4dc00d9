"""What the running process does: a compiled candidate runs on poisoned memory, is compared, and is timed.

The process may die of a candidate; the next one gets a new process, which computes the task's reference again.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.measure import POISON, RunnableTask, runnable, types_of_task
from ansorc.compiler.measuring.streamed_weights import WeightCopies, last_cache
from ansorc.compiler.target import Target
from ansorc.compiler.task_code import TaskCode
from ansorc.runtime.kernel_runner import intact

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
"""Times of the best: beyond the first a candidate gets the fewest repeats; within the second it gets the most."""
SURE, UNSETTLED = 2, 1.2
"""Repeats that have to agree that a candidate is hopeless, and repeats that differ too much to end with them: on a busy
host, one of four milliseconds may take twice as long."""


@dataclass(frozen=True)
class RunJob:
    """A compiled candidate, and what it is compared with."""

    text: str
    """The task."""
    code: TaskCode | None
    """None: only what is expected is asked for."""
    reference_text: str
    """The task, or the same in double precision."""
    reference: TaskCode
    """Another schedule of the task, that computes what is expected."""
    target: Target
    threads: int
    seed: int
    best: float | None = None
    """Seconds of the best so far."""
    expected: Array | None = None
    """What the reference computes, where that is known: a new process has no need to run it."""
    between_calls: int = 0
    """Bytes of weights that a network reads between two calls; 0 for a task that runs alone."""
    cold: bool = False
    """Whether every call that is timed finds its data in memory, not in a cache."""


@dataclass(frozen=True)
class Ran:
    """Times in seconds a call, or why there are none."""

    times: tuple[float, ...] = ()
    wrong: str = ""
    """What is wrong with what it did."""
    expected: Array | None = None
    """For a job without code."""


@dataclass(frozen=True)
class Known:
    """A task that this process has run."""

    arguments: list[Array]
    expected: Expected

    @property
    def bytes(self) -> int:
        return sum(x.nbytes for x in (*self.arguments, self.expected.values))


_copies = WeightCopies()
_known: dict[tuple[str, int, int], Known] = {}
"""The tasks that ran last, the latest at the end."""


def run(job: RunJob) -> Ran:
    """Compare and time one candidate; the entry of the process."""
    known = _task(job)
    if job.code is None:
        return Ran(expected=known.expected.values)
    task = runnable(job.text, job.code, job.target)
    buffers = task.buffers(known.arguments)
    task.kernel.run(buffers, job.threads)
    wrong = misdeed(known, task, buffers)
    if wrong:
        return Ran(wrong=wrong)
    if job.cold:
        return Ran(_cold_times(task, buffers, job.threads, job.best))
    bases = _copies.bases(buffers, list(task.code.facts.packings), job.between_calls)
    return Ran(_times(_in_turn(task, bases, job.threads), job.best))


def misdeed(known: Known, task: RunnableTask, buffers: Sequence[Array]) -> str:
    """Return what a kernel did that it should not have; empty if nothing."""
    error = known.expected.difference(task.result(buffers))
    if not error <= TOLERANCE:
        return f"off by {error:.2g} of the largest result"
    if not all(map(intact, buffers)):
        return "it wrote outside of its arrays"
    for k, kind in enumerate(task.types):
        if (
            kind.pitch is not None
            and (buffers[k].view(np.uint8)[:, kind.pitch.row * buffers[k].itemsize :] != POISON).any()
        ):
            return f"it wrote beyond the rows of array {k}"
    for k, argument in enumerate(known.arguments):
        if k in task.code.facts.packings:
            continue
        if not np.array_equal(task.types[k].view(buffers[k]), argument, equal_nan=True):
            return f"it wrote to its argument {k}"
    return ""


def _task(job: RunJob) -> Known:
    """Return data of a task, and what its reference makes of it."""
    key = (job.text, job.seed, job.threads)
    found = _known.pop(key, None)
    if found is None:
        plain = runnable(job.reference_text, job.reference, job.target)
        drawn = plain.random_arguments(np.random.default_rng(job.seed))
        arguments = [a.astype(t.dtype) for a, t in zip(drawn, types_of_task(job.text), strict=False)]
        expected = plain.run(arguments, job.threads).copy() if job.expected is None else job.expected
        found = Known(arguments, Expected(expected))
    while _known and sum(k.bytes for k in _known.values()) + found.bytes > KEPT_BYTES:
        del _known[next(iter(_known))]
    _known[key] = found
    return found


class Expected:
    """What results are compared with, many times."""

    def __init__(self, values: Array) -> None:
        self.values = values
        self._wide = np.asarray(values, np.float64)
        finite = np.isfinite(self._wide)
        self._finite = None if finite.all() else finite
        self._largest = float(abs(self._wide[finite]).max(initial=0.0))

    def difference(self, result: Array) -> float:
        """Return the largest difference over the largest expected number; infinite where a number is missing."""
        wide, finite = self._wide, self._finite
        if finite is not None:
            if not np.array_equal(result[~finite], wide[~finite].astype(result.dtype), equal_nan=True):
                return float("inf")
            result, wide = result[finite], wide[finite]
        error = float(abs(result - wide).max(initial=0.0))
        return error / self._largest if self._largest else error


def _in_turn(task: RunnableTask, bases: Array, threads: int) -> Callable[[int], float]:
    """Return what times so many calls on rows of bases in turn, and goes on where it ended."""
    calls_before = 0

    def run(calls: int) -> float:
        nonlocal calls_before
        first, calls_before = calls_before % len(bases), calls_before + calls
        return task.kernel.run_in_turn(bases, threads, calls, first)

    return run


def _times(run: Callable[[int], float], best: float | None) -> tuple[float, ...]:
    once = max(1e-9, min(run(1) for _ in range(SURE)))
    if best is not None and once > 2 * HOPELESS * best:
        return (once,)
    calls = max(1, round(REPEAT_SECONDS / once))
    times: list[float] = []
    while len(times) < MOST:
        times.append(run(calls))
        if best is None:
            continue
        if len(times) >= SURE and min(times) > HOPELESS * best:
            break
        settled = max(times) <= UNSETTLED * min(times)
        if len(times) >= FEWEST and settled and statistics.median(times) > NEAR * best:
            break
    return tuple(times)


def _cold_times(task: RunnableTask, buffers: Sequence[Array], threads: int, best: float | None) -> tuple[float, ...]:
    blocks = [np.zeros(2 * last_cache(), np.uint8) for _ in range(threads)]
    times: list[float] = []
    with ThreadPoolExecutor(threads) as cores:
        while len(times) < MOST:
            list(cores.map(lambda block: np.add(block, 1, out=block), blocks))  # each core's own caches, too
            times.append(task.kernel.run(buffers, threads))
            if best is not None and times[0] > 2 * HOPELESS * best:
                break
            if len(times) >= FEWEST and best is not None and statistics.median(times) > HOPELESS * best:
                break
    return tuple(times)
