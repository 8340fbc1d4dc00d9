"""Objects load wherever there is room, also where an address space is full of holes."""

import os
import subprocess
import sys

HOLES = """
import ctypes
import numpy as np
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.tools.workloads import Dense

PAGE, RESERVED = 4096, 0x4022  # private, anonymous, without swap
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
options = Options()
source = to_tasks(read(Dense("D", 64, 64, 64, activation="tanh").case(1).model, options), options)
(text,) = source.code.values()
code = compile_task(TaskJob(text, "linalg", "object", options.target))
first = runnable(text, code)
arguments = first.random_arguments(np.random.default_rng(0))
expected = first.run(arguments)
for pages in range(1, 8):  # a hole that holds one section, and nothing else within 3 GiB
    for _ in range(1000):
        libc.mmap(None, PAGE * pages, 0, RESERVED, -1, 0)
    wall = libc.mmap(None, 4 << 30, 0, RESERVED, -1, 0)
    libc.munmap(wall + (3 << 30), PAGE * pages)
    assert (runnable(text, code).run(arguments) == expected).all()
print("loaded")
"""


def test_sections_need_no_neighbouring_holes() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", HOLES], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "loaded\n"
