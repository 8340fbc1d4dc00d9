"""The best of random candidates, and what a default was expected to take."""

import pytest

from ansorc.tools import sampled
from ansorc.tools.engines import prepare_ours
from ansorc.tools.limits import Level, Limits
from ansorc.tools.workloads import BatchMatmul
from ansorc.tools.workloads_convolution import Convolution

CONVOLUTION = Convolution("C2D", (12, 12), 16, 32, 3, 1, 1, bias=True, activation="relu")


def test_the_best_is_no_slower_than_the_default_and_right() -> None:
    case = CONVOLUTION.case(1)
    found = sampled.sample(case, 6, seed=0, threads=1)
    assert any(t.timed for t in found)
    for task in found:
        assert task.best_ms <= task.default_ms
        assert (task.wrong, task.failed) == (0, 0)
    best = {t.task: t.best for t in found if t.best is not None}
    result = prepare_ours(case, 1, best)()
    expected = case.reference()
    assert abs(result - expected).max() <= 1e-4 * abs(expected).max()


def test_a_wrong_candidate_is_never_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "_equal", lambda *_: False)
    for task in sampled.sample(BatchMatmul("GMM", 16, 32, 8).case(1), 4, seed=0, threads=1):
        assert task.best is None
        assert task.best_ms == task.default_ms
        assert task.wrong > 0


def test_given_candidates_are_what_is_compiled() -> None:
    """Another register tile gives other sums of rounding, or the same; and it must be in the text."""
    from ansorc.compiler.driver import read, to_tasks
    from ansorc.compiler.options import Options
    from ansorc.compiler.sketch.register_tile import register_count
    from ansorc.compiler.task_job import machine_of
    from ansorc.compiler.task_spaces import spaces_of_task
    from ansorc.compiler.tasks import compile_tasks

    case, options = BatchMatmul("GMM", 24, 64, 8).case(1), Options(use_cache=False)
    source = to_tasks(read(case.model, options), options)
    ((name, text),) = source.code.items()
    (space,) = spaces_of_task(text, machine_of(options.target))
    candidate = next(c for c in space.candidates() if c.values["vectors"] == 2 and register_count(c) == 6)
    given = Options(use_cache=False, candidates={name: candidate})
    made = compile_tasks(source, "scheduled", given).tasks[name].code.decode()
    lanes = candidate.values["lanes"]
    assert f"vector<3x2x{lanes}xf32>" in made
    assert f"vector<3x2x{lanes}xf32>" not in compile_tasks(source, "scheduled", options).tasks[name].code.decode()


def test_explanations_name_the_bound_and_the_decisions() -> None:
    levels = tuple(Level(n, 1 << (16 + 4 * k), 100.0, 200.0) for k, n in enumerate(("L1", "L2", "L3", "memory")))
    limits = Limits("cpu", 2, 512, 200.0, 400.0, levels, 10.0, 20.0, 500.0)
    text = "\n".join(sampled.explain(CONVOLUTION.case(1), limits, 2))
    for word in ("register-tile: predicted", "winograd: predicted", "bound by", "measured", "lanes=", "FMA ports"):
        assert word in text
