"""Node-based crossover: what one node of the computation decides together comes from one parent (OSDI'20, 5.1).

The nodes of a fused task are its anchor's tiles, the chunks of its root, where its border and packed operands are made,
and what is unrolled; the roles of decisions name them.
"""

from __future__ import annotations

import random

from ansorc.compiler.search.task import Point, SearchTask


def cross(task: SearchTask, first: Point, second: Point, generator: random.Random) -> Point | None:
    """Return a child of two points of one space; None where no legal one comes of it."""
    if first.space != second.space:
        return None
    space = task.spaces[first.space]
    chosen: dict[str, bool] = {}
    values: dict[str, int] = {}
    for k, decision in enumerate(space.decisions):
        if decision.role not in chosen:
            chosen[decision.role] = generator.random() < 0.5
        values[decision.name] = (first if chosen[decision.role] else second).values[k]
    legal = space.nearest(values)
    return None if legal is None else Point(first.space, tuple(legal.values()))
