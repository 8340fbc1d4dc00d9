"""Take every task of a program to a stage, in worker processes, through the cache."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.cache import Cache
from ansorc.compiler.cost_model.boosted_trees import Trees, choosing_model
from ansorc.compiler.errors import IllegalDecisionError, TaskFailedError
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.sketch.kinds import sketched
from ansorc.compiler.sketch.schedule_task import LAST_KIND, all_kinds
from ansorc.compiler.stage_passes import pipeline
from ansorc.compiler.target import usable_cores
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob, machine_of
from ansorc.compiler.workers import Job, JobResult, run_jobs
from ansorc.dialect_passes.ir_context import context

ENTRY = "ansorc.compiler.search.zero_trials:compile_task"
LONGEST_TASK = 120.0
"""Seconds for a task that nothing wrong takes three of: patterns that never end are as a crash."""


@dataclass(frozen=True)
class Compiled:
    """The tasks of a program at a stage."""

    tasks: Mapping[str, TaskCode]
    cached: int


def compile_tasks(program: Program, goal: str, options: Options) -> Compiled:
    """Compile each task of `program` to `goal` (see TaskJob).

    Raises TaskFailedError for the first that fails, IllegalDecisionError for a given candidate that fits no task.
    """
    _check_candidates(program, options)
    cache = Cache(options.cache_dir, read_knobs().cache_bytes) if options.use_cache else None
    model = choosing_model(options)
    digest = Trees.load(model).digest if model is not None else ""
    jobs: dict[str, TaskJob] = {}
    done: dict[str, TaskCode] = {}
    keys: dict[str, str] = {}
    for name, text in program.code.items():
        kinds, candidate = all_kinds(exact=options.exact), options.candidates.get(name)
        job = TaskJob(
            text, program.stage, goal, options.target, candidate=candidate, kinds=kinds,
            trees=model, threads=options.threads or usable_cores(),
        )  # fmt: skip
        keys[name] = _key(job, digest, options)
        stored = cache.get(keys[name]) if cache else None
        if stored is not None:
            done[name] = pickle.loads(stored)
        else:
            jobs[name] = job
    cached = len(done)

    def progress(result: JobResult) -> None:
        if result.failure is None:
            done[result.name] = result.value
            if cache is not None:
                cache.put(keys[result.name], pickle.dumps(result.value))
        options.report("compiling tasks", len(done), len(program.code))

    options.report("compiling tasks", cached, len(program.code))
    results = _run(jobs, options, progress)
    while again := {r.name: job for r in results if (job := _plainer(r, jobs.get(r.name), options)) is not None}:
        jobs |= again
        keys |= {name: _key(job, digest, options) for name, job in again.items()}  # not what was wanted first
        results = [r for r in results if r.name not in again] + _run(again, options, progress)
    for result in results:
        if result.failure is not None:
            folder = options.dump_dir or options.cache_dir
            path = folder / f"{result.name}.mlir"
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(program.code[result.name])
            passes = pipeline(program.stage, goal, options.target, *_last_tried(result.name, program, options, folder))
            command = f"ansorc-opt --pipeline='{passes}' {path}"
            raise TaskFailedError(result.name, result.failure.reason, result.failure.detail, command)
    return Compiled({name: done[name] for name in program.code}, cached)


def _plainer(result: JobResult, job: TaskJob | None, options: Options) -> TaskJob | None:
    """Return what is worth a try after a failure; None where that was the last word.

    A schedule that nobody tried gives way to the default. Where an abort in MLIR or LLVM ended the worker, or it came
    to no end, so does the one that a cost model chose, and then the default to the plainest.
    """
    if result.failure is None or job is None or job.stage != "linalg":
        return None
    if job.candidate is not None:
        if result.name not in options.untried:
            return None
        options.report(f"{result.name}: a schedule that was never tried here fails, the default takes its place")
        return replace(job, candidate=None, trees=None)
    if not result.failure.crashed or job.kinds == (LAST_KIND,):
        return None
    return replace(job, trees=None) if job.trees is not None else replace(job, kinds=(LAST_KIND,))


def _check_candidates(program: Program, options: Options) -> None:
    """Refuse schedules for tasks that there are not, and those that their tasks cannot have."""
    for name, candidate in options.candidates.items():
        if program.stage != "linalg" or name not in program.code:
            tasks = ", ".join(program.code) if program.stage == "linalg" else "none: its tasks are scheduled already"
            raise IllegalDecisionError("task", name, f"one of the program's ({tasks})")
        kind = candidate.sketch.kind
        if options.exact and kind not in all_kinds(exact=True):
            raise IllegalDecisionError("kind", kind, "one that rounds as the model does (exact)", name)
        with context(), ir.Location.unknown():
            module = ir.Module.parse(program.code[name])
            try:
                kernel.plan(module, machine_of(options.target), candidate=candidate)
            except IllegalDecisionError as error:
                raise IllegalDecisionError(error.decision, error.found, error.expected, name) from error


def _run(jobs: Mapping[str, TaskJob], options: Options, progress: Callable[[JobResult], None]) -> list[JobResult]:
    queue = [Job(name, job) for name, job in jobs.items()]
    plainest = all(job.kinds == (LAST_KIND,) for job in jobs.values())
    timeout = None if plainest else LONGEST_TASK
    return run_jobs(ENTRY, queue, min(options.jobs, len(queue)), progress, timeout) if queue else []


def _last_tried(name: str, program: Program, options: Options, folder: Path) -> tuple[str, str]:
    """Return the kind of schedule that a task failed with, or the file of its script, which is written."""
    if program.stage != "linalg":
        return "", ""
    candidate = options.candidates.get(name)
    if candidate is None:
        return LAST_KIND, ""
    path = folder / f"{name}.transform.mlir"
    path.write_text(sketched()[candidate.sketch.kind].emit(candidate))
    return "", str(path)


def _key(job: TaskJob, digest: str, options: Options) -> str:
    """Name what a job makes, by all that it depends on: `digest` names its cost model."""
    model = (digest, job.threads) if job.trees is not None and job.candidate is None else ()
    parts = (job.text, job.stage, job.goal, job.unscheduled, job.kinds, job.candidate, *model, options.fingerprint())
    return hashlib.sha256(repr(parts).encode()).hexdigest()
