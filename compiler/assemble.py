"""From compiled tasks to the pieces of a library: the steps of the host program, and packed weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from mlir import ir

from ansorc.compiler.host import Place, Step, host_ir
from ansorc.compiler.program import Program
from ansorc.dialect_passes.graph.plan_memory import Base, MemoryPlan, Placement, plan
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.kernel_facts import KernelFacts, Packing
from ansorc.runtime.signature import host_names, host_numbers

ALIGNMENT = 64


@dataclass(frozen=True)
class PackedWeight:
    """One array as a kernel reads it, and where it lies in the library's weights."""

    symbol: str
    packing: Packing | None
    offset: int


@dataclass(frozen=True)
class Assembly:
    """What the library is made of besides the kernels."""

    host: str
    """LLVM IR."""
    weights: tuple[PackedWeight, ...]
    weight_bytes: int
    memory: MemoryPlan
    calls: int
    steps: tuple[Step, ...]
    """What the host program does, in order."""
    arena_bytes: int
    """What the program's values and the kernels' scratch need together."""


def assemble(program: Program, facts: Mapping[str, KernelFacts], default_threads: int | None) -> Assembly:
    """Plan the memory, place the weights and write the host program."""
    with context(), ir.Location.unknown():
        memory = plan(ir.Module.parse(program.main))
    placed: dict[tuple[str, Packing | None], PackedWeight] = {}
    weight_bytes, scratch_bytes = 0, 0
    steps: list[Step] = []

    def place(p: Placement, packing: Packing | None) -> Place:
        nonlocal weight_bytes
        if p.base is Base.ARENA:
            return Place(0, p.offset)
        if p.base is Base.WEIGHT:
            key = (p.symbol, packing)
            if key not in placed:
                placed[key] = PackedWeight(p.symbol, packing, weight_bytes)
                array = program.weights[p.symbol]
                packed = array.nbytes if packing is None else prod(packing.shape) * array.itemsize
                weight_bytes += -(-packed // ALIGNMENT) * ALIGNMENT
            return Place(1, placed[key].offset)
        return Place(2 + p.index + (len(program.inputs) if p.base is Base.OUTPUT else 0), p.offset)

    for call in memory.calls:
        kernel = facts[call.task]
        arguments = [place(p, kernel.packings.get(k)) for k, p in enumerate(call.arguments)]
        arguments.append(place(call.result, None))
        used = 0
        for size in kernel.scratch:
            arguments.append(Place(0, memory.arena_bytes + used))
            used += -(-size // ALIGNMENT) * ALIGNMENT
        scratch_bytes = max(scratch_bytes, used)
        steps += [Step(s.name, s.chunks, tuple(arguments), s.columns) for s in kernel.sections]
    arena_bytes = memory.arena_bytes + scratch_bytes
    numbers = host_numbers(arena_bytes, len(steps), default_threads or 0, program.inputs, program.outputs)
    names = host_names(program.name, program.inputs, program.outputs)
    return Assembly(
        host_ir(steps, numbers, names), tuple(placed.values()), weight_bytes, memory, len(memory.calls),
        tuple(steps), arena_bytes,
    )  # fmt: skip


def write_packed(assembly: Assembly, weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the library's weights, one array at a time."""
    with path.open("wb") as file:
        for weight in assembly.weights:
            file.seek(weight.offset)
            array = weights[weight.symbol]
            if weight.packing is not None:
                array = weight.packing.apply(array)
            np.ascontiguousarray(array).tofile(file)
        file.truncate(assembly.weight_bytes)
