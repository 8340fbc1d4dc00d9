"""The cost model: features of every kind, trees that are scikit-learn's, and what they learn."""

import random
from pathlib import Path

import numpy as np
import pytest
from search_fakes import TARGET, tasks

from ansorc.compiler.cost_model import training
from ansorc.compiler.cost_model.boosted_trees import CostModel, Trees, train
from ansorc.compiler.cost_model.features import NAMES, features
from ansorc.compiler.errors import UnusableModelError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.sample import sample_points
from ansorc.compiler.search.task import SearchTask
from ansorc.compiler.task_job import machine_of
from ansorc.tools.workloads import AttentionScores, BatchMatmul, Dense, MatrixNorm
from ansorc.tools.workloads_convolution import Convolution
from ansorc.tools.workloads_memory import Transposition

ROWS = 400


@pytest.fixture(scope="module")
def every_kind() -> list[SearchTask]:
    return tasks(
        Convolution("C2D", (14, 14), 32, 64, 3, 1, 1),
        BatchMatmul("GMM", 64, 64, 64),
        AttentionScores(64, 2, 32),
        MatrixNorm(512, 512),
        Transposition((96, 64), (1, 0)),
        Dense("D", 64, 64, 64),
    )


def _rows(task_list: list[SearchTask], count: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    generator = random.Random(0)
    known = [
        features(space, [p.values for p in points if p.space == k], 2)
        for task in task_list
        for points in [sample_points(task, count // len(task_list), generator)]
        for k, space in enumerate(task.spaces)
    ]
    return np.concatenate([rows for rows, _ in known]), np.concatenate([cycles for _, cycles in known])


def test_features_tell_all_kinds_apart(every_kind: list[SearchTask]) -> None:
    kinds = {space.kind.name for task in every_kind for space in task.spaces}
    assert kinds == {"register-tile", "winograd", "chain", "split-reduction", "transpose", "strassen"}
    rows, cycles = _rows(every_kind)
    assert rows.shape[1] == len(NAMES) == len(set(NAMES))
    assert np.isfinite(rows).all()
    assert (cycles >= 1).all()
    assert len(np.unique(rows, axis=0)) > 0.95 * len(rows)


def test_trees_say_what_scikit_learn_says(every_kind: list[SearchTask]) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    from ansorc.compiler.cost_model import boosted_trees as b

    rows, _ = _rows(every_kind)
    wanted = np.sin(rows[:, 3]) + rows[:, 10] / 7
    weights = np.linspace(0.1, 1, len(rows))
    varying = np.flatnonzero(rows.max(axis=0) > rows.min(axis=0))
    reference = HistGradientBoostingRegressor(
        max_iter=b.ROUNDS, max_leaf_nodes=b.LEAVES, learning_rate=b.RATE, min_samples_leaf=b.LEAST_SAMPLES,
        early_stopping=False, random_state=0,  # pyright: ignore[reportArgumentType]
    ).fit(rows[:, varying], wanted, sample_weight=weights)  # fmt: skip
    trees = train(rows, wanted, weights)
    # 150 leaves are summed in another order.
    np.testing.assert_allclose(trees.predict(rows), reference.predict(rows[:, varying]), rtol=0, atol=1e-9)


def test_a_model_learns_the_residual(every_kind: list[SearchTask]) -> None:
    rows, cycles = _rows(every_kind[:1])
    seconds = cycles * 1e-9 * np.exp2(rows[:, NAMES.index("unroll")])
    model = CostModel()
    assert (model.predict(rows, cycles) == cycles).all()  # nothing learned: the analytic model
    half = len(rows) // 2
    for row, c, s in zip(rows[:half], cycles[:half], seconds[:half], strict=True):
        model.add("task", row, c, s)
    model.update()
    error = np.log2(model.predict(rows[half:], cycles[half:]) / seconds[half:])
    assert abs(error).mean() < 0.1
    before = model.trees
    model.update()
    assert model.trees is before  # nothing new


def test_what_is_measured_corrects_a_pretrained_model(every_kind: list[SearchTask]) -> None:
    rows, cycles = _rows(every_kind[:1])
    before = cycles * 1e-9 * np.exp2(rows[:, NAMES.index("unroll")])
    now = before * np.exp2(0.5 * rows[:, NAMES.index("vectors")])
    pretrained = train(rows, np.log2(before / cycles), np.ones(len(rows)))
    model = CostModel(pretrained=pretrained)
    # Trees have steps: within 10% they have learned factors of 2 and 4.
    np.testing.assert_allclose(model.predict(rows, cycles), before, rtol=0.1)
    for row, c, s in zip(rows[:60], cycles[:60], now[:60], strict=True):
        model.add("task", row, c, s)
    model.update()
    predicted = model.predict(rows[60:], cycles[60:])
    assert abs(np.log2(predicted / now[60:])).mean() < 0.3 * abs(np.log2(before[60:] / now[60:])).mean()


def test_training_on_records(tmp_path: Path, every_kind: list[SearchTask]) -> None:
    task = every_kind[0]
    with Records(tmp_path / "r.db") as records:
        run = records.begin("key", "{}")
        records.add_task(task.name, task.shape, task.flops, task.text)
        for k, point in enumerate(sample_points(task, 120, random.Random(0))):
            candidate, values = task.candidate(point), task.values(point)
            trial = Trial("measured", (1e-3 * values["vectors"] + 1e-6 * k,))
            records.add(run, [Record(task.name, "cpu", 2, candidate, trial, float(k), trial.seconds)])
    programs = training.programs_of([tmp_path / "r.db"], {"cpu": machine_of(TARGET)})
    assert len(programs.seconds) == 120
    assert programs.throughput.max() == 1.0
    mask = training.held_out(programs, 0.5)
    test = programs.some(mask)
    found = training.accuracy(test, test.cycles * np.exp2(training.fit(programs.some(~mask)).predict(test.rows)))
    unlearned = training.accuracy(test, test.cycles * np.median(test.seconds / test.cycles))
    assert found.pairs > max(0.8, unlearned.pairs)
    assert found.rmse < 0.5 * unlearned.rmse
    assert training.accuracy(test, test.seconds).pairs == 1.0
    assert training.accuracy(test, 1 / test.seconds).pairs == 0.0
    assert training.held_out(programs, 1.0, whole_tasks=True).all()
    assert len(training.programs_of([tmp_path / "r.db"], {"other": machine_of(TARGET)}).seconds) == 0


def test_a_model_is_stored_as_plain_arrays(tmp_path: Path, every_kind: list[SearchTask]) -> None:
    rows, _ = _rows(every_kind)
    trees = train(rows, rows[:, 5], np.ones(len(rows)))
    trees.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(Trees.load(tmp_path / "model.npz").predict(rows), trees.predict(rows))
    (tmp_path / "text.npz").write_text("no model")
    for path in (tmp_path / "text.npz", tmp_path / "missing.npz"):
        with pytest.raises(UnusableModelError, match="cannot use the cost model"):
            Trees.load(path)
    np.savez(tmp_path / "other.npz", format=1, names=np.array(["something else"]))
    with pytest.raises(UnusableModelError, match="another version"):
        Trees.load(tmp_path / "other.npz")
