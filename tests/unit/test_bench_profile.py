"""`ansorc-bench profile`: every call of a running network is timed, and the network computes what it always does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import graph_model

import ansorc
from ansorc.compiler.assemble import assemble
from ansorc.compiler.driver import compile_to_file, read, to_tasks
from ansorc.compiler.measuring.running_network import RunningNetwork
from ansorc.compiler.options import Options
from ansorc.compiler.tasks import compile_tasks
from ansorc.tools.bench_profile import CallFigures, NetworkProfile, between, lines

pytestmark = pytest.mark.alone

X = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) / 4096


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Two products with different weights, which share a task, and a softmax."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["y"]),
    ]
    return graph_model(nodes, {"x": X}, ["y"], {"w": X, "v": 1 - X})


@pytest.mark.parametrize("threads", [1, 2])
def test_clocks_change_nothing_and_calls_follow_each_other(
    model: onnx.ModelProto, threads: int, tmp_path: Path
) -> None:
    options = Options(threads=threads, use_cache=False, fuse_chains="never")
    source = to_tasks(read(model, options), options)
    tasks = compile_tasks(source, "object", options).tasks
    assembly = assemble(source, {name: t.facts for name, t in tasks.items()}, threads)
    running = RunningNetwork(source, tasks, assembly, options.target, clocks=True)
    assert running.run(threads) > 0
    compile_to_file(model, options, tmp_path / "y.so", "so")
    expected = ansorc.load(tmp_path / "y.so").run({"x": running.inputs[0]})
    np.testing.assert_array_equal(running.outputs[0], expected["y"])
    calls = running.calls()
    assert len(calls) == len(assembly.memory.calls) == 3
    begin, end, busy = calls.T
    assert (begin < end).all()
    assert (end[:-1] <= begin[1:]).all()
    assert (busy > 0).all()
    assert (busy <= threads * (end - begin)).all()


def test_a_call_that_takes_longer_once_lies_in_no_gap() -> None:
    began = np.array([[0, 13], [0, 13], [0, 93]])
    ended = np.array([[10, 20], [10, 100], [90, 100]])
    assert between(began, ended) == 3
    assert between(began[:, :1], ended[:, :1]) == 0


def test_a_profile_adds_up() -> None:
    calls = (
        CallFigures("task_a", "register-tile", "8x8 / 8", 2.0, 1.0, 0.75, fma_ms=0.5, copied_bytes=40_000),
        CallFigures("task_b", "loops", "", ms=6.0, bound_ms=1.0, busy=1.0, moved_bytes=3_000_000),
    )
    profile = NetworkProfile("net", 2, calls, total_ms=10.0, plain_ms=9.5, between_ms=1.5, limits="")
    text = lines(profile)
    assert text[1].split() == ["2.0000", "20.0", "1.0000", "50%", "75%", "task_a", "register-tile", "8x8", "/", "8"]
    assert text[3] == "2 calls 8.000 ms, their bounds 2.000 ms (25%), their arithmetic 0.500 ms"
    moved = "moved only to be moved: 3.00 MB by 1 calls, 6.000 ms (60.0%)"
    assert text[4] == f"{moved}; copied within others: 0.04 MB by 1"
    assert text[5] == "between them 1.500 ms (15.0%)"
    assert text[6] == "net: 10.000 ms; without clocks 9.500 ms"
    assert "task_b" in lines(profile, by_time=True)[1]


def test_the_command_prints_every_call(model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(model, tmp_path / "net.onnx")
    command = [
        sys.executable,
        "-m",
        "ansorc.tools.bench",
        "profile",
        str(tmp_path / "net.onnx"),
        "--runs",
        "3",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["total_ms"] >= sum(c["ms"] for c in found["calls"]) * 0.9  # medians of each
    assert 0 <= found["between_ms"] <= found["total_ms"] - min(c["ms"] for c in found["calls"])
    assert all(c["ms"] > 0 and c["bound_ms"] >= c["fma_ms"] > 0 for c in found["calls"])
