"""Random pairs of a small workload and candidates for its tasks, and what became of one: run in worker processes."""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ansorc.compiler.driver import link_tasks, read, to_tasks
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.dialect_passes.schedule import strassen_matrices, winograd_matrices
from ansorc.runtime.module import CompiledModel
from ansorc.tools.workloads import Array, AttentionScores, BatchMatmul, Dense, MatrixNorm, Workload
from ansorc.tools.workloads_convolution import Capsules, Convolution

EPSILON = float(np.finfo(np.float32).eps)
MOST_DRAWS = 40
"""Of a space whose choices may lead nowhere."""


@dataclass(frozen=True)
class Pair:
    """A workload, and the seed of its data and of its tasks' candidates."""

    operator: str
    workload: Workload
    batch: int
    seed: int


@dataclass(frozen=True)
class Compiled:
    """What code generation made of a candidate."""

    stages: Mapping[str, float]
    """Seconds that each stage took."""
    text_bytes: int
    predicted_bytes: float
    vector_spills: int

    @property
    def seconds(self) -> float:
        """From decisions to an object file."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Outcome:
    """What a pair came to."""

    candidates: tuple[str, ...]
    """JSON of those of its tasks that have a space."""
    error: float
    """Largest difference from float64, over the tolerance."""
    compiled: tuple[Compiled, ...] = ()
    """What became of each task that has a candidate."""


def _convolution(r: random.Random, dims: int, **fixed: object) -> Workload:
    kernel, dilation = r.choice((1, 2, 3, 3, 3, 5)), r.choice((1, 1, 1, 2))
    least = (kernel - 1) * dilation + 1
    size = {1: 40, 2: 20, 3: 9}[dims]
    values: dict[str, object] = {
        "spatial": tuple(r.randint(least, max(size, least)) for _ in range(dims)),
        "channels": r.choice((1, 3, 5, 16, 24, 32)), "filters": r.choice((1, 3, 8, 16, 20, 32, 48, 64)),
        "kernel": kernel, "stride": r.choice((1, 1, 2, 3)), "padding": r.choice((0, kernel // 2)), "dilation": dilation,
        "bias": r.random() < 0.5, "activation": r.choice(("", "relu", "tanh")),
    }  # fmt: skip
    return Convolution(f"C{dims}D", **{**values, **fixed})  # pyright: ignore[reportArgumentType]


def _grouped(r: random.Random) -> Workload:
    groups = r.choice((2, 3, 4))
    each, filters = r.choice((2, 4, 5, 16)), r.choice((4, 7, 16, 32))
    return _convolution(r, 2, channels=groups * each, filters=groups * filters, groups=groups)


def _depthwise(r: random.Random) -> Workload:
    channels = r.choice((5, 8, 16, 33, 64, 96))
    return _convolution(r, 2, channels=channels, filters=channels, groups=channels)


def _transposed(r: random.Random) -> Workload:
    filters, size = r.choice((3, 8, 16, 32)), (r.randint(2, 9), r.randint(2, 9))
    return Convolution("T2D", size, r.choice((4, 16, 24)), filters, 4, 2, 1, transposed=True, bias=r.random() < 0.5)


def _winograd(r: random.Random) -> Workload:
    size, channels, filters = (r.randint(3, 30), r.randint(3, 30)), r.choice((8, 16, 32)), r.choice((8, 16, 48, 64))
    return Convolution("W2D", size, channels, filters, 3, 1, 1, bias=True, activation=r.choice(("", "relu")))


OPERATORS: dict[str, Callable[[random.Random], Workload]] = {
    "C1D": lambda r: _convolution(r, 1),
    "C2D": lambda r: _convolution(r, 2),
    "C3D": lambda r: _convolution(r, 3),
    "W2D": _winograd,
    "GRP": _grouped,
    "DEP": _depthwise,
    "T2D": _transposed,
    "CAP": lambda r: Capsules(
        (r.randint(3, 9), r.randint(3, 9)), r.choice((4, 8)), r.choice((4, 8, 16)), 3, r.choice((1, 2)), 1
    ),
    "GMM": lambda r: BatchMatmul("GMM", r.randint(1, 130), r.randint(1, 340), r.randint(1, 200), r.choice((1, 1, 3))),
    "Gemm": lambda r: Dense(
        "Gemm", r.randint(1, 60), r.randint(1, 300), r.randint(1, 200), r.random() < 0.5,
        r.choice(("", "relu", "tanh", "gelu")),
    ),
    "NRM": lambda r: MatrixNorm(r.randint(1, 90), r.choice((r.randint(1, 90), 4 * r.randint(1, 90)))),
    "TBS": lambda r: AttentionScores(r.randint(1, 70), r.choice((1, 2, 3)), r.choice((4, 8, 20, 64))),
}  # fmt: skip
"""What is drawn from, odd and prime sizes included."""


def draw(count: int, seed: int, operators: list[str]) -> list[Pair]:
    """Draw pairs, of each operator as many."""
    generator = random.Random(seed)
    chosen = [operators[k % len(operators)] for k in range(count)]
    return [Pair(o, OPERATORS[o](generator), generator.choice((1, 1, 2)), generator.getrandbits(30)) for o in chosen]


def draw_layers(count: int, seed: int, layers: list[Workload]) -> list[Pair]:
    """Draw pairs of given layers, of each as many, at batch 1."""
    generator = random.Random(seed)
    chosen = [layers[k % len(layers)] for k in range(count)]
    return [Pair(w.operator, w, 1, generator.getrandbits(30)) for w in chosen]


def check(pair: Pair) -> Outcome:
    """Compile a workload with random candidates, run it, and compare it with float64; the entry of workers."""
    generator, options = random.Random(pair.seed), Options(threads=2, use_cache=False)
    machine = machine_of(options.target)
    case = pair.workload.case(pair.batch, pair.seed)
    source = to_tasks(read(case.model, options), options)
    codes: dict[str, TaskCode] = {}
    drawn: list[Candidate] = []
    compiled: list[Compiled] = []
    for name, text in source.code.items():
        spaces = spaces_of_task(text, machine)
        space = generator.choice(spaces) if spaces else None
        candidate = sampled(space, generator) if space is not None else None
        code = codes[name] = compile_task(TaskJob(text, "linalg", "object", options.target, candidate=candidate))
        if space is not None and candidate is not None and code.report is not None:
            drawn.append(candidate)
            predicted = space.properties(candidate).code_bytes
            compiled.append(Compiled(code.stages, code.report.text_bytes, predicted, code.report.vector_spills))
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        path = Path(folder) / "pair.so"
        link_tasks(source, codes, options, path)
        (result,) = CompiledModel(path).run(case.inputs).values()
    expected = case.reference()
    steps = max(1.0, pair.workload.flops(pair.batch) / 2 / expected.size)
    more = max(map(amplification, drawn), default=1.0)
    error = abs(result.reshape(expected.shape).astype(np.float64) - expected).max(initial=0.0)
    allowed = tolerance(steps, more) * scale(pair, expected)
    ratio = float(error / allowed) if np.isfinite(error) else math.inf
    return Outcome(tuple(c.to_json() for c in drawn), ratio, tuple(compiled))


def sampled(space: TaskSpace[Any], generator: random.Random) -> Candidate | None:
    """Return a random candidate of a space, the default where none of many random choices leads to one."""
    drawn = next(filter(None, (space.sample(generator) for _ in range(MOST_DRAWS))), None)
    choice = space.choose() if drawn is None else None
    return choice.candidate if choice is not None else drawn


def amplification(candidate: Candidate) -> float:
    """Return how much more a candidate's algorithm rounds than the operator does."""
    if candidate.sketch.kind == "strassen":
        return strassen_matrices.amplification()
    m = candidate.values.get("m")
    return 1.0 if m is None else winograd_matrices.amplification(m, candidate.sketch.reductions[-2])


def scale(pair: Pair, expected: Array) -> float:
    """Return the largest sum: the largest result, or what went into a function that saturates (and adds no error)."""
    if isinstance(pair.workload, Dense | Convolution) and pair.workload.activation == "tanh":
        sums = dataclasses.replace(pair.workload, activation="")
        expected = sums.case(pair.batch, pair.seed).reference()
    return float(abs(expected).max(initial=EPSILON))


def tolerance(steps: float, roundings: float) -> float:
    """Return what a sum of so many random terms may differ by, relative to the largest of many such sums.

    Each addition rounds a partial sum that has grown as the square root of the terms so far; together that is
    about eps / 2 * sqrt(steps / 2) of the result. Three times that, and some roundings of an epilogue, is allowed;
    `roundings` times as much of an algorithm that rounds more.
    """
    return EPSILON * roundings * (6 + math.sqrt(steps))
