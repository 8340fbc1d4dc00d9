"""Trials of candidates: compiled side by side, then run one at a time while nothing else does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from ansorc.compiler.errors import TaskFailedError
from ansorc.compiler.measuring import runner
from ansorc.compiler.measuring.environment import environment
from ansorc.compiler.measuring.reference import widened
from ansorc.compiler.measuring.runner import Ran, RunJob
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.search.task import SearchTask
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.target import Target
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob
from ansorc.compiler.tasks import ENTRY
from ansorc.compiler.workers import Job, JobResult, Pool, WorkerPool

Array = NDArray[Any]
COMPILE_TIMEOUT, RUN_TIMEOUT = 15.0, 10.0
RECYCLE_AFTER = 400
MEMORY_SHARE = 0.6
"""Of the machine's memory: what the compiling processes may want together, and what the running one may."""
PLAIN_FLOPS = 1e9
"""Plain loops compute the reference of tasks up to this size; of larger ones the default schedule does."""
CONFIRMING_PROCESSES = 2
"""In every second one the order is the other way around: what runs first in a process may be a little slower for it."""
DRIFT = 0.05
"""The anchor's times before and after a batch differ by no more on a quiet machine."""
ANCHORS = 3
"""How often the anchor runs before it counts as slower than ever, and once more as often in a new process: one kernel's
memory can lie badly in one process, where others run as fast as before."""


Finalists = Sequence[tuple[SearchTask, Sequence[Candidate]]]
"""The fastest candidates of tasks."""


class Measurer(Protocol):
    """Whoever can try candidates."""

    def measure(self, task: SearchTask, candidates: Sequence[Candidate | None], best: float | None) -> list[Trial]:
        """Try candidates of a task (None: its default), and return their fates in order."""
        ...

    def confirm(self, finalists: Finalists) -> list[list[tuple[float, ...]]]:
        """Time measured candidates of tasks once more, in turn; no times for one that fails now."""
        ...

    def close(self) -> None:
        """Let go of processes."""
        ...


@dataclass
class _Prepared:
    """What is compiled once for a task."""

    reference_text: str
    reference: TaskCode
    anchor: TaskCode
    fastest_anchor: float | None = None
    """Seconds of the anchor, when it was fastest."""
    expected: Array | None = None
    """What the reference computes, once a fresh process had to be told."""
    measured: dict[str, Trial] = field(default_factory=dict[str, Trial])
    """Trials by digest of the object, as they were timed."""
    codes: dict[Candidate, TaskCode] = field(default_factory=dict[Candidate, TaskCode])
    """What was compiled."""


