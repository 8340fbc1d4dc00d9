"""Records: what is stored is read back, by several processes, and files that are not records are refused."""

import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from search_fakes import tasks

from ansorc.compiler.errors import UnusableRecordsError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.records.similar import operators
from ansorc.compiler.search.sample import sample_points
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.tools.workloads import Dense

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_records import records_of
from pathlib import Path
from ansorc.compiler.records.database import Records
with Records(Path(sys.argv[1])) as records:
    run = records.begin(sys.argv[3], "{}")
    for record in records_of(40):
        records.add(run, [record])
"""


def candidates(count: int) -> list[Candidate]:
    (task,) = tasks(Dense("D", 48, 64, 64))
    return [task.candidate(p) for p in sample_points(task, count, random.Random(0))]


def records_of(count: int, target: str = "cpu", threads: int = 2) -> list[Record]:
    made: list[Record] = []
    for k, candidate in enumerate(candidates(count)):
        trial = Trial("measured", (0.5 + k, 1.0 + k), compile_seconds=0.2, code_bytes=100, vector_spills=k, code=f"{k}")
        if k % 4 == 3:
            trial = Trial("wrong answer", reason="off by 0.5")
        made.append(Record("task_a", target, threads, candidate, trial, 1e9 + k, trial.seconds))
    return made


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    stored = records_of(9)
    with Records(tmp_path / "new" / "r.db") as records:
        run = records.begin("key", '{"cores": 2}')
        records.add(run, stored)
        assert list(records.of_run(run)) == stored
    with Records(tmp_path / "new" / "r.db", create=False) as records:
        assert list(records.every()) == stored
        assert records.begin("key", "{}") == run
        other = records.begin("other", "{}")
        assert (other.id, other.prior) == (run.id + 1, 9)
        fast = [r for r in stored if r.seconds is not None]
        assert list(records.prior(other, "task_a", "cpu", 2)) == fast
        assert list(records.prior(other, "task_a", "cpu", 1)) == []
        assert list(records.prior(run, "task_a", "cpu", 2)) == []


def test_the_best_is_the_fastest_for_the_target(tmp_path: Path) -> None:
    with Records(tmp_path / "r.db") as records:
        run = records.begin("key", "{}")
        slow = [replace(r, threads=1, seconds=None if r.seconds is None else r.seconds / 10) for r in records_of(3)]
        records.add(run, [*records_of(8), *slow, *records_of(2, target="other")])
        best, single = records.best("task_a", "cpu", threads=2), records.best("task_a", "cpu", threads=1)
        assert best is not None
        assert best.seconds == 0.75
        assert single is not None
        assert single.seconds == 0.075
        assert records.best("task_a", "cpu", threads=8) == single
        assert records.best("task_b", "cpu") is None
        assert records.targets("task_a") == ["cpu", "other"]


def test_a_lookup_sorts_nothing(tmp_path: Path) -> None:
    """Of a million rows it takes milliseconds, if the index has them in their order."""
    asked: list[str] = []
    with Records(tmp_path / "r.db") as records:
        connection = records._connection  # pyright: ignore[reportPrivateUsage]
        connection.set_trace_callback(asked.append)
        assert records.best("task_a", "cpu", threads=2) is None
        connection.set_trace_callback(None)
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall())
    assert "INDEX best (task=? AND target=? AND threads=? AND seconds" in plan
    assert "TEMP B-TREE" not in plan


def test_confirmed_times_decide(tmp_path: Path) -> None:
    with Records(tmp_path / "r.db") as records:
        run = records.begin("key", "{}")
        first, second, *_ = stored = records_of(4)
        records.add(run, stored)
        records.confirm(run, "task_a", {first.candidate: None, second.candidate: 1.5})  # the first fails now
        best = records.best("task_a", "cpu", threads=2)
        assert best is not None
        assert best.candidate == second.candidate
        assert [r.trial for r in records.of_run(run)] == [r.trial for r in stored]


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
    writers = [subprocess.Popen([*command, key], env=environment) for key in ("a", "b")]
    assert [w.wait(120) for w in writers] == [0, 0]
    with Records(path) as records:
        assert records.query("SELECT run, count(*) FROM trials GROUP BY run") == [(1, 40), (2, 40)]


def test_an_unfinished_write_leaves_nothing(tmp_path: Path) -> None:
    with Records(tmp_path / "r.db") as records:
        run = records.begin("key", "{}")
        broken = [*records_of(2), replace(records_of(1)[0], task=None)]  # pyright: ignore[reportArgumentType]
        with pytest.raises(UnusableRecordsError, match="NOT NULL"):
            records.add(run, broken)
        assert list(records.every()) == []


def test_files_that_are_no_records(tmp_path: Path) -> None:
    with pytest.raises(UnusableRecordsError, match="no such file"):
        Records(tmp_path / "missing.db", create=False)
    text = tmp_path / "text.db"
    text.write_text("not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(UnusableRecordsError, match="ansorc-records check"):
        Records(text)
    later = tmp_path / "later.db"
    Records(later).close()
    with sqlite3.connect(later) as connection:
        connection.execute("UPDATE format SET version = 99")
    with pytest.raises(UnusableRecordsError, match="its format is 99"):
        Records(later)
    with pytest.raises(UnusableRecordsError, match="cannot use the records"):
        Records(tmp_path / "text.db" / "r.db")


def test_tasks_are_similar_wherever_their_values_lie() -> None:
    text = "func.func @task_0a(%x: tensor<1x8x24xf32> {ansorc.pitch = array<i64: 24, 96>}) -> tensor<1x8x24xf32>"
    other = text.replace("24, 96", "48, 64").replace("24xf32", "48xf32").replace("_0a", "_0b")
    assert operators(text) == operators(other)
    assert operators(text) != operators(text.replace(" {ansorc.pitch = array<i64: 24, 96>}", ""))
