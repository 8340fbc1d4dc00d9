"""The task scheduler: which task's search gets the next batch (OSDI'20, 6 and appendix A)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, prod

from ansorc.compiler.errors import InvalidOptionError
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


def speedup(networks: Sequence[Sequence[float]]) -> Objective:
    """Return f3: the negative geometric mean of the networks' speeds.

    Over reference speeds, as the paper has it, it would be the same but for a factor.
    """

    def objective(seconds: Sequence[float]) -> float:
        speeds = [1 / max(_latency(calls, seconds), TINY) for calls in networks]
        return -(prod(speeds) ** (1 / len(speeds)))

    return objective


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


@dataclass(frozen=True)
class Goal:
    """What is minimised, of one network or several.

    The paper's f4, a sum in which tasks that stopped getting better win nothing more, is `latency` where
    `Budget.patience` ends their search.
    """

    networks: tuple[Mapping[str, int], ...]
    """How often each calls every task, by name."""
    name: str = "latency"
    """One of OBJECTIVES."""
    required: tuple[float, ...] = ()
    """Seconds of each network that are good enough, for `required`."""

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise InvalidOptionError("objective", self.name, f"one of {', '.join(OBJECTIVES)}")
        if (self.name == "required") != bool(self.required) or len(self.required) not in (0, len(self.networks)):
            count = len(self.networks) if self.name == "required" else 0
            raise InvalidOptionError("required", len(self.required), f"{count} latencies for objective {self.name}")

    def objective(self, tasks: Sequence[SearchTask]) -> Objective:
        """Return the function of the seconds of these tasks."""
        calls = [[float(network.get(t.name, 0)) for t in tasks] for network in self.networks]
        return OBJECTIVES[self.name](calls, self.required)


OBJECTIVES: Mapping[str, Callable[[Sequence[Sequence[float]], Sequence[float]], Objective]] = {
    "latency": lambda calls, _: total_latency(*calls),
    "required": required_latency,
    "speedup": lambda calls, _: speedup(calls),
}
"""The paper's f1, f2 and f3, of how often networks call tasks."""


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

    def promise(self) -> float:
        """Return how much better the objective may become with one more batch, over what it is now.

        Infinite while a living task has no result yet.
        """
        living = [k for k, p in enumerate(self.tasks) if not p.dead]
        now = abs(self.objective([p.best or 0.0 for p in self.tasks]))
        if not living or any(self.tasks[k].best is None for k in living) or not now:
            return inf if living else 0.0
        return max(-self.gradient(k) for k in living) / now

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
