"""A picture of measured layers under the roofline of the machine."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ansorc.tools.limits import Limits


class Measured(Protocol):
    """What the picture needs of a case."""

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        ...

    @property
    def best_peer(self) -> str | None:
        """The fastest peer."""
        ...

    def gflops(self, engine: str) -> float | None:
        """Return the GFLOP/s of an engine."""
        ...


def draw(cases: Sequence[Measured], limits: Limits, path: Path, ours: str = "ansorc") -> None:
    """Write a point for each case, of ours and of the better peer; needs matplotlib."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    intensities = [case.intensity for case in cases]
    low, high = min(intensities) / 2, max(intensities) * 2
    for level in limits.levels:
        ridge = limits.fma_all_cores / level.all_cores
        bounds = [low, min(max(ridge, low), high), high]
        heights = [min(limits.fma_all_cores, x * level.all_cores) for x in bounds]
        axes.plot(bounds, heights, color="0.6", linewidth=1)
        axes.annotate(level.name, (low, heights[0]), color="0.4", va="bottom")
    for label, marker, points in (
        (ours, "o", [(case.intensity, case.gflops(ours)) for case in cases]),
        ("the better peer", "x", [(c.intensity, c.gflops(c.best_peer)) for c in cases if c.best_peer is not None]),
    ):
        known = [(x, y) for x, y in points if y is not None]
        axes.scatter([x for x, _ in known], [y for _, y in known], s=24, marker=marker, label=label)
    axes.set(
        xscale="log", yscale="log", xlim=(low, high), xlabel="FLOP / byte", ylabel="GFLOP/s",
        title=f"{limits.cpu}, {limits.threads} threads, f32",
    )  # fmt: skip
    axes.legend(loc="lower right")
    figure.savefig(path)
    plt.close(figure)
