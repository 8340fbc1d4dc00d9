"""What a compilation made, for the line that the tool prints at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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

    def __str__(self) -> str:
        tasks = f"{self.tasks} tasks ({self.calls} calls, {self.cached_tasks} cached)"
        return (
            f"{self.output}: {tasks}, weights {_megabytes(self.weight_bytes)}, "
            f"size {_megabytes(self.output_bytes)}, {self.seconds:.1f} s"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
