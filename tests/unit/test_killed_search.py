"""A search that is killed at any moment loses no record, leaves no process, and goes on where it stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansorc.compiler.records import exchange
from ansorc.compiler.records.database import Records

pytestmark = pytest.mark.alone

TRIALS, KILLS = 24, 4


def _command(path: Path) -> list[str]:
    tool = [sys.executable, "-m", "ansorc.tools.tune", "op", "matmul-48"]
    return [*tool, "--trials", str(TRIALS), "--batch", "4", "--threads", "1", "--records", str(path)]


def _workers_of(pid: int) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if b"ansorc.compiler.workers" in command and str(pid).encode() in command and state != "Z":
                found.append(entry.name)
    return found


def test_killed_at_random_moments(tmp_path: Path) -> None:
    path, generator = tmp_path / "r.db", random.Random(os.getpid())
    stored = 0
    for _ in range(KILLS):
        process = subprocess.Popen(_command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(3, 9))
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 10
        while _workers_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _workers_of(process.pid) == []
        if path.exists():
            health = exchange.check(path)
            assert health.problems == ()
            assert health.trials >= stored
            stored = health.trials
    done = subprocess.run(_command(path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Records(path, create=False) as records:
        trials = [(r.task, r.candidate) for r in records.every()]
        assert len(trials) == len(set(trials)) == TRIALS
        assert records.query("SELECT count(*) FROM runs") == [(1,)]
