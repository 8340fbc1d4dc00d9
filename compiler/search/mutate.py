"""Mutation: a point with one decision changed, and those after it brought back to what is legal (OSDI'20, 5.1)."""

from __future__ import annotations

import random
from typing import Any

from ansorc.compiler.search.task import Point, SearchTask
from ansorc.compiler.sketch.kind import Decision, TaskSpace

WEIGHTS = {"tile": 0.60, "parallel": 0.20, "unroll": 0.08, "location": 0.05, "packing": 0.04, "algorithm": 0.03}
"""How likely a mutation changes a decision of each role.

Ansor's tile sizes (0.9) are our register tiles and chunks; a chunk is its parallel mutation, too.
"""
NEXT_VALUE = 0.5
"""How likely a decision moves to the next legal value instead of any."""


def mutate(task: SearchTask, point: Point, generator: random.Random) -> Point | None:
    """Return a legal point near another one; None where the change leads nowhere."""
    space = task.spaces[point.space]
    if len(task.spaces) > 1 and generator.random() < WEIGHTS["algorithm"]:
        other = generator.randrange(len(task.spaces))
        if other != point.space:
            drawn = task.spaces[other].nearest(task.values(point))
            return None if drawn is None else Point(other, tuple(drawn.values()))
    free = _free(space, task.values(point))
    if not free:
        return None
    roles = sorted({d.role for d, _ in free})
    role = generator.choices(roles, [WEIGHTS[r] for r in roles])[0]
    decision, options = generator.choice([f for f in free if f[0].role == role])
    values = task.values(point)
    old = values[decision.name]
    if generator.random() < NEXT_VALUE:
        ordered = sorted(options)
        k = ordered.index(old)
        values[decision.name] = generator.choice(ordered[max(0, k - 1) : k] + ordered[k + 1 : k + 2])
    else:
        values[decision.name] = generator.choice([o for o in options if o != old])
    legal = space.nearest(values)
    return None if legal is None else Point(point.space, tuple(legal.values()))


def _free(space: TaskSpace[Any], values: dict[str, int]) -> list[tuple[Decision[Any], tuple[int, ...]]]:
    """Return the decisions that have a choice, given those before them."""
    chosen: dict[str, int] = {}
    found: list[tuple[Decision[Any], tuple[int, ...]]] = []
    for decision in space.decisions:
        options = decision.options(space.nest, space.machine, chosen)
        if len(options) > 1:
            found.append((decision, options))
        chosen[decision.name] = values[decision.name]
    return found
