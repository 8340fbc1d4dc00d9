"""`ansorc-bench candidates`: what it draws, that it compares, and that it notices."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner

from ansorc.compiler.workers import Failure, JobResult
from ansorc.tools import bench_candidates
from ansorc.tools.candidate_pairs import OPERATORS, Compiled, Outcome, Pair, check, draw, tolerance
from ansorc.tools.workloads import AttentionScores
from ansorc.tools.workloads_convolution import Convolution


def test_the_same_seed_draws_the_same() -> None:
    assert draw(30, 3, list(OPERATORS)) == draw(30, 3, list(OPERATORS))
    assert draw(30, 3, list(OPERATORS)) != draw(30, 4, list(OPERATORS))
    assert {p.operator for p in draw(len(OPERATORS), 0, list(OPERATORS))} == set(OPERATORS)


@pytest.mark.parametrize("operator", list(OPERATORS))
def test_random_candidates_are_right(operator: str) -> None:
    for pair in draw(2, 11, [operator]):
        outcome = check(pair)
        assert outcome.error <= 1, outcome.candidates
        assert len(outcome.compiled) == len(outcome.candidates)


def test_a_window_that_is_smaller_than_its_stride() -> None:
    """One element of an input of 2x3: no loop of the result cuts it out."""
    layer = Convolution("DEP", (2, 3), 16, 16, 1, 3, 0, groups=16)
    for seed in range(3):
        assert check(Pair("DEP", layer, 2, seed)).error <= 1


def test_attention_of_one_word() -> None:
    """Its sum is a number: views of no dims at all."""
    assert check(Pair("TBS", AttentionScores(1, 1, 8), 1, 773876614)).error <= 1


def test_a_wrong_result_is_noticed() -> None:
    """As if float64 had said something else in the fifth digit."""
    (pair,) = draw(1, 0, ["GMM"])
    plain = pair.workload.case(pair.batch, pair.seed)

    class Other:
        def case(self, _batch: int, _seed: int) -> Any:
            return dataclasses.replace(plain, reference=lambda: plain.reference() * (1 + 1e-4))

        def flops(self, batch: int) -> int:
            return pair.workload.flops(batch)

    assert check(dataclasses.replace(pair, workload=Other())).error > 1  # pyright: ignore[reportArgumentType]


def test_the_tolerance_grows_with_the_sum() -> None:
    assert tolerance(1, 1) < tolerance(100, 1) < tolerance(100, 8)
    assert tolerance(10_000, 1) < 2e-5


@pytest.mark.parametrize("what", ["right", "wrong", "failed"])
def test_the_exit_code_says_whether_all_were_right(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_jobs(_entry: str, jobs: Sequence[Any], *_rest: Any) -> list[JobResult]:
        good = Outcome(("{}",), 0.1, (Compiled({"scheduled": 0.1, "object": 0.2}, 1000, 1500.0, 3),))
        last = {
            "right": JobResult("1", good),
            "wrong": JobResult("1", dataclasses.replace(good, error=float("nan"))),
            "failed": JobResult("1", failure=Failure("signal 11", "", crashed=True)),
        }[what]
        return [JobResult("0", good), last]

    monkeypatch.setattr(bench_candidates, "run_jobs", run_jobs)
    monkeypatch.setenv("MALLOC_PERTURB_", "0")  # the command sets it: afterwards it is as it was
    done = CliRunner().invoke(bench_candidates.candidates, ["--pairs", "2", "--only", "GMM"])
    assert done.exit_code == (0 if what == "right" else 1)
    assert ("signal 11" in done.output) == (what == "failed")
    assert ("wrong by nan" in done.output) == (what == "wrong")


def test_an_unknown_operator_is_refused() -> None:
    done = CliRunner().invoke(bench_candidates.candidates, ["--only", "nothing"])
    assert done.exit_code == 2
    assert "no operator matches" in done.output
