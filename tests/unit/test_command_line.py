"""What the command prints, besides errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

from ansorc import __version__

LIMIT = 1 << 31


def _ansorc(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "ansorc", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_help_shows_examples() -> None:
    done = _ansorc("--help")
    assert done.returncode == 0
    assert "ansorc model.onnx -o model.so" in done.stdout
    for option in ("--target", "--threads", "--shape", "--emit", "--dump-dir", "--exact", "--no-cache", "--version"):
        assert option in done.stdout


def test_version() -> None:
    done = _ansorc("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"ansorc {__version__} (MLIR bindings ")


def test_no_argument_shows_how() -> None:
    done = _ansorc()
    assert done.returncode != 0
    assert "Usage: ansorc" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("--nonsense",), ("m.onnx", "--emit", "nothing"), ("m.onnx", "n.onnx")])
def test_a_wrong_call_ends_with_code_2(arguments: tuple[str, ...]) -> None:
    done = _ansorc(*arguments)
    assert done.returncode == 2
    assert "Usage: ansorc" in done.stderr
    assert arguments[-1] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [8]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    path = tmp_path / "model.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_last_line_sums_up(model: Path) -> None:
    library = model.with_suffix(".so")
    done = _ansorc(str(model), "-o", str(library))
    assert done.returncode == 0, done.stderr
    line, plan = done.stderr.strip().splitlines()
    assert line.startswith(f"{library}: 1 tasks")
    for word in ("weights", "size", " s"):
        assert word in line
    assert "memory" in plan
    assert library.with_suffix(".h").exists()


def test_verbose_says_the_steps(model: Path) -> None:
    done = _ansorc(str(model), "-o", str(model.with_suffix(".so")), "-v")
    assert done.returncode == 0
    assert len(done.stderr.strip().splitlines()) >= 4


def test_a_model_over_two_gigabytes_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(LIMIT + 1)  # sparse: it takes no space
    done = _ansorc(str(path), "-o", str(tmp_path / "large.so"))
    assert done.returncode == 1
    assert "2 GiB" in done.stderr
    assert "external data" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [path]
