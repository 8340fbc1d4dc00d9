"""Programs that the tests of thread counts run in processes of their own: NAME LIBRARY INPUT.

Each compares whole runs, bit by bit, with a run on one thread.
"""

import _ctypes
import ctypes
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np

import ansorc


def only(model: ansorc.CompiledModel, x: np.ndarray) -> np.ndarray:
    return model.run({"x": x})["y"]


def serial(library: str, x: np.ndarray) -> tuple[ansorc.CompiledModel, np.ndarray]:
    """The model, and what it computes on one thread."""
    model = ansorc.load(library)
    model.set_threads(1)
    return model, only(model, x)


def running_threads() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Threads:"))


def check(model: ansorc.CompiledModel, x: np.ndarray, expected: np.ndarray, runs: int = 20) -> None:
    for _ in range(runs):
        assert np.array_equal(only(model, x), expected)


def workers_start(library: str, x: np.ndarray) -> None:
    """The threads are really there: what the other programs test is not the serial path."""
    model, expected = serial(library, x)
    before = running_threads()
    for threads in (2, 5):
        model.set_threads(threads)
        check(model, x, expected)
        assert running_threads() == before + threads - 1


def fork_in_a_run(library: str, x: np.ndarray) -> None:
    """A fork while another thread runs: the child's copy of the busy pool is usable."""
    model, expected = serial(library, x)
    model.set_threads(2)
    stop = threading.Event()

    def run_on() -> None:
        while not stop.is_set():
            only(model, x)

    runner = threading.Thread(target=run_on)
    runner.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                check(model, x, expected, 2)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    runner.join()
    check(model, x, expected)


def unload(library: str, x: np.ndarray) -> None:
    """Load, run and unload twenty times: the workers end with the library, and its memory is unmapped."""
    y, out = np.empty_like(x), np.empty_like(x)
    ins, outs = (ctypes.c_void_p * 1)(x.ctypes.data), (ctypes.c_void_p * 1)(out.ctypes.data)
    before = running_threads()
    for k in range(20):
        code = ctypes.CDLL(library)
        instance = ctypes.c_void_p()
        assert code.ansorc_create(ctypes.byref(instance)) == 0
        assert code.ansorc_set_threads(1 if k == 0 else 4) == 0
        assert code.ansorc_run(instance, ins, outs) == 0
        y = out.copy() if k == 0 else y
        assert np.array_equal(out, y)
        assert running_threads() == before + (0 if k == 0 else 3)
        out.fill(0)
        code.ansorc_destroy(instance)
        _ctypes.dlclose(code._handle)
        assert running_threads() == before
        assert Path(library).name not in Path("/proc/self/maps").read_text()


def change_threads(library: str, x: np.ndarray) -> None:
    """Threads set between runs: up, down and up again."""
    model, expected = serial(library, x)
    for threads in (2, 7, 1, 3, 8, 2, 1, 4) * 5:
        model.set_threads(threads)
        check(model, x, expected, 2)


def run_at_once(models: list[ansorc.CompiledModel], x: np.ndarray, expected: list[np.ndarray]) -> None:
    start = threading.Barrier(len(models))
    wrong: list[int] = []

    def run_many(k: int) -> None:
        start.wait()
        wrong.extend(k for _ in range(200) if not np.array_equal(only(models[k], x), expected[k]))

    runners = [threading.Thread(target=run_many, args=(k,)) for k in range(len(models))]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert wrong == []


def two_models(library: str, x: np.ndarray) -> None:
    """Two libraries (a copy is one of its own) in turns, then at once; each has its own number of threads."""
    copy = Path(library).with_name(f"copy{os.getpid()}.so")
    shutil.copyfile(library, copy)
    models = [serial(library, x), serial(str(copy), x)]
    for k, (model, _) in enumerate(models):
        model.set_threads(2 + k)
    assert [model.threads for model, _ in models] == [2, 3]
    for _ in range(20):
        for model, expected in models:
            check(model, x, expected, 1)
    run_at_once([model for model, _ in models], x, [expected for _, expected in models])


def say_threads(library: str, x: np.ndarray) -> None:
    """Say the default number of threads, and how many there are after a run; after set_threads(2), and (0)."""
    model = ansorc.load(library)
    before = running_threads()
    seen: list[int] = [model.threads]
    only(model, x)
    seen.append(running_threads() - before + 1)
    for threads in (2, 0):
        model.set_threads(threads)
        seen.append(model.threads)
    sys.stdout.write(" ".join(map(str, seen)))


PROGRAMS = {
    f.__name__: f
    for f in (
        workers_start,
        fork_in_a_run,
        unload,
        change_threads,
        two_models,
        say_threads,
    )
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2], np.load(sys.argv[3]))
