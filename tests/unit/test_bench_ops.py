"""`ansorc-bench ops`: what is compared, what counts, and what is shown."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_layers import MEMORY

from ansorc.compiler.errors import AnsorcError
from ansorc.tools import bench_ops
from ansorc.tools.bench import command
from ansorc.tools.bench_ops import OpFigures, cells, choose, means_text, measure, row_text
from ansorc.tools.engines import Run, prepare_onnxruntime, prepare_ours, prepare_torch
from ansorc.tools.limits import Level, Limits
from ansorc.tools.measure import geometric_mean, relative_error
from ansorc.tools.roofline_picture import draw
from ansorc.tools.suites import SUITES
from ansorc.tools.workloads import AttentionScores, BatchMatmul, Case, Dense, MatrixNorm
from ansorc.tools.workloads_convolution import Capsules, Convolution

pytestmark = pytest.mark.alone

LIMITS = Limits("cpu", 1, 256, 50, 50, (Level("L1", 1000, 90, 90), Level("memory", 10**6, 10, 10)), 8, 8, 100)
WORKLOAD = BatchMatmul("GMM", 4, 5, 6)
FIGURES = OpFigures(
    "paper", "GMM", "4x4x4", 1, 0.001, 500_000, 0.1, {"ansorc": 0.5, "torch": 1.0, "onnxruntime": 0.25}, {}, {}
)
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="no matplotlib")


def right(case: Case, *_: object) -> Run:
    return lambda: case.reference().astype(np.float32)


def wrong(case: Case, *_: object) -> Run:
    return lambda: case.reference().astype(np.float32) * 1.001


def failing(case: Case, *_: object) -> Run:
    raise AnsorcError("no schedule\nfits")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Engines that are right, take no time to prepare, and are as fast as their place in the row."""
    for name in ("ours", "torch", "onnxruntime"):
        monkeypatch.setattr(bench_ops, f"prepare_{name}", right)
    monkeypatch.setattr(bench_ops, "undisturbed", lambda measure: (measure(), 0.0))
    monkeypatch.setattr(bench_ops, "interleave", lambda runs, *_: [float(k + 1) for k in range(len(runs))])
    return monkeypatch


def measured(peers: tuple[str, ...] = bench_ops.PEERS) -> OpFigures:
    return measure("paper", WORKLOAD, 1, peers, 1, LIMITS)


def test_engines_that_agree_are_timed(engines: pytest.MonkeyPatch) -> None:
    figures = measured()
    assert figures.ms == {"ansorc": 1, "torch": 2, "onnxruntime": 3}
    assert max(figures.errors.values()) < 1e-6
    assert figures.failures == {}
    assert figures.best_peer == "torch"
    assert figures.ratio("onnxruntime") == pytest.approx(1 / 3)
    assert figures.gflop == pytest.approx(240e-9)


def test_a_wrong_result_is_reported_and_not_timed(engines: pytest.MonkeyPatch) -> None:
    engines.setattr(bench_ops, "prepare_ours", wrong)
    figures = measured()
    assert figures.failures == {"ansorc": "WRONG"}
    assert set(figures.ms) == {"torch", "onnxruntime"}
    assert figures.ratio("torch") is None
    assert "WRONG" in row_text(cells(figures))
    assert "off by 1.0e-03" in row_text(cells(figures))
    assert "ansorc: 1 WRONG" in means_text([figures, FIGURES])


def test_a_wrong_peer_is_not_beaten(engines: pytest.MonkeyPatch) -> None:
    engines.setattr(bench_ops, "prepare_torch", wrong)
    figures = measured()
    assert figures.failures == {"torch": "WRONG"}
    assert figures.best_peer == "onnxruntime"


@pytest.mark.parametrize("peer", bench_ops.PEERS)
def test_where_engines_contradict_each_other_float64_decides(engines: pytest.MonkeyPatch, peer: str) -> None:
    engines.setattr(bench_ops, "CHEAP_FLOPS", 0)
    assert measured().failures == {}
    engines.setattr(bench_ops, f"prepare_{peer}", wrong)
    assert measured().failures == {peer: "WRONG"}


def test_other_shapes_and_numbers_that_are_not_finite_are_wrong(engines: pytest.MonkeyPatch) -> None:
    for spoilt in (np.zeros((1, 2), np.float32), np.full((1, 4, 5), np.nan, np.float32)):
        engines.setattr(bench_ops, "prepare_ours", lambda *_, spoilt=spoilt: lambda: spoilt)
        assert measured().failures == {"ansorc": "WRONG"}


def test_a_failure_is_a_figure(engines: pytest.MonkeyPatch) -> None:
    engines.setattr(bench_ops, "prepare_ours", failing)
    figures = measured()
    assert figures.failures == {"ansorc": "FAILED: no schedule\nfits"}
    assert row_text(cells(figures)).endswith("ansorc: FAILED: no schedule")
    assert "ansorc: 1 FAILED" in means_text([figures])


def test_a_busy_machine_is_a_remark() -> None:
    assert "others used 0.5 cores" in cells(replace(FIGURES, others=0.5))
    assert not any("others" in cell for cell in cells(replace(FIGURES, others=0.05)))


def test_no_peers_are_needed(engines: pytest.MonkeyPatch) -> None:
    figures = measured(())
    assert figures.best_peer is None
    assert cells(figures)[7:] == ["-"] * 4


