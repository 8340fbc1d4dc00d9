"""Evolutionary search: from random points to those that a cost model likes best (OSDI'20, 5.1)."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.search.crossover import cross
from ansorc.compiler.search.mutate import mutate
from ansorc.compiler.search.task import Point, SearchTask

Score = Callable[[Sequence[Point]], Sequence[float]]
"""Predicted seconds of points, or something that grows with them."""


@dataclass(frozen=True)
class Evolution:
    """Ansor's parameters, with smaller generations: the first one is chosen by the analytic model already."""

    population: int = 512
    generations: int = 4
    mutation_probability: float = 0.85
    crossover_ratio: float = 0.05
    measured_ratio: float = 0.2
    """The share of the first generation that may be measured points."""

    def __post_init__(self) -> None:
        for name, least in (("population", 1), ("generations", 0)):
            if getattr(self, name) < least:
                raise InvalidOptionError(name, getattr(self, name), f"at least {least}")
        for name in ("mutation_probability", "crossover_ratio", "measured_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidOptionError(name, getattr(self, name), "0 to 1")


def evolve(
    task: SearchTask,
    first: Sequence[Point],
    score: Score,
    count: int,
    generator: random.Random,
    settings: Evolution,
    measured: Collection[Point] = (),
) -> list[Point]:
    """Return the `count` points of all generations with the least score that are not `measured`, the best first."""
    known: dict[Point, float] = {}
    generation = list(dict.fromkeys(first))
    for number in range(settings.generations + 1):
        fresh = [p for p in generation if p not in known]
        known.update(zip(fresh, score(fresh), strict=True))
        if number < settings.generations and generation:
            generation = _next(task, generation, known, generator, settings)
    done = set(measured)
    ranked = sorted((s, k) for k, (p, s) in enumerate(known.items()) if p not in done)
    points = list(known)
    return [points[k] for _, k in ranked[:count]]


def _next(
    task: SearchTask, parents: Sequence[Point], known: dict[Point, float], generator: random.Random, s: Evolution
) -> list[Point]:
    """Return as many children as a population has; parents are drawn in proportion to their promised speed."""
    least = min(known[p] for p in parents)
    sums = list(accumulate(least / known[p] for p in parents))

    def parent() -> Point:
        return parents[min(bisect(sums, generator.random() * sums[-1]), len(parents) - 1)]

    children: list[Point] = []
    for k in range(s.population):
        if k < s.crossover_ratio * s.population:
            child = cross(task, parent(), parent(), generator)
        else:
            child = parent()
            if generator.random() < s.mutation_probability:
                child = mutate(task, child, generator)
        if child is not None:
            children.append(child)
    return list(dict.fromkeys(children)) or list(parents)
