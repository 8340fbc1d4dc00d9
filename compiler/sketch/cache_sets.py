"""What of the first cache is left to addresses that lie a power of two apart: they share its sets.

A way of it is a page, on all processors that look up address and translation at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import product

from ansorc.dialect_passes.schedule.machine import Machine

WAY, CACHE_LINE = 4096, 64
"""Bytes."""


def ways(machine: Machine) -> int:
    """Return how many lines of one set the first cache holds."""
    return max(1, machine.l1_bytes // WAY)


@cache
def crowding(sizes: Sequence[int], strides: Sequence[int], held: int) -> int:
    """Return the squares of how many lines too many each set gets from a tile of rows, summed up.

    `sizes` are its iterations of some loops, `strides` how many bytes each moves on, and `held` lines are in a set.
    """
    places = {sum(i * s for i, s in zip(at, strides, strict=True)) // CACHE_LINE for at in product(*map(range, sizes))}
    sets = Counter(place % (WAY // CACHE_LINE) for place in places)
    return sum(max(0, count - held) ** 2 for count in sets.values())
