"""What a worker process does: take one task from a stage to a later one."""

from __future__ import annotations

from dataclasses import dataclass

from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.kernel import KernelFacts
from ansorc.compiler.target import Target
from ansorc.dialect_passes.ir_walk import text_of
from ansorc.dialect_passes.schedule.default import KINDS
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.runtime.llvm_binding import compile_ir


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
    kinds: tuple[str, ...] = KINDS
    """Kinds of schedules to try, in order."""


@dataclass(frozen=True)
class TaskCode:
    """A task at its goal."""

    facts: KernelFacts
    code: bytes
    """Text of the stage, or an object file."""
    transform: str = ""
    """The schedule's transform script."""


def machine_of(target: Target) -> Machine:
    """Return what schedules need to know of a target."""
    return Machine(target.vector_bits // 8, target.vector_registers, target.arch == "x86_64")


def compile_task(job: TaskJob) -> TaskCode:
    """Compile one task; the entry of workers.

    A kind of schedule that fails on a task is left out, and the next one takes its place: the last fits every task.
    """
    for first in range(len(job.kinds) - 1):
        try:
            return _compile(job, job.kinds[first:])
        except Exception:
            if job.stage != "linalg" or job.unscheduled:
                raise
    return _compile(job, job.kinds[-1:])


def _compile(job: TaskJob, kinds: tuple[str, ...]) -> TaskCode:
    machine, stage, script = machine_of(job.target), job.stage, ""
    with kernel.context(), ir.Location.unknown():
        module = ir.Module.parse(job.text)
        if stage == "linalg" and (job.unscheduled or job.goal == "affine"):
            kernel.to_affine(module)
            stage = "affine"
        elif stage == "linalg":
            script = kernel.to_scheduled(module, machine, kinds)
            stage = "scheduled"
        while stage not in (job.goal, "llvm-mlir"):
            stage = kernel.advance(module, stage, machine)
        facts = kernel.facts_of(module)
        if stage == job.goal:
            text = text_of(module.operation, verified=True)
            return TaskCode(facts, text.encode(), script)
        code = kernel.to_llvm_ir(module)
    if job.goal == "llvm":
        return TaskCode(facts, code.encode(), script)
    target = job.target
    unroll = facts.kind == "blocked"  # its inner loops are short; those of other kinds are long, or copies
    made = compile_ir(code, target.triple, target.cpu, target.features, emit=job.goal, unroll=unroll)
    return TaskCode(facts, made, script)
