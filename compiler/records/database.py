"""Trials in a SQLite file (WAL: several processes may write): one row for each, whatever became of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import TracebackType

from ansorc.compiler.errors import UnusableRecordsError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.sketch.candidate import Candidate, from_json

FORMAT = 1
BUSY_SECONDS = 60.0
SCHEMA = """
CREATE TABLE format (version INTEGER NOT NULL);
CREATE TABLE tasks (
  key TEXT PRIMARY KEY,     -- structural: equal computations have equal keys
  shape TEXT NOT NULL,      -- extents of its loops
  flops REAL NOT NULL,
  text TEXT NOT NULL        -- linalg on tensors
) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE, -- seed, settings, tasks, machine and versions: equal runs propose equal candidates
  prior INTEGER NOT NULL,   -- the last trial that was known when it began
  machine TEXT NOT NULL,    -- JSON: processor, versions, threads
  started REAL NOT NULL
);
CREATE TABLE trials (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs (id),
  task TEXT NOT NULL,
  target TEXT NOT NULL,     -- processor and its features
  threads INTEGER NOT NULL,
  kind TEXT NOT NULL,
  candidate TEXT NOT NULL,  -- JSON
  fate TEXT NOT NULL,
  seconds REAL,             -- a call; NULL unless measured, also when measured again
  times TEXT NOT NULL,      -- JSON: seconds of the repeats during the search; `seconds` may know of later ones
  reason TEXT NOT NULL,
  compile_seconds REAL NOT NULL,
  code_bytes INTEGER NOT NULL,
  vector_spills INTEGER NOT NULL,
  code TEXT NOT NULL,       -- digest of the object
  created REAL NOT NULL
);
CREATE INDEX best ON trials (task, target, threads, seconds) WHERE seconds IS NOT NULL;
CREATE INDEX of_run ON trials (run);
"""
FUSIONS = """
CREATE TABLE IF NOT EXISTS fusions (
  task TEXT NOT NULL,       -- what a chain of tasks is as one
  target TEXT NOT NULL,
  threads INTEGER NOT NULL,
  fuse INTEGER NOT NULL,    -- whether the network that it was measured in is faster with it
  together REAL NOT NULL,   -- seconds of a call inside of that network
  apart REAL NOT NULL,
  created REAL NOT NULL,
  PRIMARY KEY (task, target, threads)
) WITHOUT ROWID
"""
COLUMNS = (
    "task", "target", "threads", "kind", "candidate", "fate", "seconds", "times", "reason", "compile_seconds",
    "code_bytes", "vector_spills", "code", "created",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM trials"
_PLACES = ", ".join("?" * (len(COLUMNS) + 1))


@dataclass(frozen=True)
class Record:
    """One trial as it is stored."""

    task: str
    target: str
    threads: int
    candidate: Candidate
    trial: Trial
    created: float
    """Seconds since 1970."""
    seconds: float | None
    """The best that is known of how long a call takes: that of the trial, until it is confirmed."""


@dataclass(frozen=True)
class Fusion:
    """Tasks behind each other that could be one, measured both ways inside of a network, with default schedules."""

    task: str
    """What they are as one."""
    target: str
    threads: int
    fuse: bool
    """Whether the network is faster with it."""
    together: float
    """Seconds of a call."""
    apart: float
    """Seconds of the fastest way to call several."""
    created: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Run:
    """A search that writes trials."""

    id: int
    prior: int


class Records:
    """An open file of records; a context manager."""

    def __init__(self, path: Path, *, create: bool = True, frozen: bool = False) -> None:
        """Open a file, or make it; one that is `frozen` is only read, and nobody writes to it.

        Raises UnusableRecordsError.
        """
        self.path = path
        if not create and not path.exists():
            raise UnusableRecordsError(path, "there is no such file", "make it by tuning with --records")
        with self._explained():
            if frozen:
                self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            else:
                self._connection = self._open(path)
            (version,) = self._connection.execute("SELECT version FROM format").fetchone()
        if version != FORMAT:
            raise UnusableRecordsError(path, f"its format is {version}, this version reads {FORMAT}")

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def begin(self, key: str, machine: str) -> Run:
        """Return the run of a key: a new one, or the one that was interrupted."""
        with self._explained(), self._transaction():
            (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM trials").fetchone()
            self._connection.execute(
                "INSERT OR IGNORE INTO runs (key, prior, machine, started) VALUES (?, ?, ?, ?)",
                (key, last, machine, time.time()),
            )
            number, prior = self._connection.execute("SELECT id, prior FROM runs WHERE key = ?", (key,)).fetchone()
            return Run(number, prior)

    def add_task(self, key: str, shape: str, flops: float, text: str) -> None:
        """Remember a task, if it is new."""
        with self._explained():
            self._connection.execute("INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, ?)", (key, shape, flops, text))

    def add(self, run: Run, records: Iterable[Record]) -> None:
        """Store trials: all of them or none."""
        rows = [(run.id, *_row(r)) for r in records]
        with self._explained(), self._transaction():
            self._connection.executemany(f"INSERT INTO trials (run, {', '.join(COLUMNS)}) VALUES ({_PLACES})", rows)

    def confirm(self, run: Run, task: str, seconds: Mapping[Candidate, float | None]) -> None:
        """Note what candidates of a run took when they were measured once more; None where one failed then."""
        rows = [(s, run.id, task, c.to_json()) for c, s in seconds.items()]
        with self._explained(), self._transaction():
            self._connection.executemany(
                "UPDATE trials SET seconds = ? WHERE run = ? AND task = ? AND candidate = ?", rows
            )

    def of_run(self, run: Run) -> Iterator[Record]:
        """Yield the trials of a run, in order."""
        return self._rows(f"{_SELECT} WHERE run = ? ORDER BY id", (run.id,))

    def prior(self, run: Run, task: str, target: str, threads: int) -> Iterator[Record]:
        """Yield what was measured of a task before a run began, the fastest first."""
        where = "WHERE task = ? AND target = ? AND threads = ? AND seconds IS NOT NULL AND id <= ? AND run <> ?"
        return self._rows(f"{_SELECT} {where} ORDER BY seconds, id", (task, target, threads, run.prior, run.id))

    def best(self, task: str, *targets: str, threads: int | None = None) -> Record | None:
        """Return the fastest trial of a task on the first of some targets that has any.

        It is one for so many threads, where there is one, else for any.
        """
        for target, count in product(targets, dict.fromkeys((threads, None))):
            where, arguments = "task = ? AND target = ? AND seconds IS NOT NULL", (task, target)
            if count is not None:
                where, arguments = f"{where} AND threads = ?", (*arguments, count)
            found = next(self._rows(f"{_SELECT} WHERE {where} ORDER BY seconds, id LIMIT 1", arguments), None)
            if found is not None:
                return found
        return None

    def add_fusions(self, fusions: Iterable[Fusion]) -> None:
        """Store what chains took, in the place of what was known of them."""
        rows = [(f.task, f.target, f.threads, f.fuse, f.together, f.apart, f.created) for f in fusions]
        with self._explained(), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO fusions VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def fusions(self) -> list[Fusion]:
        """Return what is known of chains."""
        with self._explained():
            if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'fusions'").fetchone():
                return []  # a frozen file of a version that knew none
            rows = self._connection.execute("SELECT * FROM fusions ORDER BY task, target, threads").fetchall()
            return [Fusion(task, target, threads, bool(fuse), *rest) for task, target, threads, fuse, *rest in rows]

    def targets(self, task: str) -> list[str]:
        """Return the targets that have measured trials of a task."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT DISTINCT target FROM trials WHERE task = ? AND seconds IS NOT NULL ORDER BY target", (task,)
            )
            return [target for (target,) in rows]

    def every(self, where: str = "", arguments: Sequence[object] = ()) -> Iterator[Record]:
        """Yield all trials in order, or those that a condition in SQL holds for."""
        return self._rows(f"{_SELECT} {'WHERE ' + where if where else ''} ORDER BY id", arguments)

    def query(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return the rows of a statement that reads."""
        with self._explained():
            return self._connection.execute(statement, arguments).fetchall()

    def _rows(self, statement: str, arguments: Sequence[object]) -> Iterator[Record]:
        with self._explained():
            for row in self._connection.execute(statement, arguments):
                yield _record(row)

    def freeze(self) -> None:
        """Make a single small file of what is stored, which can be opened `frozen`."""
        with self._explained():
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("VACUUM")

    def _open(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'format'").fetchone():
                for statement in SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute("INSERT INTO format VALUES (?)", (FORMAT,))
            self._connection.execute(FUSIONS)
        return self._connection

    def _write_ahead(self) -> None:
        """Switch to WAL; of this, SQLite does not wait until another process that opens the file is done."""
        since = time.monotonic()
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() - since > BUSY_SECONDS:
                    raise
            time.sleep(0.01)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            hint = ""
            if (isinstance(error, sqlite3.DatabaseError) and "malformed" in str(error)) or "not a database" in str(
                error
            ):
                hint = f"ansorc-records check {self.path} says what can be recovered"
            raise UnusableRecordsError(self.path, str(error), hint) from error


def _row(r: Record) -> tuple[object, ...]:
    t = r.trial
    return (
        r.task, r.target, r.threads, r.candidate.sketch.kind, r.candidate.to_json(), t.fate, r.seconds,
        json.dumps(t.times), t.reason, t.compile_seconds, t.code_bytes, t.vector_spills, t.code, r.created,
    )  # fmt: skip


def _record(row: Sequence[object]) -> Record:
    raw = dict(zip(COLUMNS, row, strict=True))
    trial = Trial(
        str(raw["fate"]), tuple(json.loads(str(raw["times"]))), str(raw["reason"]), float(str(raw["compile_seconds"])),
        int(str(raw["code_bytes"])), int(str(raw["vector_spills"])), str(raw["code"]),
    )  # fmt: skip
    candidate = from_json(str(raw["candidate"]))
    seconds = None if raw["seconds"] is None else float(str(raw["seconds"]))
    created = float(str(raw["created"]))
    return Record(str(raw["task"]), str(raw["target"]), int(str(raw["threads"])), candidate, trial, created, seconds)
