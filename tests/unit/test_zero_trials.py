"""Schedules that a trained cost model chooses where nothing was measured."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlir import ir
from search_fakes import TARGET, invented_seconds, tasks

import ansorc
from ansorc.compiler import kernel
from ansorc.compiler import tasks as compiler_tasks
from ansorc.compiler.cost_model.boosted_trees import SHIPPED, Trees, choosing_model, starting_model, train
from ansorc.compiler.cost_model.features import KINDS, NAMES, features
from ansorc.compiler.driver import compile_to_file, read, to_tasks
from ansorc.compiler.errors import UnusableModelError
from ansorc.compiler.options import NO_COST_MODEL, SHIPPED_COST_MODEL, Options
from ansorc.compiler.search import zero_trials
from ansorc.compiler.search.sample import default_points, sample_points
from ansorc.compiler.search.task import SearchTask
from ansorc.compiler.search.zero_trials import promised
from ansorc.compiler.sketch.kinds import sketched
from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob
from ansorc.tools.workloads import Dense
from ansorc.tools.workloads_convolution import Convolution

pytestmark = pytest.mark.alone

LAYER = Dense("D", 33, 32, 64)


@pytest.fixture(scope="module")
def task() -> SearchTask:
    (found,) = tasks(LAYER)
    return found


@pytest.fixture(scope="module")
def trees(task: SearchTask) -> Trees:
    """Taught times that one candidate has least of, far from the analytic model's."""
    (space,) = task.spaces
    points = sample_points(task, 2000, random.Random(1))
    rows, cycles = features(space, [p.values for p in points], 1)
    seconds = np.array([invented_seconds(task.candidate(p)) for p in points])
    return train(rows, np.log2(seconds / cycles), np.ones(len(rows)))


def test_the_promised_candidate_is_better_by_what_was_learned(task: SearchTask, trees: Trees) -> None:
    found = promised(task, trees, 1)
    assert found is not None
    assert task.point(found) is not None
    usual = task.candidate(default_points(task)[0])
    assert invented_seconds(found) < 0.7 * invented_seconds(usual)
    assert promised(task, trees, 1) == found


def test_the_default_stays_where_nothing_promises_more(task: SearchTask, monkeypatch: pytest.MonkeyPatch) -> None:
    points = sample_points(task, 50, random.Random(0))
    rows, _ = features(task.spaces[0], [p.values for p in points], 1)
    flat = train(rows, np.zeros(len(rows)), np.ones(len(rows)))  # says what the analytic model says
    monkeypatch.setattr(zero_trials, "MARGIN", 2.0)
    assert promised(task, flat, 1) is None


def test_a_kind_that_is_not_allowed_is_not_chosen(tmp_path: Path) -> None:
    (task,) = tasks(Convolution("C2D", (14, 14), 32, 64, 3, 1, 1))
    points = sample_points(task, 200, random.Random(0))
    rows = np.concatenate(
        [features(s, [p.values for p in points if p.space == k], 1)[0] for k, s in enumerate(task.spaces)]
    )
    direct = rows[:, NAMES.index("kind")] == KINDS.index("register-tile")
    trees = train(rows, np.where(direct, -5.0, 0.0), np.ones(len(rows)))  # it takes a 32nd of the time, they say
    found = promised(task, trees, 1)
    assert found is not None
    assert found.sketch.kind == "register-tile"
    trees.save(tmp_path / "model.npz")
    job = TaskJob(task.text, "linalg", "llvm", TARGET, trees=tmp_path / "model.npz")
    assert zero_trials.compile_task(job).facts.kind == "register-tile"
    others = tuple(k for k in all_kinds() if k != "register-tile")
    assert zero_trials.compile_task(replace(job, kinds=others)).facts.kind == "winograd"


def test_a_library_is_made_of_promised_schedules(trees: Trees, tmp_path: Path) -> None:
    trees.save(tmp_path / "model.npz")
    case = LAYER.case(1)
    options = Options(cache_dir=tmp_path / "cache", cost_model=tmp_path / "model.npz", threads=1)
    source = to_tasks(read(case.model, options), options)

    def scripts(chosen: Options) -> set[str]:
        return {t.transform for t in compiler_tasks.compile_tasks(source, "object", chosen).tasks.values()}

    machine_tasks = tasks(LAYER, target=options.target)
    wanted = promised(machine_tasks[0], trees, 1)
    assert wanted is not None
    assert scripts(options) == {sketched()[wanted.sketch.kind].emit(wanted)}
    plain = scripts(replace(options, cost_model=NO_COST_MODEL))
    assert plain != scripts(options)  # and the cache tells them apart
    (result,) = ansorc.compile(case.model, cost_model=tmp_path / "model.npz", threads=1).run(case.inputs).values()
    np.testing.assert_allclose(result, case.reference(), rtol=1e-4, atol=1e-4)


def test_the_default_takes_the_place_of_a_promised_schedule_that_fails(
    task: SearchTask, trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.save(tmp_path / "model.npz")
    job = TaskJob(task.text, "linalg", "llvm", TARGET, trees=tmp_path / "model.npz")
    wanted = promised(task, trees, 1)
    assert wanted is not None
    right = kernel.to_scheduled

    def fail(module: ir.Module, chosen: kernel.Schedule) -> str:
        if chosen.candidate == wanted:
            raise kernel.StepFailedError("no such tile")
        return right(module, chosen)

    monkeypatch.setattr(kernel, "to_scheduled", fail)
    made = zero_trials.compile_task(job)
    assert made.failures == ("register-tile, promised: no such tile",)
    assert made.transform == zero_trials.compile_task(replace(job, trees=None)).transform


def test_the_default_takes_the_place_of_a_promised_schedule_that_crashes(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.save(tmp_path / "model.npz")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(compiler_tasks, "ENTRY", "jobs_for_workers:abort_in_promised")
    case = LAYER.case(1)
    compile_to_file(case.model, Options(use_cache=False, cost_model=tmp_path / "model.npz"), tmp_path / "y.so", "so")
    (result,) = ansorc.load(tmp_path / "y.so").run(case.inputs).values()
    np.testing.assert_allclose(result, case.reference(), rtol=1e-4, atol=1e-4)


def test_which_cost_model_chooses(tmp_path: Path) -> None:
    wide, narrow, arm = (Options(target=parse_target(name)) for name in ("haswell", "nehalem", "neoverse-n1"))
    assert [starting_model(o) for o in (wide, narrow, arm)] == [SHIPPED, None, None]
    assert choosing_model(wide) is None
    for named, path in ((NO_COST_MODEL, None), (SHIPPED_COST_MODEL, SHIPPED), ("x.npz", Path("x.npz"))):
        options = replace(narrow, cost_model=named)
        assert starting_model(options) == choosing_model(options) == path
    with pytest.raises(UnusableModelError, match=r"missing\.npz"):
        ansorc.compile(LAYER.case(1).model, cost_model=tmp_path / "missing.npz")


def test_the_shipped_model_orders_programs(task: SearchTask) -> None:
    """It was trained by this version's features, and knows that scalars are slow."""
    trees = Trees.load(SHIPPED)
    (space,) = task.spaces
    points = sample_points(task, 200, random.Random(0))
    rows, cycles = features(space, [p.values for p in points], 2)
    predicted = cycles * np.exp2(trees.predict(rows))
    assert np.isfinite(predicted).all()
    lanes = np.array([task.values(p)["lanes"] for p in points])
    assert np.median(predicted[lanes == lanes.max()]) < np.median(predicted[lanes == lanes.min()])
