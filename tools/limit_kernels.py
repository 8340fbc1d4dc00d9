"""The loops that a machine's limits are measured with: LLVM IR, compiled and loaded in this process."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.target import Target
from ansorc.runtime.llvm_binding import LoadedCode, compile_ir

Array = NDArray[Any]
STREAMS = 8
"""Vectors that an iteration of `read` and `copy` loads: enough to hide the latency of an addition."""
LINE_BYTES = 64


class LimitKernels:
    """Three functions on f32 vectors; calls release the interpreter's lock, so threads run them at once."""

    def __init__(self, target: Target) -> None:
        self.lanes = target.lanes(4)
        # Latency times throughput is 8 to 16 on today's cores; two registers hold the factors.
        self.accumulators = 24 if target.vector_registers >= 32 else 12
        text = kernels_text(self.lanes, self.accumulators)
        self._code = LoadedCode(compile_ir(text, target.triple, target.cpu, target.features, unroll=False))
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._fma = ctypes.CFUNCTYPE(None, pointer, number)(self._code.address("fma"))
        self._read = ctypes.CFUNCTYPE(None, pointer, number, number)(self._code.address("read"))
        self._copy = ctypes.CFUNCTYPE(None, pointer, pointer, number, number)(self._code.address("copy"))

    def buffer(self, size: int) -> Array:
        """Return an aligned buffer of at least `size` bytes, in memory of its own, that the kernels accept."""
        step = STREAMS * self.lanes
        count = max(1, size // (4 * step)) * step
        room = np.ones(count + LINE_BYTES // 4, np.float32)
        start = -room.ctypes.data % LINE_BYTES // 4
        return room[start : start + count]

    def fma(self, scratch: Array, repeats: int) -> int:
        """Multiply and add in registers alone; return how many operations that were."""
        assert scratch.size >= (2 + self.accumulators) * self.lanes
        self._fma(scratch.ctypes.data, repeats)
        return 2 * repeats * self.accumulators * self.lanes

    def read(self, data: Array, repeats: int) -> int:
        """Read all of `data` again and again; return how many bytes that were."""
        self._read(data.ctypes.data, data.size // self.lanes, repeats)
        return repeats * data.nbytes

    def copy(self, source: Array, target: Array, repeats: int) -> int:
        """Write the negated `source` to `target`; return how many bytes were read and written."""
        assert source.size == target.size
        self._copy(source.ctypes.data, target.ctypes.data, source.size // self.lanes, repeats)
        return repeats * 2 * source.nbytes


def kernels_text(lanes: int, accumulators: int) -> str:
    """Return LLVM IR of the three functions; counts are in vectors, and multiples of STREAMS."""
    return "\n".join((_fma_text(f"<{lanes} x float>", accumulators), *_stream_texts(f"<{lanes} x float>", 4 * lanes)))


def _fma_text(vector: str, accumulators: int) -> str:
    each = range(accumulators)
    # Every accumulator starts from a number of its own place in memory: equal ones would be computed once.
    loads = "\n".join(
        f"  %p{k} = getelementptr {vector}, ptr %data, i64 {k + 2}\n  %s{k} = load {vector}, ptr %p{k}" for k in each
    )
    phis = "\n".join(f"  %a{k} = phi {vector} [ %s{k}, %entry ], [ %n{k}, %loop ]" for k in each)
    steps = "\n".join(
        f"  %m{k} = fmul contract {vector} %a{k}, %factor\n  %n{k} = fadd contract {vector} %m{k}, %term" for k in each
    )
    stores = "\n".join(f"  store {vector} %n{k}, ptr %p{k}" for k in each)
    return f"""
define void @fma(ptr %data, i64 %repeats) {{
entry:
  %one = load {vector}, ptr %data
  %factor = fmul {vector} %one, splat (float 0.5)
  %q = getelementptr {vector}, ptr %data, i64 1
  %term = load {vector}, ptr %q
{loads}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %repeats
  br i1 %more, label %loop, label %done
done:
{stores}
  ret void
}}"""


def _stream_texts(vector: str, size: int) -> tuple[str, str]:
    each = range(STREAMS)

    def loop(name: str, arguments: str, entry: str, outer: str, inner: str, end: str) -> str:
        return f"""
define void @{name}({arguments}, i64 %vectors, i64 %repeats) {{
entry:
{entry}
  br label %outer
outer:
  %r = phi i64 [ 0, %entry ], [ %rnext, %again ]
{outer}
  br label %inner
inner:
  %i = phi i64 [ 0, %outer ], [ %next, %inner ]
{inner}
  %next = add i64 %i, {STREAMS}
  %more = icmp slt i64 %next, %vectors
  br i1 %more, label %inner, label %again
again:
  %rnext = add i64 %r, 1
  %rmore = icmp slt i64 %rnext, %repeats
  br i1 %rmore, label %outer, label %done
done:
{end}
  ret void
}}"""

    def address(pointer: str, k: int) -> str:
        place = f"  %{pointer}i{k} = add i64 %i, {k}\n"
        return place + f"  %{pointer}p{k} = getelementptr {vector}, ptr %{pointer}, i64 %{pointer}i{k}"

    def load(pointer: str, k: int) -> str:
        return f"{address(pointer, k)}\n  %v{k} = load {vector}, ptr %{pointer}p{k}, align {size}"

    # The sums pass through every iteration in order, so no load can be left out; they end in the buffer.
    read = loop(
        "read",
        "ptr %data",
        "",
        "\n".join(f"  %o{k} = phi {vector} [ zeroinitializer, %entry ], [ %n{k}, %again ]" for k in each),
        "\n".join(f"  %a{k} = phi {vector} [ %o{k}, %outer ], [ %n{k}, %inner ]" for k in each)
        + "\n"
        + "\n".join(f"{load('data', k)}\n  %n{k} = fadd {vector} %a{k}, %v{k}" for k in each),
        "\n".join(
            f"  %e{k} = getelementptr {vector}, ptr %data, i64 {k}\n  store {vector} %n{k}, ptr %e{k}" for k in each
        ),
    )
    # A negation: LLVM would make a plain copy a call of memcpy.
    copy = loop(
        "copy",
        "ptr noalias %source, ptr noalias %target",
        "",
        "",
        "\n".join(
            f"{load('source', k)}\n  %n{k} = fneg {vector} %v{k}\n{address('target', k)}\n"
            f"  store {vector} %n{k}, ptr %targetp{k}, align {size}"
            for k in each
        ),
        "",
    )
    return read, copy
