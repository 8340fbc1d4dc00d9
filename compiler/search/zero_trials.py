"""Schedules where nothing is measured: what a trained cost model likes best of the candidates that evolution finds."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

from ansorc.compiler import task_job
from ansorc.compiler.cost_model.boosted_trees import CostModel, Trees
from ansorc.compiler.search.evolution import Evolution
from ansorc.compiler.search.policy import SearchSettings, TaskSearch, evolution
from ansorc.compiler.search.task import SearchTask, task_of_text
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import SCHEDULE_FAILURES, TaskJob, machine_of

EVOLUTION = Evolution(population=128, generations=2)
MARGIN = 1.05
"""How much faster than the default a candidate has to look: of many guesses the best one is too good."""


def promised(task: SearchTask, trees: Trees, threads: int) -> Candidate | None:
    """Return the candidate that a trained model expects to be fastest; None where the default is as good.

    It depends on the task, the trees and the number of threads alone.
    """
    settings = SearchSettings(evolution=EVOLUTION)
    search = TaskSearch(task, CostModel(pretrained=trees), threads, settings, random.Random(task.text))
    defaults = search.defaults()
    if not defaults:
        return None
    (best,) = evolution(search, 1, set())
    usual, found = search.score([defaults[0], best])
    return task.candidate(best) if usual > MARGIN * found else None


def compile_task(job: TaskJob) -> TaskCode:
    """Compile one task with the schedule that a cost model promises most of, if the job names one; or as it says.

    The default takes the place of a schedule that fails: nobody tried it before.
    """
    if job.trees is None or job.given or job.stage != "linalg":
        return task_job.compile_task(job)
    task = task_of_text("", job.text, 1, machine_of(job.target))
    task = replace(task, spaces=tuple(s for s in task.spaces if s.kind.name in job.kinds))
    chosen = promised(task, _trees(job.trees), job.threads)
    if chosen is None:
        return task_job.compile_task(job)
    try:
        return task_job.compile_task(replace(job, candidate=chosen))
    except SCHEDULE_FAILURES as error:
        made = task_job.compile_task(job)
        return replace(made, failures=(f"{chosen.sketch.kind}, promised: {error}", *made.failures))


@cache
def _trees(path: Path) -> Trees:
    return Trees.load(path)
