"""`ansorc-bench`."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ansorc.tools import measure
from ansorc.tools.bench_networks import NetworkFigures, draw, heading, line
from ansorc.tools.measure import interleave, missing, relative_error
from ansorc.tools.network_engines import ENGINES, PACKAGES
from ansorc.tools.workloads_convolution import Convolution

pytestmark = pytest.mark.alone


def test_the_error_is_relative_to_the_largest_magnitude() -> None:
    expected = np.array([-4.0, 1.0], np.float32)
    assert relative_error(expected, expected) == 0
    assert relative_error(np.array([-4.0, 1.5], np.float32), expected) == 0.125
    assert relative_error(np.array([np.nan, 1.0], np.float32), expected) == float("inf")


def test_runs_alternate() -> None:
    calls: list[str] = []
    interleave([lambda: calls.append("a"), lambda: calls.append("b")])
    switches = sum(a != b for a, b in itertools.pairwise(calls))
    assert calls.count("a") == calls.count("b")
    assert switches >= 3


def test_blocks_are_filled_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PAUSE_SECONDS", 0)
    clock = itertools.count()
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))
    calls: list[str] = []
    times = interleave([lambda: calls.append("a"), lambda: calls.append("b")], 2, 10.0, 20.0)
    assert times == [1000.0, 1000.0]  # each call takes a tick of the clock
    assert calls.count("a") == calls.count("b")
    assert calls.count("a") >= 2 * (2 + 10)


def test_other_processes_load_is_not_negative() -> None:
    load = measure.OtherLoad()
    assert 0 <= load.cores() < 10_000


def test_what_is_disturbed_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempts(*loads: float) -> tuple[int, float]:
        calls, cores = itertools.count(), iter(loads)
        monkeypatch.setattr(measure.OtherLoad, "cores", lambda _: next(cores))
        return measure.undisturbed(lambda: next(calls))

    assert attempts(0.01) == (0, 0.01)
    assert attempts(0.9, 0.02) == (1, 0.02)
    assert attempts(0.9, 0.5, 0.7) == (1, 0.5)


def test_a_network_is_a_line_with_every_engine() -> None:
    peers = {"onnxruntime": 4.0, "torch": 9.0}
    figures = NetworkFigures("net_b16", 16, 1e-6, 2.0, peers, 2.0, 3.0, 1.0, 100.0, 10.0, 11.0, 1.5, 0.0, 410.0)
    width = len(figures.network)
    title, text = heading(list(peers), width), line(figures, width)
    assert len(title) == len(text)
    assert text.split()[:6] == ["net_b16", "16", "1.0e-06", "2.00", "4.00", "9.00"]
    disturbed = line(replace(figures, busy_cores=0.6), width)
    assert disturbed.startswith(text)
    assert disturbed.endswith("others kept 0.6 cores busy")


def test_a_picture_of_networks(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = NetworkFigures(
        "net", 1, 1e-6, 2.0, {"onnxruntime": 4.0}, 2.0, 3.0, 1.0, 100.0, 10.0, 11.0, 1.5, 0.0, 410.0
    )
    draw([figures, figures], tmp_path / "networks.png")
    assert (tmp_path / "networks.png").read_bytes().startswith(b"\x89PNG")


def test_engines_compute_the_same_network(tmp_path: Path) -> None:
    """Each peer that is installed, on a convolution and a product."""
    model = Convolution("C2D", (8, 8), 3, 4, 3, 1, 1).case(1).peer_model
    path = tmp_path / "small.onnx"
    onnx.save(model, path)
    inputs = {i.name: np.random.default_rng(0).standard_normal([d.dim_value for d in i.type.tensor_type.shape.dim])
              .astype(np.float32) for i in model.graph.input}  # fmt: skip
    expected = np.asarray(ENGINES["onnxruntime"](path, inputs, 1)()[0])
    others = [n for n in ENGINES if not missing(PACKAGES[n])]
    if others[-1] == "onnxruntime":
        pytest.skip("no other engine is installed")
    for name in others:
        np.testing.assert_allclose(np.asarray(ENGINES[name](path, inputs, 1)()[0]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_networks_are_compiled_compared_and_timed(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 16])],
        [weight],
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-m", "ansorc.tools.bench", "networks", str(path)]
    runs = [
        subprocess.run([*arguments, *form], env=environment, capture_output=True, text=True, check=True).stdout
        for form in (["--json"], [])
    ]
    figures = json.loads(runs[0])
    assert figures["network"] == "tiny"
    assert figures["error"] < 1e-5
    assert figures["batch"] == 8
    assert figures["speedup"] == pytest.approx(figures["peers_ms"]["onnxruntime"] / figures["ours_ms"])
    assert figures["peak_mb"] > 50
    assert figures["cached_s"] > 0
    assert "vectors of" in runs[1]
    assert "geometric mean of the best peer over ours" in runs[1]
