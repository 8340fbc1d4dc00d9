"""Schedules that come with the package."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from search_fakes import Inventor

import ansorc
from ansorc.compiler import recorded, tasks, tuning
from ansorc.compiler.driver import compile_model, read, to_tasks, with_schedules
from ansorc.compiler.errors import UnusableRecordsError
from ansorc.compiler.measure import runnable
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.options import NO_RECORDS, Options
from ansorc.compiler.program import Program
from ansorc.compiler.records import shipped
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.sample import default_points, sample_points
from ansorc.compiler.search.task import task_of_text, tasks_of
from ansorc.compiler.search.tuner import Budget, Settings, tune
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import parse_target, target_key
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.tools import tune as command
from ansorc.tools.workloads import Dense

LAYER = Dense("D", 25, 32, 64, activation="relu")
OPTIONS = Options(threads=2)


@pytest.fixture(scope="module")
def source() -> Program:
    return to_tasks(read(LAYER.case(1).model, OPTIONS), OPTIONS)


@pytest.fixture(scope="module")
def won(source: Program) -> Candidate:
    """A schedule that is not the default."""
    (task,) = tasks_of(source, machine_of(OPTIONS.target))
    (default,) = default_points(task)
    return task.candidate(next(p for p in sample_points(task, 5, random.Random(0)) if p != default))


def ship(path: Path, source: Program, candidate: Candidate, target: str) -> None:
    (name,) = source.code
    trial = Trial("measured", (1e-6,), "", 0.1, 100, 0, "")
    with Records(path) as records:
        records.add(records.begin("shipped", "{}"), [Record(name, target, 2, candidate, trial, 0.0, 1e-6)])
        records.freeze()


@pytest.fixture
def file(source: Program, won: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shipped.db"
    ship(path, source, won, target_key(OPTIONS.target))
    monkeypatch.setattr(shipped, "SHIPPED", path)
    return path


def test_it_is_used_unless_records_are_none(source: Program, won: Candidate, file: Path) -> None:
    (name,) = source.code
    chosen = with_schedules(source, OPTIONS)
    assert chosen.candidates == {name: won}
    assert chosen.shipped == chosen.untried == {name}
    plain = replace(OPTIONS, records=NO_RECORDS)
    assert with_schedules(source, plain) == plain
    case = LAYER.case(1)
    (result,) = ansorc.compile(case.model, threads=2).run(case.inputs).values()
    np.testing.assert_allclose(result, case.reference(), rtol=1e-4, atol=1e-4)


def test_a_file_of_records_comes_first(source: Program, won: Candidate, file: Path, tmp_path: Path) -> None:
    mine = tmp_path / "r.db"
    Records(mine).close()
    options = replace(OPTIONS, records=mine)
    found, (coverage,) = recorded.recorded(source, options)
    assert list(found.values()) == [won]
    assert coverage.source == recorded.SHIPPED
    assert "1 such that are shipped" in recorded.coverage_lines([coverage])[0]
    (task,) = tasks_of(source, machine_of(OPTIONS.target))
    (default,) = default_points(task)
    ship(tmp_path / "r2.db", source, task.candidate(default), target_key(OPTIONS.target))
    found, (coverage,) = recorded.recorded(source, replace(OPTIONS, records=tmp_path / "r2.db"))
    assert list(found.values()) == [task.candidate(default)]
    assert coverage.source == recorded.RECORDS


@pytest.mark.parametrize(
    ("target", "used"),
    [("{cpu}-{bits}-0123456789ab", True), ("other-cpu-{bits}-0123456789ab", None), ("x-999-0", False)],
)
def test_other_machines(
    source: Program, won: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, used: bool | None
) -> None:
    """One with other features has the same schedules; another processor those that its model likes; or none."""
    cpu, bits, _ = target_key(OPTIONS.target).rsplit("-", 2)
    path = tmp_path / "shipped.db"
    monkeypatch.setattr(shipped, "SHIPPED", path)
    ship(path, source, won, target.format(cpu=cpu, bits=bits))
    likes = {used} if used is not None else {True, False}
    for slack in (0.0, 100.0) if used is None else (1.0,):
        monkeypatch.setattr(shipped, "SLACK", slack)
        found = bool(with_schedules(source, OPTIONS).candidates)
        assert found in likes
        assert used is not None or found is (slack > 1)


@pytest.mark.parametrize(("threads", "used"), [(2, True), (8, False)])
def test_other_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, used: bool) -> None:
    """A schedule of two chunks is none for eight threads."""
    source = to_tasks(read(Dense("D", 255, 256, 512).case(1).model, OPTIONS), OPTIONS)
    (task,) = tasks_of(source, machine_of(OPTIONS.target))
    (default,) = default_points(task)
    (space,) = task.spaces

    def chunks(candidate: Candidate) -> int:
        return space.properties(candidate).chunks

    two = next(c for c in space.candidates() if chunks(c) == 2)
    assert chunks(task.candidate(default)) > 2
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped.db")
    ship(tmp_path / "shipped.db", source, two, target_key(OPTIONS.target))
    assert bool(with_schedules(source, replace(OPTIONS, threads=threads)).candidates) is used


def test_a_search_begins_with_it(source: Program, won: Candidate, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Candidate] = []

    def stop(found: object, *_: object) -> None:
        (task,) = found  # pyright: ignore
        inventor = Inventor()
        tune([task], inventor, Settings("t", 1), Budget(trials=4))  # pyright: ignore
        seen.extend(c for _, c in inventor.asked)
        raise InterruptedError

    monkeypatch.setattr(tuning, "tune", stop)
    with pytest.raises(InterruptedError):
        tuning.search([source], replace(OPTIONS, trials=4, records=file.with_name("r.db")))
    assert won in seen[:2]


def test_the_default_takes_the_place_of_one_that_fails(
    source: Program, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(tasks, "ENTRY", "jobs_for_workers:abort_in_given")
    case = LAYER.case(1)
    (result,) = compile_model(case.model, replace(OPTIONS, use_cache=False)).run(case.inputs).values()
    np.testing.assert_allclose(result, case.reference(), rtol=1e-4, atol=1e-4)


def test_a_frozen_file_is_only_read(file: Path) -> None:
    before = file.read_bytes()
    with Records(file, create=False, frozen=True) as records:
        assert len(list(records.every())) == 1
        with pytest.raises(UnusableRecordsError, match="readonly"):
            records.add_task("t", "", 0.0, "")
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_what_wins_in_a_network_is_shipped(
    source: Program, won: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(LAYER.case(1).model, tmp_path / "layer.onnx")
    ship(tmp_path / "r.db", source, won, target_key(OPTIONS.target))
    for share, count in ((100.0, 1), (0.0, 0)):
        monkeypatch.setattr(tuning, "WINS", share)
        model, records, output = (str(tmp_path / name) for name in ("layer.onnx", "r.db", "s.db"))
        made = CliRunner().invoke(command.ship, [model, "--records", records, "-o", output, "--threads", "2"])
        assert made.exit_code == 0, made.output
        assert f"{count} of 1 tasks" in made.output
        with Records(tmp_path / "s.db", create=False, frozen=True) as records:
            assert [r.candidate for r in records.every()] == [won] * count


def test_the_shipped_schedules_compute_what_their_tasks_do() -> None:
    """Some of those that fit this machine, against plain loops; all of them are legal."""
    target = parse_target("native")
    with Records(shipped.SHIPPED, create=False, frozen=True) as records:
        texts = {str(k): str(t) for k, t in records.query("SELECT key, text FROM tasks")}
        every = [r for r in records.every() if r.target.rsplit("-", 2)[1] == str(target.vector_bits)]
    small: list[tuple[float, Record]] = []
    for record in every:
        task = task_of_text(record.task, texts[record.task], 1, machine_of(target))
        assert task.point(record.candidate) is not None, json.dumps(record.candidate.to_json())
        small.append((task.flops, record))
    for _, record in sorted(small, key=lambda s: s[0])[:12]:
        text = texts[record.task]
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", target, unscheduled=True)))
        arguments = plain.random_arguments(np.random.default_rng(1))
        expected = plain.run(arguments)
        job = TaskJob(text, "linalg", "object", target, candidate=record.candidate)
        result = runnable(text, compile_task(job)).run(arguments, threads=2)
        assert abs(result - expected).max() <= 1e-4 * abs(expected).max()
