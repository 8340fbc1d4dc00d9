"""Random candidates of a layer's tasks: compiled in workers, compared, timed; and why the model chose its default."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ansorc.compiler.cost_model.boosted_trees import Trees, choosing_model
from ansorc.compiler.cost_model.features import features
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import RunnableTask, runnable
from ansorc.compiler.options import Options
from ansorc.compiler.search.task import SearchTask, task_of_text
from ansorc.compiler.search.zero_trials import promised
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import Choice, TaskSpace
from ansorc.compiler.sketch.speeds import FMA_PORTS
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.compiler.tasks import ENTRY
from ansorc.compiler.workers import Job, run_jobs
from ansorc.tools.limits import Limits
from ansorc.tools.workloads import Case

TOLERANCE = 1e-4
ROUNDS = 5
HOPELESS = 3.0
"""A candidate whose first runs take so many times the best one's is not timed further."""


@dataclass(frozen=True)
class Sampled:
    """What sampling one task found."""

    task: str
    default_ms: float
    best_ms: float
    best: Candidate | None
    """None: the default."""
    timed: int
    wrong: int
    failed: int
    code: str = ""
    """What compiling them took, and how many of them spill."""

    @property
    def summary(self) -> str:
        """One line."""
        kind = "the default" if self.best is None else self.best.sketch.kind
        return f"{self.task}: {kind} {self.best_ms:.4f} ms, default {self.default_ms:.4f} ms; {self.code}"


def tasks_of(case: Case) -> Mapping[str, str]:
    """Return the tasks of a layer, by symbol."""
    options = Options()
    return to_tasks(read(case.model, options), options).code


def sample(case: Case, count: int, seed: int, threads: int) -> list[Sampled]:
    """Time `count` random candidates of each task beside its default; a wrong one is never the best."""
    return [_sample(name, text, count, seed, threads) for name, text in tasks_of(case).items()]


def _sample(name: str, text: str, count: int, seed: int, threads: int) -> Sampled:
    options, generator = Options(), random.Random(seed)
    default = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target)))
    arguments = default.random_arguments(np.random.default_rng(seed))
    default_ms = 1e3 * default.seconds(arguments, threads)
    spaces = spaces_of_task(text, machine_of(options.target))
    drawn = {generator.choice(spaces).sample(generator) for _ in range(count)} if spaces else set[Candidate | None]()
    chosen = sorted(c for c in drawn if c is not None)
    if not chosen:
        return Sampled(name, default_ms, default_ms, None, 0, 0, 0)
    plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target, unscheduled=True)))
    expected = plain.run(arguments, threads)
    jobs = [Job(str(k), TaskJob(text, "linalg", "object", options.target, candidate=c)) for k, c in enumerate(chosen)]
    results = run_jobs(ENTRY, jobs, options.jobs)
    best_ms, best, fastest, wrong, failed = default_ms, None, default, 0, 0
    for candidate, result in zip(chosen, results, strict=True):
        if result.failure is not None:
            failed += 1
            continue
        made = runnable(text, result.value)
        if not _equal(made.run(arguments, threads), expected):
            wrong += 1
            continue
        ms = _milliseconds(made, arguments, threads, best_ms)
        if ms < best_ms:
            best_ms, best, fastest = ms, candidate, made
    if best is not None:  # of many times the least is too good: once more, in turn with the default
        pairs = [(fastest.seconds(arguments, threads), default.seconds(arguments, threads)) for _ in range(ROUNDS)]
        best_ms, default_ms = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
        if best_ms >= default_ms:
            best, best_ms = None, default_ms
    code = _code_of([r.value for r in results if r.failure is None], fastest.code)
    return Sampled(name, default_ms, best_ms, best, len(chosen) - wrong - failed, wrong, failed, code)


def _code_of(made: Sequence[TaskCode], best: TaskCode) -> str:
    reports = [code.report for code in made if code.report is not None]
    if not reports or best.report is None:
        return ""
    spilling = sum(r.vector_spills > 0 for r in reports)
    seconds = statistics.median(sum(code.stages.values()) for code in made)
    return (
        f"the best has {best.report.text_bytes / 1024:.1f} KiB of code and {best.report.vector_spills} vector spills; "
        f"{spilling} of {len(reports)} spill; a candidate compiles in {1e3 * seconds:.0f} ms (median)"
    )


def _equal(result: np.ndarray, expected: np.ndarray) -> bool:
    return bool(abs(result - expected).max(initial=0.0) <= TOLERANCE * abs(expected).max(initial=0.0))


def _milliseconds(task: RunnableTask, arguments: Sequence[Any], threads: int, best: float) -> float:
    first = 1e3 * task.once(arguments, threads)
    return first if first > HOPELESS * best else 1e3 * task.seconds(arguments, threads)


def explain(case: Case, limits: Limits, threads: int) -> list[str]:
    """Say for each task which kinds fit it, what their models promise on one core, and what is measured.

    Where a cost model chooses another schedule for it than the models of the kinds do, it comes first.
    """
    options = Options()
    target = options.target
    machine = machine_of(target)
    lanes = limits.vector_bits // 32
    per_ms = limits.fma_one_core / (2 * FMA_PORTS * lanes) * 1e6  # cycles
    lines = [f"cycles are counted at {per_ms / 1e6:.2f} GHz, which the FMA peak implies"]
    for name, text in tasks_of(case).items():
        default = compile_task(TaskJob(text, "linalg", "object", target))
        lines.append(f"{name}: {default.facts.kind} by default")
        for title, space, choice in _choices(task_of_text(name, text, 1, machine), options, threads):
            parts = space.kind.parts(space.nest, machine, choice.candidate.values)
            bound = max(parts, key=lambda part: parts[part])
            made = runnable(text, compile_task(TaskJob(text, "linalg", "object", target, candidate=choice.candidate)))
            arguments = made.random_arguments(np.random.default_rng(0))
            one, many = (1e3 * made.seconds(arguments, t) for t in (1, threads))
            predicted = choice.cycles / per_ms
            decided = " ".join(f"{k}={v}" for k, v in choice.candidate.decisions)
            lines += [
                f"  {title}: predicted {predicted:.3f} ms on one core, bound by {bound}"
                f" ({', '.join(f'{part} {cycles / per_ms:.3f}' for part, cycles in parts.items())} ms)",
                f"    measured {one:.3f} ms, {one / predicted:.2f} of it; {many:.3f} ms on {threads} threads",
                f"    {decided}",
            ]
    return lines


def _choices(task: SearchTask, options: Options, threads: int) -> list[tuple[str, TaskSpace[Any], Choice]]:
    found = [(space.kind.name, space, choice) for space in task.spaces if (choice := space.choose()) is not None]
    found.sort(key=lambda choice: choice[2].cycles)
    model = choosing_model(options)
    candidate = None if model is None else promised(task, Trees.load(model), threads)
    point = None if candidate is None else task.point(candidate)
    if candidate is None or point is None:
        return found
    space = task.spaces[point.space]
    _, (cycles,) = features(space, [point.values], threads)
    return [(f"{space.kind.name}, by the cost model", space, Choice(candidate, cycles)), *found]
