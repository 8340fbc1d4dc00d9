"""Take every task of a program to a stage, in worker processes, through the cache."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ansorc.compiler.cache import Cache
from ansorc.compiler.errors import TaskFailedError
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.sketch.schedule_task import EXACT_KINDS, KINDS
from ansorc.compiler.stage_passes import pipeline
from ansorc.compiler.task_job import TaskCode, TaskJob
from ansorc.compiler.workers import Job, JobResult, run_jobs

ENTRY = "ansorc.compiler.task_job:compile_task"


@dataclass(frozen=True)
class Compiled:
    """The tasks of a program at a stage."""

    tasks: Mapping[str, TaskCode]
    cached: int


def compile_tasks(program: Program, goal: str, options: Options) -> Compiled:
    """Compile each task of `program` to `goal` (see TaskJob); raises TaskFailedError for the first that fails."""
    cache = Cache(options.cache_dir, read_knobs().cache_bytes) if options.use_cache else None
    jobs: dict[str, TaskJob] = {}
    done: dict[str, TaskCode] = {}
    keys: dict[str, str] = {}
    for name, text in program.code.items():
        kinds, candidate = EXACT_KINDS if options.exact else KINDS, options.candidates.get(name)
        job = TaskJob(text, program.stage, goal, options.target, candidate=candidate, kinds=kinds)
        keys[name] = _key(job, options)
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
    # An abort in MLIR or LLVM ended a worker: the plainest schedule is worth a second try.
    crashed = [
        r.name
        for r in results
        if r.failure is not None
        and r.failure.crashed
        and program.stage == "linalg"
        and r.name not in options.candidates
    ]
    again = {name: replace(jobs[name], kinds=KINDS[-1:]) for name in crashed}
    results = [r for r in results if r.name not in again] + _run(again, options, progress)
    for result in results:
        if result.failure is not None:
            folder = options.dump_dir or options.cache_dir
            path = folder / f"{result.name}.mlir"
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(program.code[result.name])
            kind = KINDS[-1] if program.stage == "linalg" else ""  # what was tried last
            passes = pipeline(program.stage, goal, options.target, kind)
            command = f"ansorc-opt --pipeline='{passes}' {path}"
            raise TaskFailedError(result.name, result.failure.reason, result.failure.detail, command)
    return Compiled({name: done[name] for name in program.code}, cached)


def _run(jobs: Mapping[str, TaskJob], options: Options, progress: Callable[[JobResult], None]) -> list[JobResult]:
    queue = [Job(name, job) for name, job in jobs.items()]
    return run_jobs(ENTRY, queue, min(options.jobs, len(queue)), progress) if queue else []


def _key(job: TaskJob, options: Options) -> str:
    parts = (job.text, job.stage, job.goal, job.unscheduled, job.kinds, job.candidate, options.fingerprint())
    return hashlib.sha256(repr(parts).encode()).hexdigest()
