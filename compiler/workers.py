"""Run jobs in worker processes, so that an abort inside LLVM or MLIR ends one job only.

A worker is `python -m ansorc.compiler.workers`, fed over its standard input and output. It is not
`multiprocessing`, which would import the user's script again.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import queue
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

TAIL_BYTES = 4000
PR_SET_PDEATHSIG = 1
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Job:
    """One call of the function."""

    name: str
    payload: Any


@dataclass(frozen=True)
class Failure:
    """Why a job has no value."""

    reason: str
    """One line: the exception, or the signal that ended the worker."""
    detail: str
    """The worker's traceback, or the end of what it wrote to its standard error."""
    crashed: bool


@dataclass(frozen=True)
class JobResult:
    """What became of a job."""

    name: str
    value: Any = None
    failure: Failure | None = None


def run_jobs(
    function_path: str,
    jobs: Sequence[Job],
    count: int,
    progress: Callable[[JobResult], None] | None = None,
    timeout: float | None = None,
) -> list[JobResult]:
    """Call "module:function" on every job's payload in `count` processes; see WorkerPool.run."""
    with WorkerPool(function_path, min(count, len(jobs))) as pool:
        return pool.run(jobs, progress, timeout)


@dataclass(frozen=True)
class _Request:
    """One job on its way to a worker, and where its result goes."""

    index: int
    job: Job
    timeout: float | None
    answers: queue.SimpleQueue[tuple[int, JobResult] | BaseException]


class Pool(Protocol):
    """Whoever runs jobs."""

    def run(
        self, jobs: Sequence[Job], progress: Callable[[JobResult], None] | None = None, timeout: float | None = None
    ) -> list[JobResult]:
        """Return the results in job order; a job that takes longer than `timeout` seconds fails."""
        ...

    def close(self) -> None:
        """Let go of processes."""
        ...


class WorkerPool:
    """Processes that call one "module:function", kept between runs; none is started before its first job.

    A worker that has done `recycle_after` jobs is replaced (0: never): what leaks inside MLIR or LLVM ends with it.
    A job that wants more than `memory` bytes (0: any) fails, before the system looks for somebody to kill.
    """

    def __init__(self, function_path: str, count: int, *, recycle_after: int = 0, memory: int = 0) -> None:
        self._crew = [_Worker(function_path, recycle_after, memory) for _ in range(count)]
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        # A worker ends with the thread that started it (see _die_with): threads live as long as the pool.
        self._threads = [threading.Thread(target=_serve, args=(w, self._requests), daemon=True) for w in self._crew]

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers now; the pool cannot be used any more."""
        for worker in self._crew:
            worker.kill()
            self._requests.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def run(
        self,
        jobs: Sequence[Job],
        progress: Callable[[JobResult], None] | None = None,
        timeout: float | None = None,
    ) -> list[JobResult]:
        """Return the results in job order.

        A job that takes longer than `timeout` seconds fails, and its worker ends. `progress` is called in this
        thread, in the order in which jobs end. If it raises, or on Ctrl-C, the pool is closed before the exception
        goes on.
        """
        answers: queue.SimpleQueue[tuple[int, JobResult] | BaseException] = queue.SimpleQueue()
        results: dict[int, JobResult] = {}
        try:
            for index, job in enumerate(jobs):
                self._requests.put(_Request(index, job, timeout, answers))
            for thread in self._threads[: len(jobs)]:
                if thread.ident is None:
                    thread.start()
            while len(results) < len(jobs):
                answer = answers.get()
                if isinstance(answer, BaseException):
                    raise answer
                index, result = answer
                results[index] = result
                if progress is not None:
                    progress(result)
        except BaseException:
            self.close()
            raise
        return [results[index] for index in range(len(jobs))]


def _serve(worker: _Worker, requests: queue.SimpleQueue[_Request | None]) -> None:
    """Feed one worker until the pool is closed."""
    while not worker.stopped and (request := requests.get()) is not None:
        try:
            request.answers.put((request.index, worker.call(request.job, request.timeout)))
        except BaseException as error:
            request.answers.put(error)
    worker.close()


class _Worker:
    """A process that lives until it is killed or dies of a job; the next job gets a new one."""

    def __init__(self, function_path: str, recycle_after: int, memory: int) -> None:
        self.stopped = False
        self._function_path = function_path
        self._memory = memory
        self._recycle_after = recycle_after
        self._calls = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def call(self, job: Job, timeout: float | None) -> JobResult:
        request = pickle.dumps((self._function_path, job.payload))
        if self._recycle_after and self._calls >= self._recycle_after:
            self._end()
            self._discard()
        process, errors = self._alive()
        self._calls += 1
        assert process.stdin is not None
        assert process.stdout is not None
        start = errors.seek(0, os.SEEK_END)
        try:
            _write(process.stdin, request)
            if timeout is not None and not select.select([process.stdout], [], [], timeout)[0]:
                self._end()
                self._discard()
                return JobResult(job.name, failure=Failure(f"no result after {timeout:g} s", "", crashed=True))
            reply = _read(process.stdout)
        except OSError:
            reply = None
        if reply is not None:
            value, failure = pickle.loads(reply)
            return JobResult(job.name, value, Failure(*failure) if failure else None)
        code = process.wait()
        errors.seek(max(start, errors.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = errors.read().decode(errors="replace")
        self._discard()
        return JobResult(job.name, failure=Failure(_cause(code), tail, crashed=True))

    def kill(self) -> None:
        """End the process, and what it started, now."""
        self.stopped = True
        self._end()

    def _end(self) -> None:
        with self._lock:
            process = self._process
            if process is not None and process.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def close(self) -> None:
        """Kill, and let go of the pipes; for the thread that calls, as it reads from them."""
        self.kill()
        self._discard()

    def _alive(self) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        with self._lock:
            if self.stopped:
                raise InterruptedError("worker stopped")
            if self._process is None or self._errors is None:
                self._calls = 0
                self._errors = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the worker
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "ansorc.compiler.workers", str(os.getpid()), str(self._memory)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env=_environment(),
                    # A group of its own: Ctrl-C reaches the parent only, and a kill reaches
                    # what the worker started.
                    start_new_session=True,
                )
            return self._process, self._errors

    def _discard(self) -> None:
        with self._lock:
            process, errors = self._process, self._errors
            self._process = self._errors = None
        if process is not None:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        if errors is not None:
            errors.close()


def _environment() -> dict[str, str]:
    """Let the worker import what this process can import."""
    package_root = str(Path(__file__).parent.parent.parent)
    paths = dict.fromkeys([package_root, *(path or os.getcwd() for path in sys.path)])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _cause(code: int) -> str:
    if code >= 0:
        return f"the worker process exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the worker process was ended by {name}"


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """Read one message; None if the other end is gone."""
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    message = pipe.read(length)
    return message if len(message) == length else None


def _die_with(parent: int) -> None:
    """End this process when the one that started it is gone, also in the middle of a job."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _work() -> None:
    """Answer requests on standard input until it ends."""
    _die_with(int(sys.argv[1]))
    if memory := int(sys.argv[2]):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # Keep the pipes to ourselves: what a job prints must not get between the replies.
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while (request := _read(requests)) is not None:
        reply = _answer(request)
        sys.stdout.flush()
        _write(replies, reply)


def _answer(request: bytes) -> bytes:
    try:
        function_path, payload = pickle.loads(request)
        module, _, name = function_path.partition(":")
        return pickle.dumps((getattr(importlib.import_module(module), name)(payload), None))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return pickle.dumps((None, (reason, traceback.format_exc(), False)))


if __name__ == "__main__":
    _work()
