"""Functions that the tests of the workers run in worker processes."""

import os
import signal
import sys
import time


def square(x: int) -> int:
    print("noise on standard output")
    return x * x


def misbehave(kind: str) -> str:
    if kind == "abort":
        sys.stderr.write("LLVM ERROR: cannot select\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGABRT)
    if kind == "exit":
        os._exit(7)
    if kind == "raise":
        raise ValueError("no such thing")
    if kind == "unpicklable":
        return lambda: None  # type: ignore[return-value]
    return kind


def sleep_with_pid(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)
