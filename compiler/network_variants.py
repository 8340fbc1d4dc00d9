"""Programs of one model in several ways, run in turn: other schedules, or other tasks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansorc.compiler.errors import TaskFailedError
from ansorc.compiler.measuring.running_network import ENTRY, NetworkVariants, VariantTimes
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import usable_cores
from ansorc.compiler.tasks import compile_tasks
from ansorc.compiler.workers import Job, run_jobs

MEMORY_SHARE = 0.5
"""Of the free memory, for the weights of a network that runs in several ways."""


@dataclass(frozen=True)
class Variant:
    """A program of the stage `linalg`, and schedules of its tasks; the others get defaults."""

    program: Program
    candidates: Mapping[str, Candidate] = field(default_factory=dict[str, Candidate])


def run_variants(variants: Sequence[Variant], options: Options) -> Sequence[VariantTimes]:
    """Run variants of a network in turn, in another process; none if that fails."""
    name, bytes_together = variants[0].program.name, sum(v.program.weight_bytes for v in variants)
    if bytes_together > MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"):
        options.report(f"{name}: too large to be compared {len(variants)} times; tasks are compared alone")
        return ()
    plain = replace(options, trials=0, seconds=None, records=None)
    threads, reason = options.threads or usable_cores(), ""
    try:
        compiled = tuple(
            compile_tasks(v.program, "object", replace(plain, candidates=v.candidates)).tasks for v in variants
        )
        options.report(f"{name}: comparing inside the network")
        job = NetworkVariants(tuple(v.program for v in variants), compiled, options.target, threads, options.seed)
        (result,) = run_jobs(ENTRY, [Job(name, job)], 1)
        if result.failure is None:
            return result.value
        reason = result.failure.reason
    except TaskFailedError as error:
        reason = error.reason
    options.report(f"{name}: not compared inside the network: {reason}")
    return ()
