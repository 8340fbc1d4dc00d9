"""What the processes of a measurer do in tests: the real thing, except for candidates that are asked to misbehave."""

import os
import signal
import time
from dataclasses import replace

from ansorc.compiler.measuring import runner
from ansorc.compiler.measuring.runner import Ran, RunJob
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob, compile_task


def compile_or_not(job: TaskJob) -> TaskCode:
    """Compile; without unrolling, as if LLVM had aborted for one vector, hung for two, and had no memory for four."""
    values = job.candidate.values if job.candidate is not None else {"vectors": 0, "unroll": 0}
    vectors = values["vectors"] if values["unroll"] == 1 else 0
    if vectors == 1:
        os.kill(os.getpid(), signal.SIGABRT)
    if vectors == 2:
        time.sleep(60)
    if vectors == 4:
        bytearray(1 << 40)
    return compile_task(job)


def run_or_not(job: RunJob) -> Ran:
    """Run; code that `compile_with_intent` marked crashes or hangs."""
    if job.code is not None and "crash" in job.code.failures:
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.code is not None and "hang" in job.code.failures:
        time.sleep(60)
    return runner.run(job)


def compile_with_intent(job: TaskJob) -> TaskCode:
    """Compile; one vector makes code that crashes, two that hangs, four that computes something else."""
    vectors = job.candidate.values["vectors"] if job.candidate is not None else 0
    if vectors == 4:
        return compile_task(replace(job, text=job.text.replace("arith.addf", "arith.subf")))
    code = compile_task(job)
    return replace(code, failures={1: ("crash",), 2: ("hang",)}.get(vectors, ()))


def compile_greedily(job: TaskJob) -> TaskCode:
    """Compile; one vector makes code that writes a row too many, two that wants more memory than there is."""
    vectors = job.candidate.values["vectors"] if job.candidate is not None else 0
    if vectors == 1:
        return compile_task(replace(job, text=job.text.replace("tensor<24x", "tensor<25x"), candidate=None))
    code = compile_task(job)
    if vectors == 2:
        return replace(code, facts=replace(code.facts, scratch=(*code.facts.scratch, MOST_MEMORY)))
    return code


MOST_MEMORY = 8 << 30
