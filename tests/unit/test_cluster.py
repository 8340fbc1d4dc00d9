"""Measuring on a Dask cluster: a real scheduler with two workers, one of which is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from search_fakes import tasks

from ansorc.compiler.errors import ClusterError
from ansorc.compiler.measuring import cluster
from ansorc.compiler.measuring.measurer import PoolMeasurer
from ansorc.compiler.options import Options
from ansorc.compiler.records.database import Records
from ansorc.compiler.search.policy import SearchSettings
from ansorc.compiler.search.task import SearchTask
from ansorc.compiler.search.tuner import Budget, Event, Settings, tune
from ansorc.compiler.target import parse_target, target_key
from ansorc.tools.workloads import Dense

pytestmark = pytest.mark.alone

pytest.importorskip("distributed")

HERE = target_key(parse_target("native"))


@pytest.fixture(scope="module")
def task() -> SearchTask:
    (made,) = tasks(Dense("D", 24, 32, 64, activation="relu"), target=parse_target("native"))
    return made


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        file = folder / "scheduler.json"
        self._scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        while not file.exists():
            time.sleep(0.1)
        self.workers = [
            self._start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard")
            for _ in range(2)
        ]
        self.address = json.loads(file.read_text())["address"]

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    from distributed import Client

    with Client(made.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield made
    made.end()


@pytest.mark.parametrize("victim", [0, 1])  # one of them is the one that measures
def test_a_lost_worker_costs_nothing_but_time(running: Cluster, task: SearchTask, tmp_path: Path, victim: int) -> None:
    pools = cluster.ClusterPools(running.address, HERE)
    assert len(pools.running()) == len(pools.compiling()) == 2
    assert pools.environment()["cores"]
    measurer = PoolMeasurer(Options().target, 1, pools)
    killed: list[int] = []

    def kill(event: Event) -> None:
        if not killed:
            killed.append(running.workers[victim].pid)
            os.kill(killed[0], signal.SIGKILL)

    settings = Settings(HERE, 1, search=SearchSettings(batch=8))
    try:
        with Records(tmp_path / "r.db") as records:
            tuned = tune([task], measurer, settings, Budget(32), records, kill)
            fates = records.query("SELECT fate, count(*) FROM trials GROUP BY 1")
    finally:
        measurer.close()
    assert killed
    assert tuned.trials == 32
    assert fates == [("measured", 32)]
    assert task.name in tuned.best


def test_nobody_is_left(running: Cluster, task: SearchTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 3.0)
    measurer = PoolMeasurer(Options().target, 1, cluster.ClusterPools(running.address, HERE))
    for worker in running.workers:
        worker.kill()
        worker.wait()
    with pytest.raises(ClusterError, match="are gone"):
        measurer.measure(task, [None], None)


def test_workers_of_another_target_measure_nothing(running: Cluster) -> None:
    with pytest.raises(ClusterError, match=f"no worker is a other; there is a {HERE}"):
        cluster.ClusterPools(running.address, "other")


def test_a_cluster_is_started_here(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ansorc.tools.tune", "op", "matmul-32", "--trials", "6", "--threads", "1"]
    records = ["--records", str(tmp_path / "r.db")]
    done = subprocess.run([*command, *records, "--local-cluster", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6 trials in" in done.stdout
    assert "Traceback" not in done.stderr
    for wrong, said in (("tcp://127.0.0.1:1", "no scheduler answers"), ("local:0", "a number of workers")):
        refused = subprocess.run([*command, *records, "--cluster", wrong], capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
