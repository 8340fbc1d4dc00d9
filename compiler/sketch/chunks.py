"""How tasks are cut into parallel chunks where a kind reads blocks or rows: transposes, gathers, sums along vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from ansorc.compiler.sketch.analytic import imbalance
from ansorc.compiler.sketch.decisions import divisors

CHUNK_POINTS = 8_192
"""Elements of a chunk that is worth handing out."""
MAX_CHUNKS = 64


def options(extent: int, block: int) -> tuple[int, ...]:
    """Return the iterations of a loop that a chunk may have: divisors that hold a block."""
    return tuple(d for d in divisors(extent) if d >= block)


def choose(
    extents: Sequence[int], order: Sequence[int], blocks: Mapping[int, int], worth: int | None = None
) -> tuple[dict[str, int], float]:
    """Cut loops in `order` until there are enough chunks, by whole blocks; `worth` is how many pay, if not by points.

    Returns the decisions, and how much longer the busiest thread works than the average.
    """
    worth = max(1, prod(extents) // CHUNK_POINTS) if worth is None else worth
    wanted, chunks, values = min(MAX_CHUNKS, worth), 1, dict[str, int]()
    for k in order:
        block = blocks.get(k, 1)
        whole = [o for o in options(extents[k], block) if o % block == 0 or o == extents[k]]
        enough = [o for o in whole if chunks * (extents[k] // o) >= wanted]
        values[f"chunk_{k}"] = max(enough) if enough else min(whole)
        chunks *= extents[k] // values[f"chunk_{k}"]
    return values, imbalance(chunks, wanted)
