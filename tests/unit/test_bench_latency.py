"""`ansorc-bench latency`: percentiles are those of the calls, and instances run side by side."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import graph_model

from ansorc.tools.bench_latency import Latency, lines, tail_of

pytestmark = pytest.mark.alone

X = np.ones((32, 32), np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("latency") / "product.onnx"
    onnx.save(graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": X}, ["y"], {"w": X}), path)
    return path


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ansorc.tools.bench", "latency", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_calls_are_timed_on_all_threads_and_on_one(model: Path) -> None:
    done = _run(str(model), "--calls", "200", "--threads", "2", "--json")
    assert done.returncode == 0, done.stderr
    measured = Latency(**json.loads(done.stdout))
    assert (measured.network, measured.threads, measured.calls) == ("product", 2, 200)
    times = list(measured.percentiles_ms.values())
    assert list(measured.percentiles_ms) == ["50", "90", "99", "99.9"]
    assert times == sorted(times)
    assert times[0] > 0
    assert measured.one_thread_ms > 0
    assert measured.all_threads_ms > 0
    assert measured.instances_a_second > 1
    assert measured.arithmetic_tail >= 1


def test_other_runtimes_have_their_turns(model: Path) -> None:
    done = _run(str(model), "--calls", "150", "--peer", "onnxruntime", "--json")
    assert done.returncode == 0, done.stderr
    ours, peers = (json.loads(done.stdout)[name] for name in ("percentiles_ms", "peers_ms"))
    assert list(peers) == ["onnxruntime"]
    assert list(peers["onnxruntime"]) == list(ours)
    assert all(0 < low <= high for low, high in itertools.pairwise(peers["onnxruntime"].values()))


def test_lines_say_how_long_the_tail_is() -> None:
    percentiles = {"50": 2.0, "90": 2.2, "99": 2.5, "99.9": 4.0}
    peers = {"other": {"50": 3.0, "90": 4.0, "99": 6.0, "99.9": 7.0}}
    measured = Latency("net", 2, 1000, percentiles, 3.8, 2.0, 520.0, 0.01, 1.2, 410.0, peers)
    first, peer, arithmetic, threads, instances = lines(measured)
    assert first.endswith("median 2.000 ms, p90 2.200, p99 2.500, p99.9 4.000 ms; p99 1.25 times the median")
    assert peer == "other: median 3.000 ms, p90 4.000, p99 6.000, p99.9 7.000 ms; p99 2.00 times the median"
    assert arithmetic.startswith("arithmetic alone that takes as long: p99 1.20 times the median")
    assert "an empty parallel step takes 410 ns" in arithmetic
    assert "1.90 times as fast" in threads
    assert "520.0 calls a second; one of 2 threads: 500.0" in instances


def test_a_call_is_as_slow_as_its_slowest_thread() -> None:
    steady, other = [1.0] * 100, [1.0] * 98 + [3.0] * 2
    assert tail_of([steady, steady]) == pytest.approx(1.0)
    assert tail_of([steady, other]) == pytest.approx(3.0)
    assert tail_of([other, other[::-1]]) == pytest.approx(3.0)


def test_few_calls_have_no_percentiles(model: Path) -> None:
    done = _run(str(model), "--calls", "5")
    assert done.returncode != 0
    assert "100" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_compiled_library_is_what_it_is(tmp_path: Path) -> None:
    library = tmp_path / "x.so"
    library.write_bytes(b"")
    for option in (["--records", "r.db"], ["--peer", "onnxruntime"]):
        done = _run(str(library), *option)
        assert done.returncode != 0
        assert f"{option[0]}: " in done.stderr
        assert "give its ONNX file" in done.stderr
