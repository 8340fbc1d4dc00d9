"""Random annotation: complete candidates, drawn from the whole space (OSDI'20, 4.2)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from ansorc.compiler.search.task import Point, SearchTask

FRUITLESS = 20
"""Draws in a row that give nothing new, after which a space counts as seen."""


def sample_points(task: SearchTask, count: int, generator: random.Random, seen: Iterable[Point] = ()) -> list[Point]:
    """Draw up to `count` legal points that differ from each other and are not `seen`.

    Every kind of schedule has the same chances, and within it each decision does. Fewer are returned where the space
    has no more.
    """
    known, drawn, fruitless = set(seen), list[Point](), 0
    while task.spaces and len(drawn) < count and fruitless < FRUITLESS + count:
        k = generator.randrange(len(task.spaces))
        candidate = task.spaces[k].sample(generator)
        point = None if candidate is None else Point(k, tuple(v for _, v in candidate.decisions))
        if point is None or point in known:
            fruitless += 1
            continue
        fruitless = 0
        known.add(point)
        drawn.append(point)
    return drawn


def default_points(task: SearchTask) -> list[Point]:
    """Return the candidates that the models of the kinds like best, the best first."""
    choices = [choice for space in task.spaces if (choice := space.choose()) is not None]
    points = [task.point(choice.candidate) for choice in sorted(choices, key=lambda c: c.cycles)]
    return [p for p in points if p is not None]
