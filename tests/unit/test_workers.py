"""Worker processes: results in order, deaths contained, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansorc.compiler.workers import Job, JobResult, run_jobs

pytestmark = pytest.mark.alone

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _jobs_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _pid_in(path: Path) -> int:
    for _ in range(200):
        if path.exists() and (text := path.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError("the job did not start")


def test_results_are_in_job_order_and_progress_sees_each() -> None:
    seen: list[JobResult] = []
    jobs = [Job(f"j{i}", i) for i in range(7)]
    results = run_jobs("jobs_for_workers:square", jobs, 2, seen.append)
    assert [r.value for r in results] == [i * i for i in range(7)]
    assert sorted(r.name for r in seen) == [job.name for job in jobs]


def test_no_jobs_start_no_process() -> None:
    assert run_jobs("no_such_module:f", [], 4) == []


def test_a_death_fails_only_its_job() -> None:
    kinds = ["fine", "abort", "raise", "exit", "unpicklable", "also fine"]
    results = run_jobs("jobs_for_workers:misbehave", [Job(k, k) for k in kinds], 1)
    by_name = {r.name: r for r in results}
    assert by_name["fine"].value == "fine"
    assert by_name["also fine"].value == "also fine"
    abort, exit_, raised = (by_name[k].failure for k in ("abort", "exit", "raise"))
    assert abort is not None
    assert abort.crashed
    assert "SIGABRT" in abort.reason
    assert "cannot select" in abort.detail
    assert exit_ is not None
    assert "code 7" in exit_.reason
    assert raised is not None
    assert raised.reason == "ValueError: no such thing"
    assert not raised.crashed
    assert by_name["unpicklable"].failure is not None


def test_an_exception_in_progress_kills_the_workers(tmp_path: Path) -> None:
    def stop(result: JobResult) -> None:
        raise RuntimeError("enough")

    pid_file = tmp_path / "pid"
    jobs = [Job("long", str(pid_file)), Job("bad", str(tmp_path / "no" / "such"))]
    with pytest.raises(RuntimeError, match="enough"):
        run_jobs("jobs_for_workers:sleep_with_pid", jobs, 2, stop)
    if pid_file.exists() and pid_file.read_text():
        assert _gone(int(pid_file.read_text()))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_children_go_with_the_parent(tmp_path: Path, sent: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    # No main guard: workers must not run the user's script again.
    script = tmp_path / "script.py"
    script.write_text(
        "from ansorc.compiler.workers import Job, run_jobs\n"
        f"run_jobs('jobs_for_workers:sleep_with_pid', [Job('x', {str(pid_file)!r})], 1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    parent = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    child = _pid_in(pid_file)
    parent.send_signal(sent)
    parent.wait(timeout=10)
    for _ in range(100):
        if _gone(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")
