"""Jobs on the workers of a Dask cluster: any of them compiles; one that is the target's machine runs candidates.

A Dask worker keeps processes of its own for them, as this machine does (see workers.py): a candidate that crashes ends
one of those. What a lost worker had in flight is done again by another.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansorc.compiler.errors import ClusterError
from ansorc.compiler.measuring import measurer, runner
from ansorc.compiler.measuring.environment import environment
from ansorc.compiler.options import toolchain
from ansorc.compiler.target import parse_target, target_key
from ansorc.compiler.workers import Failure, Job, JobResult, Pool, WorkerPool

LOCAL = "local:"
"""Begins the address of a cluster of so many workers that is started on this machine, and ends with the search."""
CONNECT_SECONDS, LOOK_SECONDS, PATIENCE_SECONDS = 15.0, 2.0, 60.0
"""To find the scheduler; between looks at who is still there; until somebody new comes where nobody is left."""
_kept: dict[tuple[str, str, int], WorkerPool] = {}
"""Of a Dask worker: its processes, by whoever asked for them, what they do, and the thread that they work for."""
_keeping = threading.Lock()


def fingerprint() -> tuple[str, str]:
    """Return what a worker is: its target, and its version of the compiler."""
    return target_key(parse_target("native")), toolchain()


def do(owner: str, function_path: str, job: Job, timeout: float | None) -> JobResult:
    """Do a job in a process of this worker, which is kept for the next one; Dask calls this."""
    key = (owner, function_path, threading.get_ident())
    with _keeping:
        if key not in _kept:
            _kept[key] = WorkerPool(
                function_path, 1, recycle_after=measurer.RECYCLE_AFTER, memory=measurer.most_memory()
            )
        pool = _kept[key]
    return pool.run([job], timeout=timeout)[0]


def forget(owner: str) -> None:
    """End the processes of an owner."""
    with _keeping:
        for key in [k for k in _kept if k[0] == owner]:
            _kept.pop(key).close()


class ClusterPools:
    """The workers of a cluster that have this version of the compiler; those of a target run candidates."""

    def __init__(self, address: str, target: str) -> None:
        """Connect to a scheduler, or start a cluster here; raises ClusterError."""
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise ClusterError(address, "Dask is not installed", "pip install 'ansorc[cluster]'") from error
        self.address, self._target = address, target
        self._cluster: Any = None
        try:
            where: Any = address
            if address.startswith(LOCAL):
                count = address.removeprefix(LOCAL)
                if not count.isdecimal() or not int(count):
                    raise ClusterError(address, "expected local: and a number of workers, such as local:2")
                where = self._cluster = LocalCluster(n_workers=int(count), threads_per_worker=1, dashboard_address="")
            self.client: Any = Client(where, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            if self._cluster is not None:
                self._cluster.close()
            hint = "start one with `dask scheduler`, and `dask worker` on each machine"
            raise ClusterError(address, f"no scheduler answers ({error or type(error).__name__})", hint) from error
        self._known: dict[str, tuple[str, str]] = {}
        if not self.compiling():
            self.close()
            raise ClusterError(address, "no worker has this version of the compiler", self._what_there_is())
        if not self.running():
            self.close()
            raise ClusterError(address, f"no worker is a {target}", self._what_there_is())

    def builders(self) -> Pool:
        """Return all workers."""
        return _Builders(self, measurer.ENTRY)

    def runner(self) -> Pool:
        """Return one worker of the target."""
        return _Runner(self, runner.ENTRY)

    def environment(self) -> dict[str, object]:
        """Return what the machine is of a worker that runs candidates."""
        return next(iter(self.client.run(environment, workers=self.running()[:1]).values()))

    def close(self) -> None:
        """Leave the cluster; end it, if it was started here."""
        self.client.close()
        if self._cluster is not None:
            self._cluster.close()

    def compiling(self) -> list[str]:
        """Return the addresses of workers that can compile now."""
        return [a for a, (_, tools) in self._there().items() if tools == toolchain()]

    def running(self) -> list[str]:
        """Return the addresses of workers that can run candidates of the target now."""
        return [a for a, (key, tools) in self._there().items() if tools == toolchain() and key == self._target]

    def _there(self) -> dict[str, tuple[str, str]]:
        addresses = list(self.client.scheduler_info(n_workers=-1)["workers"])
        unknown = [a for a in addresses if a not in self._known]
        if unknown:
            said = self.client.run(fingerprint, workers=unknown, on_error="return")
            self._known |= {a: f for a, f in said.items() if isinstance(f, tuple)}
        return {a: self._known[a] for a in addresses if a in self._known}

    def _what_there_is(self) -> str:
        said = sorted({f"a {key} of version {tools[:8]}" for key, tools in self._known.values()})
        return f"there is {', '.join(said)}" if said else "no worker answers: is ansorc installed there?"


class _Jobs:
    """What both pools have in common."""

    def __init__(self, pools: ClusterPools, function_path: str) -> None:
        self._pools, self._function_path, self._owner = pools, function_path, uuid.uuid4().hex

    def close(self) -> None:
        """End the processes on all workers."""
        self._pools.client.run(forget, self._owner, on_error="ignore")

    def _submit(self, job: Job, timeout: float | None, workers: Iterable[str], *, anybody: bool) -> Any:
        return self._pools.client.submit(
            do, self._owner, self._function_path, job, timeout, workers=list(workers), allow_other_workers=anybody,
            pure=False,
        )  # fmt: skip

    def _wait(self, futures: Sequence[Any]) -> Iterable[Any]:
        """Return the futures that are done, once any is; raises TimeoutError after a while."""
        from distributed import wait

        with self._pools.client.as_current():
            done: Any = wait(futures, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        return done.done

    def _somebody(self, there: Callable[[], list[str]]) -> list[str]:
        """Return who is there, once anybody is; raises ClusterError."""
        since = time.monotonic()
        while not (found := there()):
            if time.monotonic() - since > PATIENCE_SECONDS:
                raise ClusterError(self._pools.address, "all workers that could do this are gone")
            time.sleep(LOOK_SECONDS)
        return found


class _Builders(_Jobs):
    """Jobs on any worker."""

    def run(
        self, jobs: Sequence[Job], progress: Callable[[JobResult], None] | None = None, timeout: float | None = None
    ) -> list[JobResult]:
        """Return the results in job order."""
        if not jobs:
            return []
        workers = self._somebody(self._pools.compiling)
        waiting = {self._submit(job, timeout, workers, anybody=True): k for k, job in enumerate(jobs)}
        results: dict[int, JobResult] = {}
        while waiting:
            try:
                done = self._wait(list(waiting))
            except TimeoutError:
                self._somebody(self._pools.compiling)
                continue
            for future in done:
                k = waiting.pop(future)
                results[k] = _result(future, jobs[k])
                if progress is not None:
                    progress(results[k])
        return [results[k] for k in range(len(jobs))]


class _Runner(_Jobs):
    """Jobs on one worker, one after another; on the next one, where that is lost."""

    _worker = ""

    def run(
        self, jobs: Sequence[Job], progress: Callable[[JobResult], None] | None = None, timeout: float | None = None
    ) -> list[JobResult]:
        """Return the results in job order."""
        results: list[JobResult] = []
        for job in jobs:
            results.append(self._run(job, timeout))
            if progress is not None:
                progress(results[-1])
        return results

    def _run(self, job: Job, timeout: float | None) -> JobResult:
        while True:
            there = self._somebody(self._pools.running)
            if self._worker not in there:
                self._worker = there[0]
            future = self._submit(job, timeout, [self._worker], anybody=False)
            while self._worker in there:
                try:
                    self._wait([future])
                    return _result(future, job)
                except TimeoutError:
                    there = self._pools.running()
            future.cancel()


def _result(future: Any, job: Job) -> JobResult:
    if future.status == "finished":
        return future.result()
    error = future.exception()
    return JobResult(job.name, failure=Failure(f"{type(error).__name__}: {error}", "", crashed=True))
