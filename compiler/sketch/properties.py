"""What is known of a candidate without lowering it, and the limits that its code has to keep."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_CODE = 64 << 10
"""Bytes of a kernel: twice the first cache of instructions of most processors."""
LONGEST_COMPILE = 3.0
"""Seconds on one core."""
COMPILE_SECONDS, COMPILE_SECONDS_A_BYTE = 0.06, 35e-6
"""Of 500 candidates on an Intel Xeon with AVX-512; `ansorc-bench candidates` prints what they are now."""

FMA_BYTES, STORED_VECTOR_BYTES, EPILOGUE_BYTES = 7, 14, 14
"""An instruction with a displacement; a vector that begins, ends and is stored; half a cycle of an epilogue."""
TILE_BYTES = 500
"""Loops, addresses and prefetches around a register tile."""
MOST_UNROLLED_BY_LLVM = 2048
"""FMAs: how far LLVM unrolls the loops over a window, at most."""
KERNEL_BYTES = 400


@dataclass(frozen=True)
class Properties:
    """A candidate in numbers. Bytes and operations are those of the whole task, unless said otherwise."""

    flops: float
    """Multiplications and additions that are executed, those of an algorithm's transforms included."""
    registers: int
    """Vector registers that the innermost loop holds."""
    vector_efficiency: float
    """The share of a vector register's lanes that hold results."""
    chunks: int
    """Of the largest parallel step."""
    balance: float
    """The average thread's work over the busiest one's, for 1 to 8 threads as the task is worth."""
    tile_footprint: float
    """Bytes that one register tile touches."""
    chunk_footprint: float
    """Bytes that one parallel chunk touches."""
    task_footprint: float
    l1_bytes: float
    """Bytes that are loaded and stored by instructions."""
    l2_bytes: float
    """Bytes that come from the second cache."""
    memory_bytes: float
    """Bytes that pass between the second cache and what lies behind it."""
    code_bytes: float
    """The estimated size of the kernel."""

    @property
    def compile_seconds(self) -> float:
        """The estimated time from decisions to an object file."""
        return COMPILE_SECONDS + COMPILE_SECONDS_A_BYTE * self.code_bytes

    @property
    def too_large(self) -> str:
        """Why a candidate is not worth compiling; empty where it is."""
        if self.code_bytes > LARGEST_CODE:
            return f"a kernel of about {self.code_bytes / 1024:.0f} KiB, more than {LARGEST_CODE >> 10}"
        if self.compile_seconds > LONGEST_COMPILE:
            return f"about {self.compile_seconds:.1f} s to compile, more than {LONGEST_COMPILE:.0f}"
        return ""


def tile_code_bytes(rows: int, vectors: int, unrolled: int, window: int, epilogue_cycles: float) -> float:
    """Return the bytes of a register tile's code.

    Its reduction loop is `unrolled`; LLVM may unroll the loops around that, over a `window` of so many taps.
    """
    multiplications = rows * vectors * unrolled
    unrolled_most = max(multiplications, min(multiplications * window, MOST_UNROLLED_BY_LLVM))
    around = rows * vectors * (STORED_VECTOR_BYTES + 2 * EPILOGUE_BYTES * epilogue_cycles)
    return TILE_BYTES + FMA_BYTES * (unrolled_most + vectors * unrolled) + around
