"""What a report says of trials whose times are known."""

from collections.abc import Sequence
from math import log
from pathlib import Path

import pytest
from search_fakes import TARGET, tasks

from ansorc.compiler.measuring.measurer import Finalists
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.sample import default_points
from ansorc.compiler.search.task import Point, SearchTask
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.task_job import machine_of
from ansorc.tools.report_analysis import TaskTrials, roles_of, tasks_of, undone, wins
from ansorc.tools.workloads import BatchMatmul


@pytest.fixture(scope="module")
def product() -> SearchTask:
    (made,) = tasks(BatchMatmul("GMM", 64, 64, 64))
    return made


def _with(task: SearchTask, **changed: int) -> Candidate:
    """Return the default with some decisions changed, legal or not."""
    (point, *_) = default_points(task)
    candidate = task.candidate(point)
    return Candidate(candidate.sketch, tuple({**candidate.values, **changed}.items()))


def _trials(task: SearchTask, *timed: tuple[Candidate, float]) -> TaskTrials:
    records = [Record(task.name, "cpu", 2, c, Trial("measured", (s,)), float(k), s) for k, (c, s) in enumerate(timed)]
    return TaskTrials(task.name, task.shape, task.flops, task.text, records, [0.0] * len(records))


def test_each_better_best_is_won_by_what_changed(product: SearchTask) -> None:
    default, roles = _with(product), roles_of(product)
    unrolled = _with(product, unroll=99)
    both = _with(product, unroll=98, chunk_0=97)
    trials = _trials(product, (default, 8.0), (both, 9.0), (unrolled, 4.0), (both, 1.0))
    # From the default to `unrolled` by 2; from there to `both` by 4, of which two roles have half each.
    found = wins(trials, roles)
    assert found == pytest.approx({"unroll": log(2) + log(4) / 2, "parallel": log(4) / 2})


class Halving:
    """Takes one second for the first of each task's candidates, and two for all others."""

    def __init__(self) -> None:
        self.asked: list[Candidate] = []

    def measure(self, task: SearchTask, candidates: Sequence[Candidate | None], best: float | None) -> list[Trial]:
        raise AssertionError

    def confirm(self, finalists: Finalists) -> list[list[tuple[float, ...]]]:
        ((_, candidates),) = finalists
        self.asked += candidates
        return [[(1.0,), *((2.0,) for _ in candidates[1:])]]

    def close(self) -> None:
        pass


def test_decisions_are_undone_one_at_a_time(product: SearchTask) -> None:
    (default, *_) = default_points(product)
    space = product.spaces[default.space]
    values = product.values(default)
    other = next(
        legal
        for tile in (1, 2, 3, 4, 5)
        if (legal := space.nearest({**values, "tile_0": tile, "chunk_0": 32})) is not None
        and legal["tile_0"] != values["tile_0"]
    )
    winner = product.candidate(Point(default.space, tuple(other.values())))
    measurer = Halving()
    trials = _trials(product, (product.candidate(default), 2.0), (winner, 1.0))
    (found,) = undone([trials], machine_of(TARGET), measurer, lambda _: None).values()
    changed = {n for n, v in winner.decisions if values[n] != v}
    assert measurer.asked[0] == winner
    assert found
    assert set(found) <= changed
    assert set(found.values()) == {2.0}
    for name, candidate in zip(found, measurer.asked[1:], strict=True):
        assert candidate.values[name] == values[name]


def test_searches_one_after_another_add_up(product: SearchTask, tmp_path: Path) -> None:
    with Records(tmp_path / "r.db") as records:
        records.add_task(product.name, product.shape, product.flops, product.text)
        for name, unroll in (("first", 1), ("second", 2)):
            run = records.begin(name, "{}")
            ((started,),) = records.query("SELECT started FROM runs WHERE id = ?", (run.id,))
            candidate, trial = _with(product, unroll=unroll), Trial("measured", (1.0,))
            records.add(run, [Record(product.name, "cpu", 2, candidate, trial, float(str(started)) + 10, 1.0)])
        (found,) = tasks_of(records)
    assert found.elapsed == pytest.approx([10.0, 20.0], abs=0.01)
