"""A compiled network in this process, with clocks: what each task takes where it will run.

A kernel that is timed alone finds its weights in a cache, and its input where the same core left it; in a network it
does not. Schedules that were fastest alone are compared once more there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.assemble import Assembly, assemble, write_packed
from ansorc.compiler.host import steps_ir
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.program import Program
from ansorc.compiler.target import Target
from ansorc.compiler.task_code import TaskCode
from ansorc.frontends.model import TensorSpec
from ansorc.runtime import linking
from ansorc.runtime.kernel_runner import LoadedKernel, aligned, arena
from ansorc.runtime.llvm_binding import LoadedCode, compile_ir

Array = NDArray[Any]
ENTRY = "ansorc.compiler.measuring.running_network:time_variants"
NEVER = np.iinfo(np.int64).max
SECONDS, MOST_ROUNDS, LEAST_ROUNDS = 10.0, 12, 2
WARM_UP_RUNS, TIMED_RUNS = 1, 2
"""Of a variant, in a round: what another left in the caches is not what it finds when it runs alone."""


@dataclass(frozen=True)
class NetworkVariants:
    """Programs of one model, and their compiled tasks."""

    programs: tuple[Program, ...]
    tasks: tuple[Mapping[str, TaskCode], ...]
    target: Target
    threads: int
    seed: int = 0


@dataclass(frozen=True)
class VariantTimes:
    """Medians over runs, in seconds."""

    network: float
    """From the first call's begin to the last one's end."""
    tasks: Mapping[str, float]
    """All calls of a task together."""


class RunningNetwork:
    """A compiled program in this process, with random inputs; `clocks` note when each step begins and ends."""

    def __init__(
        self, source: Program, tasks: Mapping[str, TaskCode], assembly: Assembly, target: Target, *,
        seed: int = 0, clocks: bool = False,
    ) -> None:  # fmt: skip
        self._counts = [len(tasks[c.task].facts.sections) for c in assembly.memory.calls]
        self._clock = aligned((len(assembly.steps), 3), np.int64)
        generator = np.random.default_rng(seed)
        self.inputs = [_random(t, generator) for t in source.inputs]
        self.outputs = [aligned(t.shape, np.dtype(str(t.dtype))) for t in source.outputs]
        (memory,) = arena([((assembly.arena_bytes,), np.uint8)])
        self._bases = [memory, _weights(assembly, source), *self.inputs, *self.outputs, self._clock]
        text = steps_ir(assembly.steps, clock=len(self._bases) - 1 if clocks else None)
        host = compile_ir(text, target.triple, target.cpu, target.features)
        linker = linking.find_linker(target.triple, True)
        timer = linking.timer_library(linker, target.triple, read_knobs().cache_dir)
        code = LoadedCode(*(t.code for t in tasks.values()), host)
        self._kernel = LoadedKernel(code, len(assembly.steps), timer)

    def run(self, threads: int) -> float:
        """Run once; return seconds."""
        self._clock[...] = (NEVER, 0, 0)
        return self._kernel.run(self._bases, threads)

    def calls(self) -> Array:
        """Return, of the last run, nanoseconds for each call: when it began, when it ended, how long chunks ran."""
        rows: list[tuple[int, int, int]] = []
        at = 0
        for count in self._counts:
            mine = self._clock[at : at + count]
            rows.append((mine[:, 0].min(), mine[:, 1].max(), mine[:, 2].sum()))
            at += count
        return np.array(rows, np.float64)


def time_variants(job: NetworkVariants) -> list[VariantTimes]:
    """Run the variants of a network in turn, and time their tasks."""
    networks: list[tuple[RunningNetwork, list[str]]] = []
    for program, tasks in zip(job.programs, job.tasks, strict=True):
        assembly = assemble(program, {name: t.facts for name, t in tasks.items()}, job.threads)
        running = RunningNetwork(program, tasks, assembly, job.target, seed=job.seed, clocks=True)
        networks.append((running, [c.task for c in assembly.memory.calls]))
    once = sum(min(running.run(job.threads) for _ in range(2)) for running, _ in networks)
    rounds = int(SECONDS / (once * (WARM_UP_RUNS + TIMED_RUNS)))
    rows: list[list[Array]] = [[] for _ in networks]
    for _ in range(max(LEAST_ROUNDS, min(MOST_ROUNDS, rounds))):
        for (running, _), mine in zip(networks, rows, strict=True):
            for k in range(WARM_UP_RUNS + TIMED_RUNS):
                running.run(job.threads)
                if k >= WARM_UP_RUNS:
                    mine.append(running.calls())
    return [_times(calls, mine) for (_, calls), mine in zip(networks, rows, strict=True)]


def _times(calls: list[str], rows: list[Array]) -> VariantTimes:
    began, ended, _ = np.array(rows).transpose(2, 0, 1) * 1e-9
    took = np.median(ended - began, axis=0)
    together = dict.fromkeys(calls, 0.0)
    for name, seconds in zip(calls, took.tolist(), strict=True):
        together[name] += seconds
    return VariantTimes(float(np.median(ended.max(axis=1) - began.min(axis=1))), together)


def _random(tensor: TensorSpec, generator: np.random.Generator) -> Array:
    kind = np.dtype(str(tensor.dtype))
    drawn = generator.standard_normal(tensor.shape) if kind.kind == "f" else generator.integers(0, 2, tensor.shape)
    made = aligned(tensor.shape, kind)
    made[...] = drawn
    return made


def _weights(assembly: Assembly, source: Program) -> Array:
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        path = Path(folder) / "weights"
        write_packed(assembly, source.weights, path)
        made = aligned((max(1, assembly.weight_bytes),), np.uint8)
        stored = np.fromfile(path, np.uint8)
        made[: len(stored)] = stored
        return made
