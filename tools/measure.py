"""Timing engines in turn, and comparing what they compute."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from ansorc.compiler.measuring import environment
from ansorc.compiler.target import parse_target
from ansorc.runtime.module import CompiledModel

Array = NDArray[Any]
Result = TypeVar("Result")
ROUNDS, RUNS = 5, 8
PAUSE_SECONDS = 0.3
WARM_UP_RUNS = 2
MOST_RUNS = 5000
BUSY_CORES = 0.1
"""Above this, what other processes use makes times worthless."""
ATTEMPTS = 3


def undisturbed(measure: Callable[[], Result], attempts: int = ATTEMPTS) -> tuple[Result, float]:
    """Measure until no other process disturbs, a few times at most; return the least disturbed result.

    With it comes how many cores others kept busy meanwhile.
    """
    results: list[tuple[Result, float]] = []
    while len(results) < attempts and (not results or results[-1][1] > BUSY_CORES):
        load = OtherLoad()
        result = measure()
        results.append((result, load.cores()))
    return min(results, key=lambda pair: pair[1])


def processor() -> str:
    """Name this machine's processor, what code is made for it, and how busy it is."""
    target = parse_target("native")
    kind = f"{target.cpu}, vectors of {target.vector_bits} bits"
    return f"{environment.processor()} ({kind}), {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.2f}"


def random_inputs(model: CompiledModel, seed: int = 0) -> dict[str, Array]:
    """Draw standard normal numbers for float inputs, and 0 or 1 (valid as any token or mask) for others."""
    generator = np.random.default_rng(seed)
    return {
        t.name: (
            generator.standard_normal(t.shape) if t.dtype.kind == "f" else generator.integers(0, 2, t.shape)
        ).astype(t.dtype)
        for t in model.inputs
    }


def relative_error(actual: Array, expected: Array) -> float:
    """Return the largest difference relative to the largest magnitude; inf where one is not finite."""
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    scale = np.abs(expected.astype(np.float64)).max()
    error = float(difference / scale) if scale else float(difference)
    return error if np.isfinite(error) else float("inf")


class OtherLoad:
    """How busy other processes keep the machine, from its making on."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float:
        """Return the cores that others kept busy on average."""
        wall, others = (now - start for now, start in zip(self._now(), self._start, strict=True))
        return max(0.0, others / wall) if wall else 0.0

    def _now(self) -> tuple[float, float]:
        """Return the time, and the processor time of all others, in seconds."""
        machine, mine = psutil.cpu_times(), psutil.Process().cpu_times()
        return time.perf_counter(), machine.user + machine.nice + machine.system - mine.user - mine.system


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers; nan of none."""
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else math.nan


def interleave(
    runs: Sequence[Callable[[], object]],
    rounds: int = ROUNDS,
    block_seconds: float | None = None,
    warm_up_seconds: float = 0.0,
) -> list[float]:
    """Time functions in turn; return the median of each, in milliseconds.

    A block is a pause, at least two untimed runs, and timed ones: RUNS of them, or as many as fill `block_seconds`.
    """
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, mine in zip(runs, times, strict=True):
            time.sleep(PAUSE_SECONDS)  # the other engine's threads spin for a while after its last run
            end = time.perf_counter() + warm_up_seconds
            warm = [seconds(run) for _ in range(WARM_UP_RUNS)]
            while time.perf_counter() < end:
                warm.append(seconds(run))
            last = statistics.median(warm[-WARM_UP_RUNS:])
            count = RUNS if block_seconds is None else max(1, min(MOST_RUNS, round(block_seconds / last)))
            mine.extend(1e3 * seconds(run) for _ in range(count))
    return [statistics.median(mine) for mine in times]


def missing(package: str) -> bool:
    """Tell whether a peer is not installed."""
    return find_spec(package) is None


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