def test_geometric_means_leave_out_what_has_no_time() -> None:
    assert geometric_mean([1, 4, 16]) == pytest.approx(4)
    assert math.isnan(geometric_mean([]))
    spoilt = replace(FIGURES, operator="NRM", ms={"torch": 1.0}, failures={"ansorc": "WRONG"})
    slow = replace(FIGURES, ms={"ansorc": 8.0, "torch": 1.0, "onnxruntime": 2.0})
    lines = [line.split() for line in means_text([FIGURES, slow, spoilt])]
    assert lines[1] == ["all", "3", "5", "2.00", "4.00", "0", "of", "2"]
    assert lines[2][:5] == ["GMM", "2", "5", "2.00", "4.00"]
    assert lines[3] == ["NRM", "1", "nan", "nan", "nan", "0", "of", "0"]


def test_geometric_means_leave_out_what_others_disturbed() -> None:
    disturbed = replace(FIGURES, ms={"ansorc": 1.0, "torch": 50.0}, others=1.0)
    text = means_text([FIGURES, disturbed])
    assert text[1].split()[:4] == ["all", "1", "20", "0.50"]
    assert "1 cases do not count: other processes were busy" in text


def test_workloads_are_chosen_by_suite_and_expression() -> None:
    assert len(choose("paper", "")) == 48
    assert len(choose("all", "")) == sum(map(len, SUITES.values()))
    assert {w.operator for _, w in choose("all", "^paper C[12]D")} == {"C1D", "C2D"}


def test_a_peer_that_is_missing_is_left_out(engines: pytest.MonkeyPatch) -> None:
    engines.setattr(bench_ops, "missing", lambda package: package == "torch")
    engines.setattr(bench_ops, "measure_limits", lambda threads: LIMITS)
    done = CliRunner().invoke(command, ["ops", "--only", "NRM 256", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert "torch is not installed" in done.stderr
    assert "NRM 256x256" in done.stdout
    assert "geometric means" in done.stdout


def test_json_has_an_object_a_line(engines: pytest.MonkeyPatch) -> None:
    engines.setattr(bench_ops, "measure_limits", lambda threads: LIMITS)
    done = CliRunner().invoke(command, ["ops", "--only", "NRM (256|512)", "--batch", "both", "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["name"], line["batch"]) for line in lines] == [
        ("256x256", 1), ("512x512", 1), ("256x256", 16), ("512x512", 16),
    ]  # fmt: skip
    assert lines[0]["ms"]["ansorc"] == 1


@pytest.mark.parametrize("only", ["(", "nothing like this"])
def test_expressions_that_choose_nothing_are_refused(only: str) -> None:
    assert CliRunner().invoke(command, ["ops", "--only", only]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--untuned", "--sample", "5"], "--sample"),
        (["--sample", "-1"], "--sample"),
        (["--explain", "NRM 256", "--json"], "--json"),
        (["--explain", "NRM 256", "--sample", "3"], "--sample"),
        (["--explain", "nothing like this"], "--explain"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: list[str], names: str) -> None:
    done = CliRunner().invoke(command, ["ops", *arguments])
    assert done.exit_code == 2
    assert f"Invalid value for '{names}'" in done.output or f"Invalid value for {names}" in done.output


def test_the_default_is_timed_beside_the_best_sample(engines: pytest.MonkeyPatch) -> None:
    engines.setattr(bench_ops, "measure_limits", lambda threads: LIMITS)
    engines.setattr(bench_ops.sampled, "sample", lambda *_: [])
    arguments = ["ops", "--only", "NRM 256", "--sample", "2", "--peer", "onnxruntime", "--json"]
    line = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert line["default_ms"] is not None
    assert set(line["ms"]) == {"ansorc", "onnxruntime"}


SMALL = (
    Convolution("C1D", (9,), 4, 6, 3, 2, 1),
    Convolution("C2D", (6, 6), 8, 8, 3, 1, 1, groups=2, bias=True, activation="relu"),
    Convolution("C3D", (4, 5, 6), 2, 3, 3, 1, 1, bias=True, activation="relu6"),
    Convolution("T2D", (3, 4), 5, 3, 4, 2, 1, transposed=True, activation="tanh"),
    Capsules((6, 5), 3, 2, 3, 2, 1),
    Dense("Dense", 3, 8, 5, activation="gelu"),
    MatrixNorm(6, 7),
    AttentionScores(6, 2, 4),
    *MEMORY,
)


@needs_torch
@pytest.mark.parametrize("workload", SMALL, ids=lambda w: f"{w.operator} {w.name}")
def test_torch_computes_the_reference_in_every_format(workload: bench_ops.Workload) -> None:
    case = workload.case(2)
    tried: list[float] = []

    def errors(runs: list[Run]) -> int:
        tried.extend(relative_error(case.to_ours(np.asarray(run())), case.reference()) for run in (*runs, *runs))
        return 0

    prepare_torch(case, 1, errors)
    assert max(tried) < 1e-5


@pytest.mark.parametrize("workload", [SMALL[1], SMALL[4]], ids=lambda w: w.operator)
def test_ours_and_onnxruntime_compute_the_reference(workload: bench_ops.Workload) -> None:
    case = workload.case(2)
    for result in (prepare_ours(case, 1)(), case.to_ours(prepare_onnxruntime(case, 1)())):
        assert relative_error(np.asarray(result), case.reference()) < 1e-5


@needs_matplotlib
def test_the_picture_has_both_engines(tmp_path: Path) -> None:
    wrong = replace(FIGURES, ms={"torch": 1.0})
    draw([FIGURES, wrong], LIMITS, tmp_path / "roofline.svg")
    assert "<svg" in (tmp_path / "roofline.svg").read_text()
