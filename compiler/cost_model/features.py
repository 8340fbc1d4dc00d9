"""A candidate in numbers: what its kind's model and its properties say, its decisions, and its task.

All are computed in closed form, without lowering (Ansor needs the lowered program for its 164). Sizes are logarithms to
the base 2; a number that a kind does not have is negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import log2, prod
from typing import Any

from ansorc.compiler.sketch.analytic import OVERLAP
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.kinds import SKETCHED
from ansorc.compiler.sketch.properties import COMPILE_SECONDS, COMPILE_SECONDS_A_BYTE, Properties

NONE = -1.0
DECIDED = (
    "lanes", "vectors", "pack", "channels_inside", "border", "part", "unroll", "prefetch", "chunk_blocks",
    "m", "rows", "tile_x", "tile_y", "input_channels", "output_blocks", "parts", "across", "along", "across_inside",
)  # fmt: skip
"""Decisions that have a column of their own; those of numbered loops have columns by their place from the end."""
NUMBERED = ("tile", "chunk", "block", "vectors")
PLACES = 3
PARTS = ("FMA ports", "L2", "memory", "transforms")
PROPERTIES = tuple(f.name for f in fields(Properties))
TASK = ("kind", "parallel", "channels", "rows of the task", "reduction", "innermost reduction", "loops")
DERIVED = (
    "cycles", "waves", "waste of the last wave", "flops a chunk", "flops a byte of L2", "flops a byte of memory",
    "chunk in L2", "tile in L1",
)  # fmt: skip
MACHINE = ("vector bytes", "vector registers", "bytes of L1", "bytes of L2", "threads")
NAMES = (
    *TASK, *PROPERTIES, *DERIVED, *(f"share of {part}" for part in PARTS), *DECIDED,
    *(f"{n}[-{k + 1}]" for n in NUMBERED for k in range(PLACES)), *(f"all {n}" for n in NUMBERED), *MACHINE,
)  # fmt: skip
"""The columns."""
KINDS = tuple(SKETCHED)
CODE_BYTES = NAMES.index("code_bytes")


def features(space: TaskSpace[Any], values: Mapping[str, int], threads: int) -> tuple[list[float], float]:
    """Return the row of a legal candidate, and the cycles on one core that its kind's model estimates."""
    known = space.kind.properties(space.nest, space.machine, values)
    parts = space.kind.parts(space.nest, space.machine, values)
    cycles = estimated_cycles(parts)
    waves = -(-known.chunks // threads)
    machine = space.machine
    row = [
        *_task(space),
        *(log2(1 + x) for x in vars(known).values()),
        log2(1 + cycles), log2(1 + waves), waves * threads / known.chunks, log2(1 + known.flops / known.chunks),
        log2((1 + known.flops) / (1 + known.l2_bytes)), log2((1 + known.flops) / (1 + known.memory_bytes)),
        log2((1 + known.chunk_footprint) / machine.l2_bytes), log2((1 + known.tile_footprint) / machine.l1_bytes),
        *(parts[name] / cycles if name in parts else NONE for name in PARTS),
        *(log2(1 + values[name]) if name in values else NONE for name in DECIDED),
        *_numbered(values),
        machine.vector_bytes, machine.vector_registers, log2(machine.l1_bytes), log2(machine.l2_bytes), threads,
    ]  # fmt: skip
    return row, cycles


def compile_seconds(row: Sequence[float]) -> float:
    """Return what a candidate is estimated to take to compile, by its row."""
    return COMPILE_SECONDS + COMPILE_SECONDS_A_BYTE * (2 ** row[CODE_BYTES] - 1)


def estimated_cycles(parts: Mapping[str, float]) -> float:
    """Return the greatest of a model's parts and a share of the others: what the models themselves minimise."""
    most = max(parts.values())
    return max(1.0, most + OVERLAP * (sum(parts.values()) - most))


def _task(space: TaskSpace[Any]) -> list[float]:
    parallel, reductions = space.sketch.parallel, space.sketch.reductions
    return [
        KINDS.index(space.kind.name), log2(1 + prod(parallel)), log2(1 + parallel[-1]) if parallel else NONE,
        log2(1 + parallel[-2]) if len(parallel) > 1 else NONE, log2(1 + prod(reductions)),
        log2(1 + reductions[-1]) if reductions else NONE, len(parallel) + len(reductions),
    ]  # fmt: skip


def _numbered(values: Mapping[str, int]) -> list[float]:
    groups: dict[str, list[int]] = {name: [] for name in NUMBERED}
    for name, value in values.items():
        stem, _, number = name.rpartition("_")
        if stem in groups and number.isdecimal():
            groups[stem].append(value)
    row: list[float] = []
    for found in groups.values():
        last = found[::-1][:PLACES]
        row += [log2(1 + v) for v in last] + [NONE] * (PLACES - len(last))
    return row + [log2(1 + prod(found)) if found else NONE for found in groups.values()]
