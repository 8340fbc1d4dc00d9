"""Compare a schedule that a person wrote with the plain loops of its task, before it is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ansorc.compiler.errors import UnusableScriptError
from ansorc.compiler.kernel import StepFailedError
from ansorc.compiler.measure import runnable
from ansorc.compiler.target import Target, parse_target
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.compiler.workers import Job, run_jobs

TOLERANCE = 1e-4
"""Largest difference, relative to the largest magnitude: far above what orders of sums, or Winograd, make."""
ENTRY = "ansorc.compiler.verify:difference"


@dataclass(frozen=True)
class Replay:
    """A task, and a script for it."""

    text: str
    script: str
    target: Target


def check_script(replay: Replay, tolerance: float = TOLERANCE) -> None:
    """Run a scripted task and its plain loops on random numbers, in a process of their own.

    Raises UnusableScriptError where the script does not apply, ends the process, or computes something else. A script
    for a processor whose code does not run here passes unseen.
    """
    if not runs_here(replay.target):
        return
    (result,) = run_jobs(ENTRY, [Job("replay", replay)], 1)
    if result.failure is not None:
        raise UnusableScriptError(result.failure.reason)
    if isinstance(result.value, str):
        raise UnusableScriptError(result.value)
    if not result.value <= tolerance:  # not a number is no result, either
        raise UnusableScriptError(
            f"it computes something else than its task: off by {result.value:.1e} of the largest magnitude on random"
            f" numbers, where {tolerance:.0e} is allowed"
        )


def runs_here(target: Target) -> bool:
    """Whether this machine can run code for a target."""
    native = parse_target("native")
    same_system = target.triple == native.triple or target.native
    return same_system and target.vector_bits <= native.vector_bits


def difference(replay: Replay) -> float | str:
    """Return the largest difference between a scripted task and its plain loops, relative to the largest magnitude.

    Where the script cannot be applied, the reason.
    """
    jobs = (
        TaskJob(replay.text, "linalg", "object", replay.target, unscheduled=True),
        TaskJob(replay.text, "linalg", "object", replay.target, script=replay.script),
    )
    try:
        plain, scripted = (runnable(replay.text, compile_task(job), replay.target) for job in jobs)
    except UnusableScriptError as error:
        return error.reason
    except StepFailedError as error:
        return str(error)
    arguments = plain.random_arguments(np.random.default_rng(0))
    expected, found = plain.run(arguments).astype(np.float64), scripted.run(arguments).astype(np.float64)
    scale = abs(expected).max(initial=0.0)
    return float(abs(found - expected).max(initial=0.0) / (scale or 1.0))
