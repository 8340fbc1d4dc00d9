"""What a worker process does: take one task from a stage to a later one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kinds import sketched
from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.target import Target
from ansorc.compiler.task_code import TaskCode
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import text_of
from ansorc.dialect_passes.lower.pitched_arguments import RowsAreMixedError
from ansorc.dialect_passes.lower.sections import ResultNotInPlaceError, SharedValueError
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.runtime.llvm_binding import compile_ir, compile_kernel, expect_kernels


@dataclass(frozen=True)
class TaskJob:
    """One task and how far to take it."""

    text: str
    """A module with one task."""
    stage: str
    goal: str
    """`affine`, `scheduled`, `bufferized`, `llvm-mlir`, `llvm`, `asm` or `object`."""
    target: Target
    unscheduled: bool = False
    """Go by way of `affine`."""
    candidate: Candidate | None = None
    """The schedule; None: the default."""
    script: str = ""
    """A schedule that was edited by hand, instead."""
    kinds: tuple[str, ...] = field(default_factory=all_kinds)
    """Kinds of schedules to try, in order."""
    trees: Path | None = None
    """A trained cost model that chooses the schedule where none is given (search/zero_trials.py); None: the default."""
    threads: int = 1
    """Threads that the cost model expects."""

    @property
    def given(self) -> bool:
        """Whether a schedule is asked for by name, which is compiled or fails."""
        return self.candidate is not None or bool(self.script)


def machine_of(target: Target) -> Machine:
    """Return what schedules need to know of a target."""
    caches = target.caches
    return Machine(
        target.vector_bits // 8, target.vector_registers, target.arch == "x86_64", caches.l1, caches.l2,
        caches.l3, caches.l3_bytes_a_cycle, target.fma_ports, target.cores or Machine.cores,
    )  # fmt: skip


class Clock:
    """What stages take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def passed(self, stage: str) -> None:
        """Note that a stage is reached."""
        now = time.perf_counter()
        self.seconds[stage], self._since = now - self._since, now


class ScheduleFailedError(Exception):
    """A default schedule does not fit its task after all."""

    def __init__(self, kind: str, cause: Exception) -> None:
        super().__init__(str(cause))
        self.kind = kind
        self.cause = cause


SCHEDULE_FAILURES = (
    ir.MLIRError,  # pyright: ignore[reportAttributeAccessIssue]
    kernel.StepFailedError,
    ResultNotInPlaceError,
    SharedValueError,
    RowsAreMixedError,
)
"""What a schedule that does not fit a task ends in; anything else is a mistake of ours, and is not hidden."""


def compile_task(job: TaskJob) -> TaskCode:
    """Compile one task; the entry of workers.

    A kind of default schedule that fails on a task is left out, and the next one takes its place: the last fits every
    task. A given candidate is compiled or fails.
    """
    if job.given or job.stage != "linalg" or job.unscheduled:
        return _compile(job, job.kinds)
    kinds, failures = job.kinds, list[str]()
    while True:
        try:
            return replace(_compile(job, kinds), failures=tuple(failures))
        except ScheduleFailedError as error:
            if error.kind == kinds[-1]:
                raise error.cause from error
            kinds = tuple(k for k in kinds if k != error.kind)
            failures.append(f"{error.kind}: {error.cause}")


def _compile(job: TaskJob, kinds: tuple[str, ...]) -> TaskCode:
    machine, stage, script = machine_of(job.target), job.stage, ""
    clock = Clock()
    with context(), ir.Location.unknown():
        module = ir.Module.parse(job.text)
        if stage == "linalg" and not (job.unscheduled or job.goal == "affine"):
            planned = kernel.plan(module, machine, kinds, job.candidate, job.script)
            try:
                script = kernel.to_scheduled(module, planned)
                clock.passed("scheduled")
                stage = _advance(module, "scheduled", job.goal, machine)
            except SCHEDULE_FAILURES as error:
                raise error if job.given else ScheduleFailedError(planned.kind, error) from error
        else:
            if stage == "linalg":
                kernel.to_affine(module)
                stage = "affine"
            stage = _advance(module, stage, job.goal, machine)
        facts = kernel.facts_of(module)
        if stage == job.goal:
            text = text_of(module.operation, verified=True)
            return TaskCode(facts, text.encode(), script)
        clock.passed("llvm-mlir")
        code = kernel.to_llvm_ir(module)
        clock.passed("llvm")
    if job.goal == "llvm":
        return TaskCode(facts, code.encode(), script)
    target = job.target
    expect_kernels(target.triple)
    unroll = facts.kind in sketched()  # their inner loops are short; those of others are long, or copies
    reduce_strength = not (unroll and facts.products and sketched()[facts.kind].few_streams)
    where = (target.triple, target.cpu, target.features)
    if job.goal == "object":
        made, report = compile_kernel(code, *where, unroll=unroll, reduce_strength=reduce_strength)
        clock.passed("object")
        return TaskCode(facts, made, script, report=report, stages=clock.seconds)
    made = compile_ir(code, *where, emit=job.goal, unroll=unroll, reduce_strength=reduce_strength)
    return TaskCode(facts, made, script)


def _advance(module: ir.Module, stage: str, goal: str, machine: Machine) -> str:
    while stage not in (goal, "llvm-mlir"):
        stage = kernel.advance(module, stage, machine)
    module.operation.verify()  # once: passes do not, and what is invalid is a failure of the schedule
    return stage
