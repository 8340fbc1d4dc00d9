"""Run and time kernels in this process, without a library around them.

A kernel may crash: whoever measures unknown candidates does it in a process that may die.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.runtime.llvm_binding import LoadedCode

Array = NDArray[Any]
ALIGNMENT, HUGE_PAGE = 64, 2 << 20
RED = 0xA5
"""Every byte of the red zone behind an array: up to the next cache line, and that line. Nobody may write there."""


def aligned(shape: Sequence[int], dtype: Any) -> Array:
    """Return an uninitialised C-contiguous array whose memory starts at a cache line."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.empty(ALIGNMENT + count + _red_zone(count), np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    raw[start + count : start + count + _red_zone(count)] = RED
    return raw[start : start + count].view(dtype).reshape(shape)


def arena(kinds: Sequence[tuple[Sequence[int], Any]]) -> list[Array]:
    """Return arrays of zeros, one for each shape and dtype, that lie as in a library's arena: one behind the other,
    with a red zone behind each.

    Their memory is in huge pages, where the system has any: in small ones, which lie anywhere, it is a matter of luck
    what the second cache can hold at once.
    """
    sizes = [int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize for shape, dtype in kinds]
    length = sum(size + _red_zone(size) for size in sizes) + HUGE_PAGE
    block = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(block, np.uint8)
    start, made = -raw.ctypes.data % HUGE_PAGE, list[Array]()
    for (shape, dtype), size in zip(kinds, sizes, strict=True):
        made.append(raw[start : start + size].view(dtype).reshape(shape))
        raw[start + size : start + size + _red_zone(size)] = RED
        start += size + _red_zone(size)
    return made


def intact(array: Array) -> bool:
    """Whether the red zone behind an array of `aligned` or `arena` is as it was made."""
    size = _red_zone(array.nbytes)
    return ctypes.string_at(array.ctypes.data + array.nbytes, size) == bytes([RED]) * size


def addresses(buffers: Sequence[Array]) -> Array:
    """Return where buffers begin."""
    return np.array([b.ctypes.data for b in buffers], np.uintp)


def _red_zone(size: int) -> int:
    return -size % ALIGNMENT + ALIGNMENT


class LoadedKernel:
    """A kernel's steps over an array of buffers; `timer` is the library of `linking.timer_library`."""

    def __init__(self, code: LoadedCode, steps: int, timer: Path) -> None:
        self._code = code  # keeps the memory
        self._table = ctypes.c_void_p(code.address("ansorc_host_steps"))
        self._steps = steps
        self._run = ctypes.CDLL(str(timer)).ansorc_timer_run
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._run.argtypes = [pointer, number, pointer, number, number, number, ctypes.c_int, number]
        self._run.restype = number

    def run(self, buffers: Sequence[Array], threads: int, calls: int = 1) -> float:
        """Run `calls` times on buffers in the order of the kernel's bases; return seconds a call."""
        return self.run_in_turn(addresses(buffers)[None], threads, calls)

    def run_in_turn(self, bases: Array, threads: int, calls: int, first: int = 0) -> float:
        """Run `calls` times on each row of `addresses` in turn, from the `first` row on; return seconds a call."""
        sets, width = bases.shape
        table = bases.ctypes.data
        return self._run(self._table, self._steps, table, width, sets, first, threads, calls) / calls * 1e-9
