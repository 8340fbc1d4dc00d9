"""How many threads a library runs on: who says so, that they are there, and that they end; never a deadlock."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from onnx_cases import graph_model
from programs_for_threads import PROGRAMS

import ansorc
from ansorc.runtime.errors import RunFailedError

pytestmark = pytest.mark.alone

HERE = Path(__file__).parent
SIZE = 192
TIMEOUT_S = 60
CORES = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A library of several parallel steps, checked once, and its input."""
    folder = tmp_path_factory.mktemp("threads")
    generator = np.random.default_rng(5)
    x, first, second = (generator.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(3))
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["c"]),
        helper.make_node("Softmax", ["c"], ["d"]),
        helper.make_node("Transpose", ["d"], ["y"], perm=[1, 0]),
    ]
    model = ansorc.compile(graph_model(nodes, {"x": x}, ["y"], {"first": first / SIZE, "second": second}))
    library, given = folder / "threads.so", folder / "x.npy"
    model.save(library)
    np.save(given, x)
    powers = np.exp(np.maximum(x.astype(np.float64) @ (first / SIZE), 0) @ second)
    expected = (powers / powers.sum(1, keepdims=True)).T
    assert abs(model.run({"x": x})["y"] - expected).max() < 1e-5 * expected.max()
    return library, given


def run_program(name: str, files: tuple[Path, Path], **environment: str) -> str:
    """Run one of `programs_for_threads.py`; a deadlock ends by the time limit."""
    paths = os.pathsep.join([*sys.path, str(HERE)])
    done = subprocess.run(
        [sys.executable, HERE / "programs_for_threads.py", name, *files],
        env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "say_threads"])
def test_bits_and_threads(name: str, files: tuple[Path, Path]) -> None:
    run_program(name, files)


@pytest.mark.parametrize(("text", "threads"), [("3", 3), (" 3", 3), ("1", 1), ("5000", 1024)])
def test_the_environment_sets_the_threads(text: str, threads: int, files: tuple[Path, Path]) -> None:
    default, running, chosen, reset = run_program("say_threads", files, ANSORC_NUM_THREADS=text).split()
    assert (int(default), int(chosen), int(reset)) == (threads, 2, threads)
    assert int(running) == threads or threads > SIZE  # never more threads than chunks


@pytest.mark.parametrize("text", ["", "0", "-2", "many", "2x", "1e1"])
def test_a_bad_value_in_the_environment_is_ignored(text: str, files: tuple[Path, Path]) -> None:
    default, _, chosen, reset = run_program("say_threads", files, ANSORC_NUM_THREADS=text).split()
    assert (int(default), int(chosen), int(reset)) == (CORES, 2, CORES)


def test_the_cores_are_those_of_the_affinity_mask(files: tuple[Path, Path]) -> None:
    core = min(os.sched_getaffinity(0))
    program = (
        "import os, sys, ansorc; os.sched_setaffinity(0, {int(sys.argv[2])});print(ansorc.load(sys.argv[1]).threads)"
    )
    environment = {**os.environ, "ANSORC_NUM_THREADS": ""}
    command = [sys.executable, "-c", program, str(files[0]), str(core)]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "1\n"


def test_the_environment_goes_before_the_threads_of_the_compiler(files: tuple[Path, Path], tmp_path: Path) -> None:
    proto = graph_model([helper.make_node("Relu", ["x"], ["y"])], {"x": np.load(files[1])}, ["y"])
    ansorc.compile(proto, threads=7).save(tmp_path / "seven.so")
    pair = (tmp_path / "seven.so", files[1])
    assert run_program("say_threads", pair, ANSORC_NUM_THREADS="").split()[0] == "7"
    assert run_program("say_threads", pair, ANSORC_NUM_THREADS="3").split()[0] == "3"


@pytest.mark.parametrize("threads", [-1, 1025, -(2**31)])
def test_set_threads_refuses_what_is_out_of_range(threads: int, files: tuple[Path, Path]) -> None:
    model = ansorc.load(files[0])
    model.set_threads(2)
    with pytest.raises(RunFailedError, match=f"{threads} is not between 0 and 1024"):
        model.set_threads(threads)
    assert model.threads == 2
    model.set_threads(0)
