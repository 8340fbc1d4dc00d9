"""The stages of one task as passes of `ansorc-opt`: what a message about a failed task tells the user to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.errors import IllegalDecisionError
from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.target import Target, parse_target, target_name
from ansorc.compiler.task_job import machine_of
from ansorc.compiler.verify import Replay, check_script
from ansorc.dialect_passes.ir_walk import text_of
from ansorc.runtime.llvm_binding import compile_ir


def schedule(module: ir.Module, target: str = "native", kind: str = "", script: str = "") -> None:
    """Take a task from `linalg` to `scheduled` (options: target=NAME, kind=NAME, script=FILE).

    A script is replayed as it is, perhaps edited by hand, once it was seen to compute what the task does. Without one,
    the kind is chosen as for a model, or is the one that is named.
    """
    machine = parse_target(target)
    if kind and kind not in all_kinds():
        raise IllegalDecisionError("kind", kind, f"one of {', '.join(all_kinds())}")
    text = Path(script).read_text() if script else ""
    if text:
        check_script(Replay(text_of(module.operation), text, machine))
    kinds = (kind,) if kind else all_kinds()
    kernel.to_scheduled(module, kernel.plan(module, machine_of(machine), kinds, replayed=text))


def unscheduled(module: ir.Module) -> None:
    """Take a task from `linalg` to `affine`: plain loops."""
    kernel.to_affine(module)


def bufferize(module: ir.Module) -> None:
    """Take a task from `scheduled` to `bufferized`."""
    kernel.advance(module, "scheduled", machine_of(parse_target("native")))  # the same for every machine


def lower(module: ir.Module, target: str = "native", stage: str = "bufferized") -> None:
    """Take a task from `bufferized` (or stage=affine) to `llvm-mlir` (option: target=NAME)."""
    kernel.advance(module, stage, machine_of(parse_target(target)))


def emit(module: ir.Module, target: str = "native") -> None:
    """Let LLVM make an object of a task of `llvm-mlir`, and forget it (option: target=NAME)."""
    t = parse_target(target)
    compile_ir(kernel.to_llvm_ir(module), t.triple, t.cpu, t.features)


STAGE_PASSES: dict[str, Callable[..., Any]] = {
    "ansorc-schedule": schedule,
    "ansorc-affine": unscheduled,
    "ansorc-bufferize": bufferize,
    "ansorc-lower": lower,
    "ansorc-emit": emit,
}


def pipeline(stage: str, goal: str, target: Target, kind: str = "", script: str = "") -> str:
    """Return the pipeline that takes a task from `stage` to `goal` as a worker does."""
    name = target_name(target)
    options = " ".join([f"target={name}", *[f"{key}={v}" for key, v in (("kind", kind), ("script", script)) if v]])
    first = "ansorc-affine" if goal == "affine" else f"ansorc-schedule{{{options}}}"
    lowering = f"ansorc-lower{{target={name} stage=affine}}" if stage == "affine" else f"ansorc-lower{{target={name}}}"
    steps = {"linalg": first, "scheduled": "ansorc-bufferize", "bufferized": lowering, "affine": lowering}
    following = {"linalg": goal if goal == "affine" else "scheduled", "scheduled": "bufferized"}
    chosen: list[str] = []
    while stage not in (goal, "llvm-mlir"):
        chosen.append(steps[stage])
        stage = following.get(stage, "llvm-mlir")
    if goal == "object":
        chosen.append(f"ansorc-emit{{target={name}}}")
    return ",".join(chosen)
