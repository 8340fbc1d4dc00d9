"""Records as JSON lines, for sharing; files merged, distilled, and checked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ansorc.compiler.errors import UnusableRecordsError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.output import whole_file
from ansorc.compiler.records.database import Fusion, Record, Records
from ansorc.compiler.sketch.candidate import from_json

LINE_FORMAT = 1
BATCH = 1000


def to_line(record: Record | Fusion) -> str:
    """Return one line of JSON that `from_line` reads."""
    if isinstance(record, Fusion):
        return json.dumps({"ansorc": LINE_FORMAT, **asdict(record)})
    t = record.trial
    return json.dumps({
        "ansorc": LINE_FORMAT, "task": record.task, "target": record.target, "threads": record.threads,
        "seconds": record.seconds, "created": record.created, "candidate": json.loads(record.candidate.to_json()),
        "fate": t.fate, "times": t.times, "reason": t.reason, "compile_seconds": t.compile_seconds,
        "code_bytes": t.code_bytes, "vector_spills": t.vector_spills, "code": t.code,
    })  # fmt: skip


def from_line(line: str) -> Record | Fusion:
    """Read a line; raises ValueError or KeyError for what is none."""
    raw = json.loads(line)
    if not isinstance(raw, dict) or raw.get("ansorc") != LINE_FORMAT:
        raise ValueError("not a line of ansorc's records")
    if "fuse" in raw:
        return Fusion(
            raw["task"], raw["target"], raw["threads"], raw["fuse"], raw["together"], raw["apart"], raw["created"]
        )
    trial = Trial(
        raw["fate"], tuple(raw["times"]), raw["reason"], raw["compile_seconds"], raw["code_bytes"],
        raw["vector_spills"], raw["code"],
    )  # fmt: skip
    candidate = from_json(json.dumps(raw["candidate"]))
    return Record(raw["task"], raw["target"], raw["threads"], candidate, trial, raw["created"], raw["seconds"])


def everything(records: Records) -> Iterator[Record | Fusion]:
    """Yield all trials, and what is known of chains."""
    yield from records.every()
    yield from records.fusions()


def export(records: Iterable[Record | Fusion], path: Path) -> int:
    """Write records as lines to a file that appears whole; return how many."""
    count = 0
    with whole_file(path) as temporary, temporary.open("w") as file:
        for record in records:
            file.write(to_line(record) + "\n")
            count += 1
    return count


def lines_of(path: Path) -> Iterator[Record | Fusion]:
    """Yield the records of a file of lines; raises UnusableRecordsError that names the line."""
    try:
        with path.open() as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield from_line(line)
                    except (ValueError, KeyError, TypeError) as error:
                        raise UnusableRecordsError(path, f"line {number}: {type(error).__name__}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableRecordsError(path, str(error)) from error


def take(into: Records, records: Iterable[Record | Fusion], origin: str) -> int:
    """Add records of another file that are not there yet; return how many were new.

    A trial is there if one of the same task, target, threads and time of day is. Of a chain, the latest is kept.
    """
    run = into.begin(f"from {origin}", "{}")
    known = set(into.query("SELECT task, target, threads, candidate, created FROM trials"))
    fusions = {(f.task, f.target, f.threads): f for f in into.fusions()}
    count, batch, later = 0, list[Record](), list[Fusion]()
    for record in records:
        if isinstance(record, Fusion):
            there = fusions.get((record.task, record.target, record.threads))
            if there is None or there.created < record.created:
                later.append(record)
            continue
        key = (record.task, record.target, record.threads, record.candidate.to_json(), record.created)
        if key in known:
            continue
        known.add(key)
        batch.append(record)
        count += 1
        if len(batch) == BATCH:
            into.add(run, batch)
            batch.clear()
    into.add(run, batch)
    into.add_fusions(sorted(later, key=lambda f: f.created))
    return count + len(later)


def best_of_each(records: Records, most: int = 1) -> Iterator[Record]:
    """Yield the fastest trials of every task, target and number of threads."""
    groups = records.query(
        "SELECT DISTINCT task, target, threads FROM trials WHERE seconds IS NOT NULL ORDER BY 1, 2, 3"
    )
    for group in groups:
        where = "task = ? AND target = ? AND threads = ? AND seconds IS NOT NULL"
        ranked = sorted(records.every(where, group), key=lambda r: r.seconds or 0.0)
        yield from ranked[:most]


@dataclass(frozen=True)
class Health:
    """What `check` found."""

    trials: int
    problems: tuple[str, ...]


def check(path: Path) -> Health:
    """Read a whole file: SQLite's own check, then every row."""
    if not path.exists():
        raise UnusableRecordsError(path, "there is no such file")
    problems: list[str] = []
    count = 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        problems += [str(text) for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
        connection.close()
        with Records(path, create=False) as records:
            for _ in records.every():
                count += 1
            records.fusions()
    except (sqlite3.DatabaseError, UnusableRecordsError, ValueError, KeyError) as error:
        problems.append(str(error).splitlines()[0])
    return Health(count, tuple(problems))


def recover(path: Path, into: Path) -> tuple[int, int]:
    """Copy the rows that can be read into a new file; return how many, and how many were lost (at least)."""
    if into.exists():
        raise UnusableRecordsError(into, "it exists already", "name a file that does not")
    found, lost = list[Record](), 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        (last,) = connection.execute("SELECT max(id) FROM trials").fetchone()
        connection.close()
    except (sqlite3.DatabaseError, TypeError) as error:
        raise UnusableRecordsError(path, f"nothing of it can be read: {error}") from error
    for number in range(1, (last or 0) + 1):
        try:
            with Records(path, create=False) as records:
                found += records.every("id = ?", (number,))
        except (UnusableRecordsError, ValueError, KeyError):
            lost += 1
    with Records(into) as made:
        take(made, [*found, *_readable_fusions(path)], str(path))
    return len(found), lost


def _readable_fusions(path: Path) -> list[Fusion]:
    try:
        with Records(path, create=False) as records:
            return records.fusions()
    except UnusableRecordsError:
        return []
