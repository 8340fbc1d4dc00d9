"""The task scheduler: which task's search gets the next batch (OSDI'20, 6 and appendix A)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, prod

from ansorc.compiler.search.task import SearchTask

ALPHA, BETA, WINDOW = 0.2, 2.0, 3
TINY = 1e-12
DELTA = 1e-3
"""Relative step of the objective's finite difference."""
Objective = Callable[[Sequence[float]], float]
"""What is minimised, of the seconds of all tasks."""


def total_latency(*networks: Sequence[float]) -> Objective:
    """Return the paper's f1: the sum of all networks' latencies; each is given by its calls of every task."""
    return lambda seconds: sum(_latency(calls, seconds) for calls in networks)


def required_latency(networks: Sequence[Sequence[float]], required: Sequence[float]) -> Objective:
    """Return f2: nothing is won by a network that is faster than its required seconds."""
    pairs = list(zip(networks, required, strict=True))
    return lambda seconds: sum(max(_latency(calls, seconds), limit) for calls, limit in pairs)


def speedup(networks: Sequence[Sequence[float]], reference: Sequence[float]) -> Objective:
    """Return f3: the negative geometric mean of speed-ups over reference seconds."""
    pairs = list(zip(networks, reference, strict=True))

    def objective(seconds: Sequence[float]) -> float:
        ratios = [base / max(_latency(calls, seconds), TINY) for calls, base in pairs]
        return -(prod(ratios) ** (1 / len(ratios)))

    return objective


def settled_latency(networks: Sequence[Sequence[float]], settled: Callable[[int], float]) -> Objective:
    """Return f4: as f1, but a task whose search has settled at some seconds (else 0) wins nothing by less."""
    return lambda seconds: sum(
        w * max(s, settled(k)) for calls in networks for k, (w, s) in enumerate(zip(calls, seconds, strict=True))
    )


def _latency(calls: Sequence[float], seconds: Sequence[float]) -> float:
    return sum(w * s for w, s in zip(calls, seconds, strict=True))


@dataclass
class Progress:
    """What is known of one task's search."""

    task: SearchTask
    curve: list[float] = field(default_factory=list[float])
    """Best seconds after each batch."""
    trials: int = 0
    dead: str = ""
    """Why it gets no more batches."""

    @property
    def best(self) -> float | None:
        """Seconds of its best candidate; None where nothing was measured."""
        return self.curve[-1] if self.curve and isfinite(self.curve[-1]) else None


@dataclass
class Scheduler:
    """Chooses by gradients; every living task gets its first batch before any gets its second."""

    tasks: Sequence[Progress]
    objective: Objective
    generator: random.Random
    strategy: str = "gradient"
    epsilon: float = 0.05
    """How often a random task is chosen."""

    def choose(self) -> int | None:
        """Return the number of the next task; None where all are dead."""
        living = [k for k, p in enumerate(self.tasks) if not p.dead]
        if not living:
            return None
        fresh = [k for k in living if not self.tasks[k].curve]
        if fresh:
            return fresh[0]
        if self.strategy == "round-robin":
            return min(living, key=lambda k: (len(self.tasks[k].curve), k))
        if self.generator.random() < self.epsilon:
            return self.generator.choice(living)
        return min(living, key=lambda k: (self.gradient(k), k))

    def gradient(self, k: int) -> float:
        """Return how the objective would change with one more batch for task `k`: the less, the better."""
        progress = self.tasks[k]
        if progress.best is None:
            return -inf
        now, batches = progress.curve[-1], len(progress.curve)
        window = [g for g in progress.curve[-1 - WINDOW :] if isfinite(g)]
        backward = (now - window[0]) / (len(window) - 1) if len(window) > 1 else -now
        forward = min(-now / batches, BETA * progress.task.flops / self._best_speed(k) - now)
        return self._slope(k) * (ALPHA * backward + (1 - ALPHA) * min(forward, 0.0))

    def _best_speed(self, k: int) -> float:
        """Return the most operations a second that a task of the group reaches."""
        group = self.tasks[k].task.group
        alike = [p for p in self.tasks if p.task.group == group and p.best]
        return max([p.task.flops / p.best for p in alike if p.best] or [0.0]) or 1.0

    def _slope(self, k: int) -> float:
        """Return the objective's derivative by the seconds of task `k`."""
        seconds = [p.best or 0.0 for p in self.tasks]
        step = DELTA * seconds[k]
        less = [*seconds[:k], seconds[k] - step, *seconds[k + 1 :]]
        return (self.objective(seconds) - self.objective(less)) / step if step else 0.0


STRATEGIES: Mapping[str, str] = {
    "gradient": "the task that promises the objective most",
    "round-robin": "all tasks in turn",
}
