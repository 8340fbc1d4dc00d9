"""Tuning from end to end, as users do it: `compile`, `ansorc`, `ansorc-tune`, `ansorc-records`."""

import json
import random
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import graph_model

import ansorc
from ansorc.compiler import driver, network_variants, recorded, tuning
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.errors import DifferentResultError, InvalidOptionError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.options import Options
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.sample import default_points, sample_points
from ansorc.compiler.search.task import tasks_of
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import parse_target, target_key
from ansorc.compiler.task_job import machine_of
from ansorc.tools.tune_workloads import UnknownWorkloadError, examples, named
from ansorc.tools.workloads import Case, Dense

pytestmark = pytest.mark.alone

LAYER = Dense("D", 24, 32, 64, activation="relu")


@pytest.fixture(scope="module")
def layer() -> Case:
    return LAYER.case(1)


@pytest.fixture(scope="module")
def tuned(layer: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a model's file, and records of a search of it."""
    folder = tmp_path_factory.mktemp("tuned")
    onnx.save(layer.model, folder / "layer.onnx")
    model = ansorc.compile(layer.model, trials=8, records=folder / "r.db", threads=2)
    (result,) = model.run(layer.inputs).values()
    np.testing.assert_allclose(result, layer.reference(), rtol=1e-4, atol=1e-4)
    return folder / "layer.onnx", folder / "r.db"


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"ansorc.tools.{tool}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_search_is_kept_and_used(tuned: tuple[Path, Path], layer: Case) -> None:
    _, path = tuned
    options = Options(records=path, threads=2)
    source = to_tasks(read(layer.model, options), options)
    found, coverage = recorded.recorded(source, options)
    with Records(path) as records:
        stored = list(records.every())
        assert len(stored) == 8
        (name,) = source.code
        best = records.best(name, target_key(options.target), threads=2)
    assert best is not None
    assert found == {name: best.candidate}
    assert [c.source for c in coverage] == ["records"]
    assert min(r.seconds for r in stored if r.seconds is not None) == best.seconds
    (result,) = ansorc.compile(layer.model, records=path).run(layer.inputs).values()
    np.testing.assert_allclose(result, layer.reference(), rtol=1e-4, atol=1e-4)


def test_records_of_another_target_say_so(tuned: tuple[Path, Path], layer: Case) -> None:
    _, path = tuned
    options = Options(target=parse_target("haswell"), records=path)
    source = to_tasks(read(layer.model, options), options)
    found, coverage = recorded.recorded(source, options)
    assert not found
    assert target_key(Options().target) in coverage[0].source


def _record_default(path: Path, layer: Case) -> None:
    """Store one trial of a layer: its default schedule."""
    options = Options(threads=2)
    (task,) = tasks_of(to_tasks(read(layer.model, options), options), machine_of(options.target))
    choice = task.spaces[0].choose()
    assert choice is not None
    trial = Trial("measured", (1e-3,))
    record = Record(task.name, target_key(options.target), 2, choice.candidate, trial, created=0.0, seconds=1e-3)
    with Records(path) as records:
        records.add_task(task.name, task.shape, task.flops, task.text)
        records.add(records.begin("key", "{}"), [record])


def test_a_near_miss_is_adapted(layer: Case, tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    _record_default(path, layer)
    batch = Dense("D", 48, 32, 64, activation="relu").case(1)
    options = Options(records=path, threads=2)
    source = to_tasks(read(batch.model, options), options)
    found, coverage = recorded.recorded(source, options)
    (candidate,) = found.values()
    assert candidate.sketch.parallel == (48, 64)
    (line,) = recorded.coverage_lines(coverage)[1:]
    assert "adapted from records of the same operators on 24x64 / 32" in line
    (result,) = ansorc.compile(batch.model, records=path, threads=2).run(batch.inputs).values()
    np.testing.assert_allclose(result, batch.reference(), rtol=1e-4, atol=1e-4)
    other = Dense("D", 48, 32, 64, activation="gelu").case(1)  # another operator
    nothing, why = recorded.recorded(to_tasks(read(other.model, options), options), options)
    assert not nothing
    assert why[0].source == "default: no records"


def test_other_targets_cannot_be_measured(layer: Case) -> None:
    with pytest.raises(InvalidOptionError, match="a level of x86-64 that this machine has"):
        ansorc.compile(layer.model, target="aarch64-linux-gnu", trials=4)


def test_a_model_that_computes_something_else_is_not_written(
    tuned: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = tuned
    monkeypatch.setattr(driver, "MODEL_TOLERANCE", -1.0)
    with pytest.raises(DifferentResultError, match="nothing is written"):
        driver.compile_to_file(model, Options(records=path, threads=2), tmp_path / "y.so", "so")
    assert list(tmp_path.iterdir()) == []


def test_the_compiler_searches_first(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    model, _ = tuned
    records = tmp_path / "mine.db"
    done = _run("ansorc", str(model), "-o", str(tmp_path / "y.so"), "--trials", "5", "--records", str(records), "-v")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "y.so").exists()
    with Records(records, create=False) as stored:
        assert stored.query("SELECT count(*) FROM trials") == [(5,)]
    again = _run("ansorc", str(model), "-o", str(tmp_path / "z.so"), "--records", str(records), "-v")
    assert again.returncode == 0, again.stderr
    assert "1 of 1 tasks have schedules from records" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--trials", "-1"), "trials is -1"),
        (("--seconds", "0"), "seconds is 0"),
        (("--records", "missing.db"), "no such file"),
    ],
)
def test_mistakes_of_a_search(tuned: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, str], said: str) -> None:
    model, _ = tuned
    done = _run("ansorc", str(model), "-o", str(tmp_path / "y.so"), *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stage_with_schedules_is_not_tuned(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    model, records = tuned
    stage = tmp_path / "m.scheduled.mlir"
    assert _run("ansorc", str(model), "--emit", "scheduled", "-o", str(stage)).returncode == 0
    done = _run("ansorc", str(stage), "-o", str(tmp_path / "y.so"), "--records", str(records))
    assert done.returncode == 1
    assert "its schedules are made already" in done.stderr


def test_ansorc_tune(tmp_path: Path) -> None:
    records = tmp_path / "r.db"
    common = ("--records", str(records), "--threads", "1")
    done = _run("tune", "op", "matmul-32", "--trials", "6", "--batch", "3", "--show", "scheduled", *common)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum("trials  32x32 / 32:" in line for line in lines) == 2
    assert any("% of the FMA peak" in line for line in lines)
    assert any("lanes=" in line for line in lines)
    assert any(line.startswith("6 trials in ") for line in lines)
    assert "vector.contract" in done.stdout or "vector.fma" in done.stdout or "vector.transfer_read" in done.stdout
    assert _run("tune", "op", "matmul-32", "--trials", "0").returncode == 1
    assert "names like it: " in _run("tune", "op", "matmull-512").stderr


def test_ansorc_tune_of_a_network(tuned: tuple[Path, Path], tmp_path: Path, layer: Case) -> None:
    model, _ = tuned
    output, records = tmp_path / "y.so", tmp_path / "r.db"
    done = _run("tune", "network", str(model), "--trials", "4", "--records", str(records), "-o", str(output))
    assert done.returncode == 0, done.stderr
    (result,) = ansorc.load(output).run(layer.inputs).values()
    np.testing.assert_allclose(result, layer.reference(), rtol=1e-4, atol=1e-4)


def test_networks_are_tuned_together(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    model, records = str(tuned[0]), tmp_path / "r.db"
    other = tmp_path / "other.onnx"
    onnx.save(Dense("D", 8, 32, 64, activation="relu").case(1).model, other)
    models = ("tune", "network", model, str(other))
    done = _run(*models, "--trials", "8", "--records", str(records), "--objective", "required", "--required", "1",
                "--required", "2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Records(records, create=False) as stored:
        assert stored.query("SELECT count(DISTINCT task) FROM trials") == [(2,)]
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[-2:]] == ["layer", "other"]
    for wrong, said in ((("--required", "1"), "required is 1"), (("-o", str(tmp_path / "x.so")), "one MODEL")):
        refused = _run(*models, "--trials", "8", "--records", "none", *wrong)
        assert refused.returncode == 1
        assert said in refused.stderr


def test_schedules_are_compared_inside_a_network() -> None:
    x, w, v = (np.ones(shape, np.float32) for shape in ((16, 32), (32, 48), (48, 64)))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "v"], ["y"])]
    options = Options(fuse_chains="never")
    source = to_tasks(read(graph_model(nodes, {"x": x}, ["y"], {"w": w, "v": v}), options), options)
    choices: dict[str, list[Candidate]] = {}
    for task, count in zip(tasks_of(source, machine_of(options.target)), (3, 2), strict=True):
        points = [*default_points(task), *sample_points(task, 8, random.Random(0))]
        choices[task.name] = [task.candidate(p) for p in dict.fromkeys(points)][:count]
    found = tuning.inside_networks([source], options, choices)
    assert {name: list(times) for name, times in found.items()} == choices
    assert all(0 < s < 1 for times in found.values() for s in times.values())
    twice = tuning.inside_networks([source, source], options, choices)
    assert {name: list(times) for name, times in twice.items()} == choices