class Pools(Protocol):
    """Where jobs are done."""

    def builders(self) -> Pool:
        """Return who compiles."""
        ...

    def runner(self) -> Pool:
        """Return who runs candidates, in a process that nobody has used, one at a time."""
        ...

    def environment(self) -> dict[str, object]:
        """Return what the machine is that runs candidates."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True)
class LocalPools:
    """This machine: `jobs` processes compile."""

    jobs: int

    def builders(self) -> Pool:
        """Return who compiles."""
        memory = most_memory() // self.jobs
        return WorkerPool(ENTRY, self.jobs, recycle_after=RECYCLE_AFTER, memory=memory)

    def runner(self) -> Pool:
        """Return who runs candidates."""
        return WorkerPool(runner.ENTRY, 1, recycle_after=RECYCLE_AFTER, memory=most_memory())

    def environment(self) -> dict[str, object]:
        """Return what this machine is."""
        return environment()

    def close(self) -> None:
        """Do nothing: the pools are closed by those who have them."""


def most_memory() -> int:
    """Return the bytes that those who compile may have together, and that who runs candidates may have."""
    return int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


class PoolMeasurer:
    """Compiles and runs in pools of processes.

    `between_calls` is how many bytes of weights are read between two calls of a task; `cold`: with nothing in the
    caches.
    """

    def __init__(
        self, target: Target, threads: int, pools: Pools, seed: int = 0, *,
        exact: bool = False, between_calls: int = 0, cold: bool = False,
    ) -> None:  # fmt: skip
        self._target, self._threads, self._seed, self._exact = target, threads, seed, exact
        self._between_calls, self._cold = between_calls, cold
        self._pools, self._builders, self._runner = pools, pools.builders(), pools.runner()
        self._prepared: dict[str, _Prepared] = {}

    def close(self) -> None:
        """End all processes."""
        self._builders.close()
        self._runner.close()
        self._pools.close()

    def measure(self, task: SearchTask, candidates: Sequence[Candidate | None], best: float | None) -> list[Trial]:
        """Try candidates of a task.

        A default schedule, the anchor, runs before and after them: times are corrected by how much slower it is than
        it was before, and taken again where it moved in between.
        """
        ready = self._prepare(task)
        built = self._build([(task, c) for c in candidates])
        made = ((c, r) for c, r in zip(candidates, built, strict=True) if c is not None and r.failure is None)
        ready.codes.update((c, r.value) for c, r in made)
        before = self._anchor(task, ready)
        trials = self._run_all(task, ready, built, best)
        after = self._anchor(task, ready)
        if abs(after / before - 1) > DRIFT:  # somebody else was busy: once more
            ready.measured.clear()
            before = self._anchor(task, ready)
            trials = self._run_all(task, ready, built, best)
            after = self._anchor(task, ready)
        return _corrected(trials, ready, (before + after) / 2)

    def confirm(self, finalists: Finalists) -> list[list[tuple[float, ...]]]:
        """Time measured candidates once more, those of a task in turn, in fresh processes.

        Memory lies differently in each process, and one object can be 1.6 times slower in one than in another.
        """
        wanted = [(task, c) for task, candidates in finalists for c in candidates]
        missing = [(task, c) for task, c in wanted if c not in self._prepare(task).codes]
        for (task, c), result in zip(missing, self._build(missing), strict=True):
            if result.failure is None:
                self._prepare(task).codes[c] = result.value
        times = [[list[float]() for _ in candidates] for _, candidates in finalists]
        for process in range(CONFIRMING_PROCESSES):
            with closing(self._pools.runner()) as fresh:
                for (task, candidates), mine in zip(finalists, times, strict=True):
                    ready = self._prepare(task)
                    kept = [k for k, c in enumerate(candidates) if c in ready.codes][:: -1 if process % 2 else 1]
                    codes = [ready.codes[candidates[k]] for k in kept]
                    for k, trial in zip(kept, self._run(task, ready, codes, None, fresh), strict=True):
                        mine[k] += trial.times
        return [[tuple(t) for t in mine] for mine in times]

    def _build(self, wanted: Sequence[tuple[SearchTask, Candidate | None]]) -> list[JobResult]:
        """Compile candidates; those that take long begin first, or all but one process would wait for them."""
        order = sorted(range(len(wanted)), key=lambda k: -_compile_seconds(*wanted[k]))
        jobs = [Job(str(k), self._job(*wanted[k])) for k in order]
        results = {r.name: r for r in self._builders.run(jobs, timeout=COMPILE_TIMEOUT)}
        return [results[str(k)] for k in range(len(wanted))]

    def _job(self, task: SearchTask, candidate: Candidate | None) -> TaskJob:
        if candidate is None and self._exact:
            return TaskJob(task.text, "linalg", "object", self._target, kinds=all_kinds(exact=True))
        return TaskJob(task.text, "linalg", "object", self._target, candidate=candidate)

    def _prepare(self, task: SearchTask) -> _Prepared:
        if task.text not in self._prepared:
            wide = widened(task.text)
            plain = TaskJob(wide, "linalg", "object", self._target, unscheduled=True)
            default = self._job(task, None)
            results = self._builders.run(
                [Job("reference", plain), Job("default", default)], timeout=10 * COMPILE_TIMEOUT
            )
            for result in results:
                if result.failure is not None:
                    raise TaskFailedError(task.name, result.failure.reason, result.failure.detail)
            reference, anchor = (r.value for r in results)
            chosen = (task.text, anchor) if task.flops > PLAIN_FLOPS else (wide, reference)
            self._prepared[task.text] = _Prepared(*chosen, anchor)
        return self._prepared[task.text]

    def _anchor(self, task: SearchTask, ready: _Prepared) -> float:
        seconds: list[float] = []
        most = ANCHORS if ready.fastest_anchor is None else 2 * ANCHORS
        while len(seconds) < most and not (seconds and _as_fast(min(seconds), ready.fastest_anchor)):
            if len(seconds) == ANCHORS:
                self._runner.close()
                self._runner = self._pools.runner()
            (trial,) = self._run(task, ready, [ready.anchor], None)
            if trial.seconds is None:
                raise TaskFailedError(task.name, f"its default schedule: {trial.fate}: {trial.reason}")
            seconds.append(trial.seconds)
        # Nothing makes a machine faster than it is: a first time that was slower told of itself alone.
        ready.fastest_anchor = min(seconds) if ready.fastest_anchor is None else min(ready.fastest_anchor, *seconds)
        return min(seconds)

    def _run_all(
        self, task: SearchTask, ready: _Prepared, built: Sequence[JobResult], best: float | None
    ) -> list[Trial]:
        trials: list[Trial] = []
        for result in built:
            if result.failure is not None:
                late = result.failure.reason.startswith("no result")
                trials.append(Trial("compile timeout" if late else "compile error", reason=result.failure.reason))
                continue
            code: TaskCode = result.value
            digest = hashlib.sha256(code.code).hexdigest()
            if digest not in ready.measured:
                (ready.measured[digest],) = self._run(task, ready, [code], best)
            trial = ready.measured[digest]
            if trial.seconds is not None:
                best = trial.seconds if best is None else min(best, trial.seconds)
            trials.append(trial)
        return trials

    def _run(
        self,
        task: SearchTask,
        ready: _Prepared,
        codes: Sequence[TaskCode],
        best: float | None,
        pool: Pool | None = None,
    ) -> list[Trial]:
        expected = None if pool is None else self._expected(task, ready)
        jobs = [
            Job(str(k), replace(self._run_job(task, ready, code), best=best, expected=expected if k == 0 else None))
            for k, code in enumerate(codes)
        ]
        results = (pool or self._runner).run(jobs, timeout=RUN_TIMEOUT)
        return [_trial(code, r) for code, r in zip(codes, results, strict=True)]

    def _expected(self, task: SearchTask, ready: _Prepared) -> Array | None:
        """Return what the reference computes; plain loops are too slow to run them in every process."""
        if ready.expected is None:
            (result,) = self._runner.run([Job("expected", self._run_job(task, ready, None))], timeout=RUN_TIMEOUT)
            ready.expected = None if result.failure is not None else result.value.expected
        return ready.expected

    def _run_job(self, task: SearchTask, ready: _Prepared, code: TaskCode | None) -> RunJob:
        return RunJob(
            task.text, code, ready.reference_text, ready.reference, self._target, self._threads, self._seed,
            between_calls=self._between_calls, cold=self._cold,
        )  # fmt: skip


def _compile_seconds(task: SearchTask, candidate: Candidate | None) -> float:
    point = None if candidate is None else task.point(candidate)
    return 0.0 if candidate is None or point is None else task.spaces[point.space].properties(candidate).compile_seconds


def _as_fast(seconds: float, first: float | None) -> bool:
    return first is not None and seconds / first - 1 <= DRIFT


def _corrected(trials: list[Trial], ready: _Prepared, anchor: float) -> list[Trial]:
    """Return trials in the seconds of when the anchor was fastest, if the machine has become slower."""
    ratio = 1.0 if ready.fastest_anchor is None else ready.fastest_anchor / anchor
    if abs(ratio - 1) <= DRIFT:
        return trials
    return [replace(t, times=tuple(ratio * s for s in t.times)) for t in trials]


def _trial(code: TaskCode, result: JobResult) -> Trial:
    report = code.report
    known = Trial(
        "measured",
        compile_seconds=sum(code.stages.values()),
        code_bytes=report.text_bytes if report else 0,
        vector_spills=report.vector_spills if report else 0,
        code=hashlib.sha256(code.code).hexdigest(),
    )
    if result.failure is not None:
        late = result.failure.reason.startswith("no result")
        return replace(known, fate="run timeout" if late else "crash", reason=result.failure.reason)
    ran: Ran = result.value
    if ran.wrong:
        return replace(known, fate="wrong answer", reason=ran.wrong)
    return replace(known, times=ran.times)
