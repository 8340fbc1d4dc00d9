"""The thread pool inside a library: forks, unloading, more threads than cores, several callers.

Every scenario runs in a process of its own: a deadlock or a crash fails that test alone.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import ansorc
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.target import parse_target
from ansorc.runtime import linking

pytestmark = pytest.mark.alone

PRELUDE = """
import os, sys, threading
import numpy as np
import ansorc
path = sys.argv[1]
model = ansorc.load(path)
x = {"x": np.random.default_rng(0).standard_normal((1, 32, 40, 40)).astype(np.float32)}
def bits(model=model):
    return b"".join(v.tobytes() for v in model.run(x).values())
def threads():
    return len(os.listdir("/proc/self/task"))
"""

SCENARIOS = {
    "fork": """
        model.set_threads(2)
        expected = bits()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if bits() == expected and bits() == expected else 1)
            assert bits() == expected
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """,
    "fork_before_the_first_run": """
        model.set_threads(2)
        child = os.fork()
        mine = bits()
        if child == 0:
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """,
    "unload": """
        import _ctypes, gc
        model.set_threads(1)
        expected = bits()
        before = threads()
        for _ in range(20):
            other = ansorc.load(sys.argv[2])  # another file: dlopen would give the same library again
            other.set_threads(4)
            assert bits(other) == expected
            handle = other._library._handle
            del other
            gc.collect()
            _ctypes.dlclose(handle)
        assert threads() == before, (threads(), before)
        assert bits() == expected
    """,
    "more_threads_than_cores": """
        model.set_threads(1)
        expected = bits()
        for count in (16, 2, 64, 3):
            model.set_threads(count)
            assert model.threads == count
            for _ in range(10):
                assert bits() == expected
    """,
    "two_callers": """
        model.set_threads(2)
        expected = bits()
        wrong = []
        def call():
            for _ in range(50):
                if bits() != expected:
                    wrong.append(1)
        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers: caller.start()
        for caller in callers: caller.join()
        assert not wrong
    """,
    "two_libraries": """
        other = ansorc.load(sys.argv[2])
        model.set_threads(2)
        other.set_threads(3)
        expected = bits()
        for _ in range(20):
            assert bits() == expected == bits(other)
    """,
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    generator = np.random.default_rng(0)
    weight = numpy_helper.from_array(generator.standard_normal((64, 32, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 40, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    model = ansorc.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    folder = tmp_path_factory.mktemp("libraries")
    paths = [folder / "one.so", folder / "two.so"]
    for path in paths:
        model.save(path)
    return [str(path) for path in paths]


STEPS_THAT_GO = """
import ctypes, sys
libc = ctypes.CDLL(None)
run = ctypes.CDLL(sys.argv[1]).ansorc_timer_run
run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_int, ctypes.c_int64]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
for _ in range(200):
    page = libc.mmap(None, 4096, 3, 0x22, -1, 0)  # private, anonymous, to read and write
    gone = call(lambda bases, lo, hi: libc.munmap(page, 4096) and None)
    table = (ctypes.c_int64 * 6).from_address(page)
    table[:] = [ctypes.cast(libc.getpid, ctypes.c_void_p).value, 64, 1, ctypes.cast(gone, ctypes.c_void_p).value, 1, 1]
    run(page, 2, None, 0, 1, 0, 16, 1)
"""
"""Many threads take a parallel step, and the caller a last one, after which there are no steps any more."""

CALLS = """
import ctypes, sys
run = ctypes.CDLL(sys.argv[1]).ansorc_timer_run
run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_int, ctypes.c_int64]
call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
def calls_of(columns, rows, threads):
    calls = []
    note = call(lambda _, lo, hi: calls.append((lo, hi)))
    step = (ctypes.c_int64 * 3)(ctypes.cast(note, ctypes.c_void_p).value, columns * rows, columns)
    run(step, 1, None, 0, 1, 0, threads, 1)
    return sorted(calls)
"""
"""What a parallel step of so many columns and rows of chunks calls: who calls it depends on who is late."""

EVERY_CHUNK_ONCE = """
for columns, rows, threads in ((1, 1, 2), (1, 13, 3), (5, 1, 2), (3, 7, 2), (8, 7, 3), (17, 4, 4), (2, 64, 5)):
    calls = calls_of(columns, rows, threads)
    done = sorted(chunk for lo, hi in calls for chunk in range(lo, hi))
    assert done == list(range(columns * rows)), (columns, rows, threads, calls)
    assert threads == 1 or all(lo // rows == (hi - 1) // rows for lo, hi in calls), (columns, rows, threads, calls)
"""

SHARES_ARE_ROWS = """
assert calls_of(columns=8, rows=2, threads=2) == [(chunk, chunk + 1) for chunk in range(16)]  # a row each
begins = [0, 4, 5, 6, 10, 14, 15, 16, 20]  # five rows each, of which four come first, and what may be taken last
assert calls_of(columns=2, rows=10, threads=2) == list(zip(begins, begins[1:]))
begins = [0, 6, 7, 8, 9, 10, 16]
assert calls_of(columns=1, rows=16, threads=2) == list(zip(begins, begins[1:]))
"""
"""Shares that were columns would be called in blocks of six chunks, from first to last."""


def test_every_chunk_is_computed_once_in_calls_of_one_column() -> None:
    assert _with_timer(CALLS + EVERY_CHUNK_ONCE) == ""


def test_threads_share_rows() -> None:
    assert _with_timer(CALLS + SHARES_ARE_ROWS) == ""


def test_nobody_looks_at_steps_once_they_are_done() -> None:
    assert _with_timer(STEPS_THAT_GO) == ""


def _with_timer(script: str) -> str:
    """Run a script on the library that times kernels; return what went wrong."""
    triple = parse_target("native").triple
    timer = linking.timer_library(linking.find_linker(triple, True), triple, read_knobs().cache_dir)
    arguments = [sys.executable, "-c", script, str(timer)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else done.stderr or str(done.returncode)


def _run(script: str, libraries: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    arguments = [sys.executable, "-W", "ignore", "-c", script, *libraries]
    return subprocess.run(arguments, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, libraries: list[str]) -> None:
    lines = [line[8:] for line in SCENARIOS[scenario].splitlines()]
    done = _run(PRELUDE + "\n".join(lines), libraries)
    assert done.returncode == 0, done.stderr


def test_the_environment_sets_the_threads(libraries: list[str], tmp_path: Path) -> None:
    done = _run(PRELUDE + "print(model.threads)", libraries, ANSORC_NUM_THREADS="5")
    assert done.stdout.strip() == "5"
    cores = len(os.sched_getaffinity(0))
    for nonsense in ("0", "-3", "many", ""):
        done = _run(PRELUDE + "bits(); print(model.threads)", libraries, ANSORC_NUM_THREADS=nonsense)
        assert (done.returncode, done.stdout.strip()) == (0, str(cores)), nonsense
