"""Weights where a network's are: what its other tasks read in between has taken their place in the caches.

Calls that are timed take copies of a task's weights in turn, so many that together they are as large as the network's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.runtime.kernel_runner import ALIGNMENT, addresses

Array = NDArray[Any]
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
LARGE_CACHE = 64 << 20
"""Bytes of the last cache, where the system does not tell."""


class WeightCopies:
    """Memory for copies, which is used again for the next candidate."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def bases(self, buffers: list[Array], weights: list[int], between_calls: int) -> Array:
        """Return `addresses` of buffers in rows: all that are no `weights` in each, and other copies of those.

        `between_calls` is how many bytes of weights a network reads; more than twice the last cache are as good as
        that. The rows are valid until the next ones are asked for.
        """
        bytes_of = {k: -(-buffers[k].nbytes // ALIGNMENT) * ALIGNMENT for k in weights}
        each = sum(bytes_of.values())
        copies = min(between_calls, 2 * last_cache()) // each if each else 0
        rows = np.tile(addresses(buffers), (max(1, copies), 1))
        if copies < 2:
            return rows
        if len(self._memory) < copies * each + ALIGNMENT:
            self._memory = np.empty(copies * each + ALIGNMENT, np.uint8)
        start = -self._memory.ctypes.data % ALIGNMENT
        made = self._memory[start : start + copies * each].reshape(copies, each)
        at = 0
        for k, size in bytes_of.items():
            made[:, at : at + buffers[k].nbytes] = buffers[k].reshape(-1).view(np.uint8)
            rows[:, k] = made.ctypes.data + at + each * np.arange(copies, dtype=np.uintp)
            at += size
        return rows


@cache
def last_cache() -> int:
    """Return the bytes of this machine's last cache."""
    sizes = [p.read_text().strip() for p in CACHES.glob("index*/size")]
    return max((int(s[:-1]) << {"K": 10, "M": 20, "G": 30}[s[-1]] for s in sizes), default=LARGE_CACHE)
