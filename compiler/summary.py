"""What a compilation made, for the line that the tool prints at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ansorc.compiler.program import Program


@dataclass(frozen=True)
class Summary:
    """Counts and sizes of one compilation."""

    output: Path
    tasks: int
    """Unique tasks."""
    cached_tasks: int
    """Tasks that came from the cache."""
    calls: int
    """Calls of tasks in the program; equal computations share a task."""
    weight_bytes: int
    output_bytes: int
    seconds: float
    memory: str = ""
    """The memory plan, where one was made."""

    @staticmethod
    def of(output: Path, program: Program, cached: int, calls: int, start: float, memory: str = "") -> Summary:
        """Sum up a finished compilation that started at `start` (time.perf_counter)."""
        weights = sum(w.nbytes for w in program.weights.values())
        size, seconds = output.stat().st_size, time.perf_counter() - start
        return Summary(output, len(program.code), cached, calls, weights, size, seconds, memory)

    def __str__(self) -> str:
        tasks = f"{self.tasks} tasks ({self.calls} calls, {self.cached_tasks} cached)"
        plan = f"\n{self.memory}" if self.memory else ""
        return (
            f"{self.output}: {tasks}, weights {_megabytes(self.weight_bytes)}, "
            f"size {_megabytes(self.output_bytes)}, {self.seconds:.1f} s{plan}"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