@pytest.mark.parametrize("cold", [False, True])
def test_empty_caches_are_not_those_of_a_running_network(cold: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(tuning, "tune", lambda *arguments: given.append(arguments[-1]))
    options = Options(trials=1, records="none", cold=cold)
    tuning.search([to_tasks(read(named("matmul-32").model, options), options)], options)
    assert [inside is None for inside in given] == [cold]


def test_a_network_of_one_call_has_no_inside(layer: Case) -> None:
    options = Options()
    source = to_tasks(read(layer.model, options), options)
    (task,) = tasks_of(source, machine_of(options.target))
    points = sample_points(task, 2, random.Random(0))
    choices = {task.name: [task.candidate(p) for p in points]}
    assert tuning.inside_networks([source], options, choices) == {}


def test_a_network_that_fills_the_memory_is_not_compared(layer: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(network_variants, "MEMORY_SHARE", 1e-12)
    options = Options(progress=lambda step, done, total: said.append(step))
    variant = network_variants.Variant(to_tasks(read(layer.model, options), options))
    assert network_variants.run_variants([variant, variant], options) == ()
    assert any("too large" in line for line in said)


def test_no_records_are_kept(layer: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = ansorc.compile(layer.model, trials=4, records="none", threads=1)
    (result,) = model.run(layer.inputs).values()
    np.testing.assert_allclose(result, layer.reference(), rtol=1e-4, atol=1e-4)
    assert not list(tmp_path.rglob("*none*"))


def test_workload_names() -> None:
    assert named("matmul-256-512-1024").flops == 2 * 256 * 512 * 1024
    assert named("nhwc-resnet-50.C2.B16").flops == 16 * named("nhwc-resnet-50.C2").flops
    for name in ("softmax-8", "add-8", "norm-8", "min-8", "argmin-8", "add-min-relu-8", "max-pool-2d", "double-matmul"):
        onnx.checker.check_model(named(name).model)
    assert len(examples()) == len(set(examples())) > 80
    for wrong in ("matmul-0", "matmul", "nhwc-resnet-50.C99", "C2D.4", "softmax-", "matmul-8.B0", ""):
        with pytest.raises(UnknownWorkloadError):
            named(wrong)


def test_ansorc_records(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    _, path = tuned
    lines, copy, small = tmp_path / "r.jsonl", tmp_path / "copy.db", tmp_path / "small.db"
    assert "8 records" in _run("records", "export", str(path), str(lines)).stdout
    assert len({json.loads(line)["candidate"].__repr__() for line in lines.read_text().splitlines()}) == 8
    assert "8 new records" in _run("records", "import", str(lines), str(copy)).stdout
    assert "0 new records" in _run("records", "merge", str(path), "-o", str(copy)).stdout
    assert "1 records" in _run("records", "distill", str(path), "-o", str(small)).stdout
    assert _run("records", "best", str(copy)).stdout == _run("records", "best", str(small)).stdout
    assert "8 trials of 1 tasks" in _run("records", "stats", str(copy)).stdout
    assert len(_run("records", "query", str(copy), "--limit", "3").stdout.splitlines()) == 3
    assert _run("records", "query", str(copy), "--fate", "crash").stdout == ""
    assert _run("records", "check", str(copy)).returncode == 0
    lines.write_text(lines.read_text() + '{"ansorc": 1}\n')
    wrong = _run("records", "import", str(lines), str(tmp_path / "new.db"))
    assert wrong.returncode == 1
    assert "line 9" in wrong.stderr


class Page(HTMLParser):
    """What a page has, and what it would load."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "path"):
            self.open.append(tag)
        self.loads += [str(v) for k, v in attrs if k in ("src", "href") and not str(v).startswith(("#", "data:"))]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_stands_alone(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    _, path = tuned
    output = tmp_path / "report.html"
    done = _run("tune", "report", str(path), "-o", str(output))
    assert done.returncode == 0, done.stderr
    page = Page()
    page.feed(output.read_text())
    assert page.open == []
    assert page.loads == []
    assert page.tags.count("svg") == 3  # the roofline, and two curves
    assert page.tags.count("circle") == 1 + 2 * 8
    assert "8 trials of 1 tasks" in output.read_text()
    assert _run("tune", "report", str(tmp_path / "missing.db")).returncode == 1


def test_the_report_says_what_decisions_are_worth(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    done = _run(
        "tune", "op", "matmul-96", "--trials", "48", "--threads", "1", "--records", str(path), "--policy", "random"
    )
    assert done.returncode == 0, done.stderr
    # Whether anything of a few trials beats the default is for the machine to say: here something does.
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE trials SET seconds = 1 WHERE id = (SELECT min(id) FROM trials)")
    done = _run("tune", "report", str(path), "--undo", "-o", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.html").read_text()
    assert "Predicted and measured" in text
    assert "What made the best better" in text
    assert "times slower with its kind's default" in text
    assert "<tr class=changed>" in text


def test_damaged_records_are_recovered(tuned: tuple[Path, Path], tmp_path: Path) -> None:
    _, path = tuned
    damaged, saved = tmp_path / "damaged.db", tmp_path / "saved.db"
    with sqlite3.connect(path) as source, sqlite3.connect(damaged) as target:
        source.backup(target)
    with sqlite3.connect(damaged) as connection:
        connection.execute("UPDATE trials SET candidate = 'torn' WHERE id = 3")
    done = _run("records", "check", str(damaged), "--recover", str(saved))
    assert done.returncode == 1
    assert "7 trials copied" in done.stdout
    assert "1 lost" in done.stdout
    with Records(saved, create=False) as records:
        assert len(list(records.every())) == 7
