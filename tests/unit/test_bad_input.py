"""Bad input: one clear message, exit code 1, no traceback, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import ansorc
from ansorc.compiler.errors import NothingToTuneError, UnusableRecordsError
from ansorc.tools.networks.seeded import load_network, network_path

pytestmark = pytest.mark.alone


def model(nodes: list[onnx.NodeProto], shape: list[int | str], *weights: onnx.TensorProto) -> onnx.ModelProto:
    """A model from input x of `shape` to output y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def relu(shape: list[int | str]) -> onnx.ModelProto:
    return model([helper.make_node("Relu", ["x"], ["y"], name="relu")], shape)


def refused(folder: Path, *arguments: object, **environment: str) -> str:
    """Run `ansorc` where it must refuse; return what it said."""
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "ansorc", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("ansorc: error: ")
    assert sorted(folder.rglob("*")) == before
    return done.stderr


def test_files_that_are_not_models(tmp_path: Path) -> None:
    assert "no such model file" in refused(tmp_path, "none.onnx", "-o", "y.so")
    (tmp_path / "text.onnx").write_text("hello world")
    assert "not an ONNX model" in refused(tmp_path, "text.onnx", "-o", "y.so")
    (tmp_path / "empty.onnx").touch()
    assert "empty" in refused(tmp_path, "empty.onnx", "-o", "y.so")
    onnx.save(load_network(network_path("bert_tiny_b1")), tmp_path / "cut.onnx")
    content = (tmp_path / "cut.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    assert "cut off" in refused(tmp_path, "cut.onnx", "-o", "y.so")


def test_all_nodes_that_are_not_supported_are_listed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Hardmax", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Det", ["b"], ["y"], name="second"),
    ]
    onnx.save(model(nodes, [3, 3]), tmp_path / "m.onnx")
    said = refused(tmp_path, "m.onnx", "-o", "y.so")
    for word in ("'first'", "Hardmax", "'second'", "Det", "opset 17", "ai.onnx"):
        assert word in said
    assert "'fine'" not in said


def test_shapes(tmp_path: Path) -> None:
    onnx.save(relu(["N", 3]), tmp_path / "m.onnx")
    assert "--shape x=1x3" in refused(tmp_path, "m.onnx", "-o", "y.so")
    assert "contradicts" in refused(tmp_path, "m.onnx", "-o", "y.so", "--shape", "x=2x4")
    assert "no such input" in refused(tmp_path, "m.onnx", "-o", "y.so", "--shape", "z=2x3")
    assert "expected NAME=SIZE" in refused(tmp_path, "m.onnx", "-o", "y.so", "--shape", "x=2by3")
    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    onnx.save(model([helper.make_node("MatMul", ["x", "w"], ["y"])], [2, "K"], weight), tmp_path / "fit.onnx")
    assert "do not fit" in refused(tmp_path, "fit.onnx", "-o", "y.so", "--shape", "x=2x5")


def test_graphs_that_are_no_dags(tmp_path: Path) -> None:
    cycle = [helper.make_node("Add", ["x", "y"], ["a"], name="n1"), helper.make_node("Relu", ["a"], ["y"], name="n2")]
    onnx.save(model(cycle, [3]), tmp_path / "cycle.onnx")
    assert "cycle" in refused(tmp_path, "cycle.onnx", "-o", "y.so")
    onnx.save(model([helper.make_node("Add", ["x", "lost"], ["y"], name="n")], [3]), tmp_path / "dangling.onnx")
    assert "'lost'" in refused(tmp_path, "dangling.onnx", "-o", "y.so")


def test_external_data(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((30, 40), np.float32), "w")
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [2, 30], weight)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    outside = (tmp_path / "m.onnx").read_bytes().replace(b"m.data", b"../dat")
    (tmp_path / "outside.onnx").write_bytes(outside)
    assert "outside the model's folder" in refused(tmp_path, "outside.onnx", "-o", "y.so")
    assert next(iter(ansorc.compile(tmp_path / "m.onnx").run({"x": np.ones((2, 30), np.float32)}).values()))[0, 0] == 30
    (tmp_path / "m.data").unlink()
    assert "no such file" in refused(tmp_path, "m.onnx", "-o", "y.so")


def test_outputs_and_options(tmp_path: Path) -> None:
    onnx.save(relu([2, 3]), tmp_path / "m.onnx")
    assert "no folder" in refused(tmp_path, "m.onnx", "-o", "none/y.so")
    assert "cannot write" in refused(tmp_path, "m.onnx", "-o", "/proc/y.so")
    assert "is a folder" in refused(tmp_path, "m.onnx", "-o", tmp_path)
    said = refused(tmp_path, "m.onnx", "-o", "y.so", "--target", "skylake-avx51")
    assert "skylake-avx512" in said
    assert "neoverse-n1" in said
    assert "not available yet" in refused(tmp_path, "m.onnx", "-o", "y.so", "--target", "cuda:sm_90")
    assert "1 to 1024" in refused(tmp_path, "m.onnx", "-o", "y.so", "--threads", "0")


def test_no_linker_at_all(tmp_path: Path) -> None:
    onnx.save(relu([2, 3]), tmp_path / "m.onnx")
    (tmp_path / "ziglang.py").write_text("raise ImportError")
    program = (
        "import importlib.util as u; old = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'ziglang' else old(name, *a);"
        "import sys; sys.argv = ['ansorc', 'm.onnx', '-o', 'y.so'];"
        "from ansorc.tools.ansorc import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path), "CC": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no linker" in done.stderr
    assert "ansorc[zig]" in done.stderr
    assert not (tmp_path / "y.so").exists()


def test_records_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnusableRecordsError, match="no such file"):
        ansorc.compile(relu([2]), records=tmp_path / "records.db")
    assert not (tmp_path / "records.db").exists()


def test_nothing_to_tune() -> None:
    with pytest.raises(NothingToTuneError, match="none of its 1 tasks"):
        ansorc.compile(relu([2]), trials=10)


def test_nan_and_infinity_flow_through() -> None:
    compiled = ansorc.compile(relu([1, 4]))
    result = next(iter(compiled.run({"x": np.float32([[np.nan, np.inf, -np.inf, -1]])}).values()))
    assert np.isnan(result[0, 0])
    assert result[0, 1:].tolist() == [np.inf, 0, 0]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    onnx.save(load_network(network_path("mobilenet_v2_b1")), tmp_path / "m.onnx")
    marker = f"ansorc-test-{os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "ansorc", "m.onnx", "-o", "y.so", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "MARKER": marker},
        stderr=subprocess.PIPE,
    )
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    time.sleep(0.2)
    left: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in entry.read_bytes():
                left.append(entry.parent.name)
        except OSError:
            continue
    assert not left
