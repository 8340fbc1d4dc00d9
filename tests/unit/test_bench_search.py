"""`ansorc-bench search`: every way is tried, and what they found is compared."""

import subprocess
import sys
from math import inf
from pathlib import Path

import onnx
import pytest

from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.tools.bench_search import Curve, Searched, draw, table
from ansorc.tools.workloads import Dense

pytestmark = pytest.mark.alone


def test_policies_and_schedulers_are_compared(tmp_path: Path) -> None:
    onnx.save(Dense("D", 24, 32, 64, activation="relu").case(1).model, tmp_path / "layer.onnx")
    names = ("matmul-32", str(tmp_path / "layer.onnx"))
    options = (
        "--trials",
        "12",
        "--policies",
        "evolution,random",
        "--threads",
        "1",
        "--no-defaults",
        "--at",
        "8",
        "--at",
        "0",
    )
    command = [sys.executable, "-m", "ansorc.tools.bench", "search", *names, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:4] == ["best", "ms", "evolution", "random"]
    assert lines[1].endswith("evolution at 8  random at 8  no trials")
    assert lines[2].startswith("matmul-32 ")
    assert lines[4].split()[:4] == ["best", "ms", "gradient", "round-robin"]
    assert "is reached by gradient after" in lines[-1]


def _curve(*best: float) -> Curve:
    return Curve([8 * (k + 1) for k in range(len(best))], [1.0 + k for k in range(len(best))], [*best])


def test_curves_and_tables(tmp_path: Path) -> None:
    good, bad = _curve(4.0, 2.0, 1.0), _curve(5.0, 4.0, 2.0)
    assert good.at(7, of="trials") is None
    assert good.at(16, of="trials") == 2.0
    assert good.at(1.5, of="elapsed") == 4.0
    assert bad.reaches(4.0) == 2.0
    assert bad.reaches(1.0) is None
    fast, slow, broken = (Candidate(Sketch("loops", (), (8,), ()), (("chunk_0", k),)) for k in range(3))
    tried = [("t", slow, 3.0), ("u", fast, 1.0), ("t", broken, inf), ("t", fast, 2.0)]
    curve = Curve(tried=tried)
    assert curve.fastest("t", 3) == [slow]
    assert curve.fastest("t", 4) == [fast, slow]
    found = [Searched("a", {"x": 1.0, "y": 2.0}, {"x": good, "y": bad}), Searched("b", {"x": 2.0, "y": 1.0}, {})]
    assert found[0].relative("y") == 0.5
    lines = table(found)
    assert lines[1].split() == ["a", "1000.0000", "1.00", "0.50"]
    assert [float(v) for v in lines[-1].split()[2:]] == pytest.approx([0.707, 0.707])
    pytest.importorskip("matplotlib")
    draw(found[:1], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such-workload",), "unknown workload 'no-such-workload'"),
        (("matmul-32", "--policies", "best"), "policy is 'best': expected one of"),
        (("matmul-32", "--at", "200"), "--at is 200: expected at most --trials, 100"),
        (("matmul-32", "--trials", "3"), "--trials is 3: expected at least 4: matmul-32 has 1 tasks"),
    ],
)
def test_mistakes_are_messages(arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "ansorc.tools.bench", "search", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
