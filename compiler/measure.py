"""Compiled tasks that run in this process: to compare schedules of a task, and to time them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from mlir import ir
from numpy.typing import NDArray

from ansorc.compiler.host import Place, Step, steps_ir
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.target import Target, parse_target
from ansorc.compiler.task_code import TaskCode
from ansorc.dialect_passes import pitch, zero_border
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import body, functions, shape
from ansorc.dialect_passes.pitch import Pitch
from ansorc.runtime import linking
from ansorc.runtime.kernel_runner import LoadedKernel, aligned, arena
from ansorc.runtime.llvm_binding import LoadedCode, compile_ir

Array = NDArray[Any]
DTYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i8": np.int8}
POISON = 0xFF
"""Every byte of memory that nobody has written yet: not a number, so what is not written shows."""
REPEATS, REPEAT_SECONDS = 5, 0.01


@dataclass(frozen=True)
class TensorType:
    """What an argument or the result of a task is."""

    shape: tuple[int, ...]
    dtype: Any
    pitch: Pitch | None = None
    """Where it lies in the rows of a larger tensor."""
    border: tuple[tuple[int, int], ...] = ()
    """For each dim, how many zeros it begins and ends with; empty for none."""

    @property
    def memory(self) -> tuple[int, ...]:
        """The shape of the memory that it lies in."""
        if self.pitch is None:
            return self.shape
        return (prod(self.shape) // self.pitch.row, self.pitch.step)

    def random(self, generator: np.random.Generator) -> Array:
        """Draw standard normal numbers, or 0 and 1 for integers, within a border of zeros."""
        border = self.border or ((0, 0),) * len(self.shape)
        inside = [size - sum(amounts) for size, amounts in zip(self.shape, border, strict=True)]
        floating = np.dtype(self.dtype).kind == "f"
        drawn = generator.standard_normal(inside) if floating else generator.integers(0, 2, inside)
        numbers = np.asarray(drawn, self.dtype)
        return np.pad(numbers, border) if border else numbers

    def view(self, memory: Array) -> Array:
        """Return the tensor that lies in memory of the shape `memory`."""
        strides = None if self.pitch is None else self.pitch.strides(self.shape)
        if strides is None:
            return memory
        return np.lib.stride_tricks.as_strided(memory, self.shape, [s * memory.itemsize for s in strides])


@lru_cache(maxsize=64)
def types_of_task(text: str) -> tuple[TensorType, ...]:
    """Return the types of a task's arguments, and of its result."""
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        function = next(functions(module))
        block = body(function)
        values = [*block.arguments, list(block.operations)[-1].operands[0]]
        kinds = [str(ir.RankedTensorType(v.type).element_type) for v in values]
        arguments = pitch.of_arguments(function)
        pitches = [*map(arguments.get, range(len(block.arguments))), pitch.of_result(function)]
        borders = [*(zero_border.of_argument(function, k) for k in range(len(block.arguments))), ()]
        rows = zip(values, kinds, pitches, borders, strict=True)
        return tuple(TensorType(tuple(shape(v)), DTYPES[k], p, b) for v, k, p, b in rows)


@dataclass(frozen=True)
class RunnableTask:
    """A compiled task, loaded."""

    kernel: LoadedKernel
    types: tuple[TensorType, ...]
    code: TaskCode

    def random_arguments(self, generator: np.random.Generator) -> list[Array]:
        """Draw standard normal numbers, and 0 or 1 for integers."""
        return [t.random(generator) for t in self.types[:-1]]

    def run(self, arguments: Sequence[Array], threads: int = 1) -> Array:
        """Compute the result of arguments in their plain order; constants are packed first."""
        buffers = self.buffers(arguments)
        self.kernel.run(buffers, threads)
        return self.result(buffers)

    def result(self, buffers: Sequence[Array]) -> Array:
        """Return the result in the buffers of a run."""
        return self.types[-1].view(buffers[len(self.types) - 1])

    def once(self, arguments: Sequence[Array], threads: int = 1) -> float:
        """Time one run, after one that warms up."""
        buffers = self.buffers(arguments)
        self.kernel.run(buffers, threads)
        return self.kernel.run(buffers, threads)

    def seconds(self, arguments: Sequence[Array], threads: int = 1) -> float:
        """Time the task, warm: the median of some repeats."""
        buffers = self.buffers(arguments)
        once = max(1e-9, self.kernel.run(buffers, threads, 2))
        calls = max(1, int(REPEAT_SECONDS / once))
        return statistics.median(self.kernel.run(buffers, threads, calls) for _ in range(REPEATS))

    def buffers(self, arguments: Sequence[Array]) -> list[Array]:
        """Return memory for a run: arguments in the order and layout of the kernel, a poisoned result, scratch."""
        facts = self.code.facts
        packed = {n: packing.apply(arguments[n]) for n, packing in facts.packings.items()}
        kinds = [(t.memory, t.dtype) for n, t in enumerate(self.types) if n not in packed]
        places = iter(arena([*kinds, *(((size,), np.uint8) for size in facts.scratch)]))
        # Weights lie in the library's file, everything else in its arena.
        buffers = [aligned(packed[n].shape, t.dtype) if n in packed else next(places) for n, t in enumerate(self.types)]
        for kind, buffer in zip(self.types, buffers, strict=True):
            if kind.pitch is not None or buffer is buffers[-1]:
                buffer.reshape(-1).view(np.uint8)[:] = POISON
        for n, argument in enumerate(arguments):
            whole = buffers[n] if n in packed else self.types[n].view(buffers[n])
            whole[...] = packed.get(n, argument)
        return [*buffers, *places]


def runnable(text: str, code: TaskCode, target: Target | None = None) -> RunnableTask:
    """Load the object of a task whose text is `text`."""
    target = target or parse_target("native")
    types = types_of_task(text)
    places = tuple(Place(k, 0) for k in range(len(types) + len(code.facts.scratch)))
    steps = [Step(s.name, s.chunks, places, s.columns) for s in code.facts.sections]
    host = compile_ir(steps_ir(steps), target.triple, target.cpu, target.features, level=0)  # data alone
    linker = linking.find_linker(target.triple, True)
    timer = linking.timer_library(linker, target.triple, read_knobs().cache_dir)
    return RunnableTask(LoadedKernel(LoadedCode(code.code, host), len(steps), timer), types, code)
