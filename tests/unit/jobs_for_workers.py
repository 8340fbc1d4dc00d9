"""Functions that the tests of the workers run in worker processes."""

import os
import signal
import sys
import time

from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob, compile_task


def square(x: int) -> int:
    print("noise on standard output")
    return x * x


def misbehave(kind: str) -> str:
    if kind == "abort":
        sys.stderr.write("LLVM ERROR: cannot select\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGABRT)
    if kind == "hang":
        time.sleep(3600)
    if kind == "exit":
        os._exit(7)
    if kind == "raise":
        raise ValueError("no such thing")
    if kind == "unpicklable":
        return lambda: None  # type: ignore[return-value]
    return kind


def abort_in_schedules(job: TaskJob) -> TaskCode:
    """Compile a task, but as if the schedules that are tried first ended in an abort."""
    return misbehave("abort") if job.kinds == all_kinds() else compile_task(job)  # type: ignore[return-value]


def hang_in_schedules(job: TaskJob) -> TaskCode:
    """Compile a task, but as if the schedules that are tried first never came to an end."""
    return misbehave("hang") if job.kinds == all_kinds() else compile_task(job)  # type: ignore[return-value]


def abort_in_candidates(job: TaskJob) -> TaskCode:
    """Compile a task, but as if a schedule that was given ended in an abort."""
    return compile_task(job) if job.candidate is None else misbehave("abort")  # type: ignore[return-value]


def abort_in_promised(job: TaskJob) -> TaskCode:
    """Compile a task, but as if the schedule that a cost model chose ended in an abort."""
    return compile_task(job) if job.trees is None else misbehave("abort")  # type: ignore[return-value]


def abort_in_given(job: TaskJob) -> TaskCode:
    """Compile a task, but as if a schedule that is asked for ended in an abort."""
    return compile_task(job) if job.candidate is None else misbehave("abort")  # type: ignore[return-value]


def abort_in_all(job: TaskJob) -> None:
    """End as LLVM does when it cannot go on."""
    misbehave("abort")


def sleep_with_pid(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)
