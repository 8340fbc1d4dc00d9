"""A candidate in numbers: what its kind's model and its properties say, its decisions, and its task.

All are computed in closed form, without lowering (Ansor needs the lowered program for its 164), for a whole population.
Sizes are logarithms to the base 2; a number that a kind does not have is negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import log2, prod
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.sketch.analytic import OVERLAP
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.kinds import BUILT_IN
from ansorc.compiler.sketch.properties import COMPILE_SECONDS, COMPILE_SECONDS_A_BYTE, Properties
from ansorc.compiler.sketch.speeds import without_last_cache

NONE = -1.0
DECIDED = (
    "lanes", "vectors", "pack", "channels_inside", "border", "skip", "finish", "part", "unroll", "prefetch", "stream",
    "chunk_blocks", "m", "rows", "tile_x", "tile_y", "input_channels", "output_blocks", "parts", "across", "along",
    "across_inside", "columns", "row_tile",
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
KINDS = tuple(kind.name for kind in BUILT_IN)
"""A kind of a user is the one after them."""
Array = NDArray[Any]
_PLACE = {name: k for k, name in enumerate(NAMES)}
_CODE_BYTES = _PLACE["code_bytes"]
_properties = attrgetter(*PROPERTIES)


def features(space: TaskSpace[Any], population: Sequence[Sequence[int]], threads: int) -> tuple[Array, Array]:
    """Return a row for each legal candidate, and the cycles on one core that its kind's model estimates.

    Candidates are given by the values of the space's decisions, in their order.
    """
    rows, cycles = np.full((len(population), len(NAMES)), NONE), np.empty(len(population))
    if not len(population):
        return rows, cycles
    # So did the models price it when the shipped trees learned what they leave out.
    kind, nest, machine = space.kind, space.nest, without_last_cache(space.machine)
    names = [d.name for d in space.decisions]
    known = [_properties(space.properties_of(tuple(values))) for values in population]
    shares = [kind.parts(nest, machine, dict(zip(names, values, strict=True))) for values in population]
    for name, value in _constant(space, threads).items():
        rows[:, _PLACE[name]] = value
    cycles[:] = [estimated_cycles(parts) for parts in shares]
    for name in (n for n in PARTS if n in shares[0]):
        rows[:, _PLACE[f"share of {name}"]] = [parts[name] for parts in shares] / cycles
    p = dict(zip(PROPERTIES, np.array(known, np.float64).T, strict=True))
    waves = np.ceil(p["chunks"] / threads)
    derived = (
        1 + cycles, 1 + waves, 2 ** (waves * threads / p["chunks"]), 1 + p["flops"] / p["chunks"],
        (1 + p["flops"]) / (1 + p["l2_bytes"]), (1 + p["flops"]) / (1 + p["memory_bytes"]),
        (1 + p["chunk_footprint"]) / machine.l2_bytes, (1 + p["tile_footprint"]) / machine.l1_bytes,
    )  # fmt: skip
    for name in PROPERTIES:
        rows[:, _PLACE[name]] = np.log2(1 + p[name])
    for name, value in zip(DERIVED, derived, strict=True):
        rows[:, _PLACE[name]] = np.log2(value)
    decided = np.array(population, np.float64)
    for name, columns in _columns(names).items():
        rows[:, _PLACE[name]] = np.log2(1 + np.prod(decided[:, columns], axis=1))
    return rows, cycles


def compile_seconds(rows: Array) -> Array:
    """Return what candidates are estimated to take to compile, by their rows."""
    return COMPILE_SECONDS + COMPILE_SECONDS_A_BYTE * (2 ** rows[:, _CODE_BYTES] - 1)


def estimated_cycles(parts: Mapping[str, float]) -> float:
    """Return the greatest of a model's parts and a share of the others: what the models themselves minimise."""
    most = max(parts.values())
    return max(1.0, most + OVERLAP * (sum(parts.values()) - most))


def _constant(space: TaskSpace[Any], threads: int) -> dict[str, float]:
    """Return the columns that all candidates of a space share: its task and the machine."""
    parallel, reductions, machine = space.sketch.parallel, space.sketch.reductions, space.machine
    task = (
        (*KINDS, space.kind.name).index(space.kind.name), log2(1 + prod(parallel)),
        log2(1 + parallel[-1]) if parallel else NONE,
        log2(1 + parallel[-2]) if len(parallel) > 1 else NONE, log2(1 + prod(reductions)),
        log2(1 + reductions[-1]) if reductions else NONE, len(parallel) + len(reductions),
    )  # fmt: skip
    known = (
        machine.vector_bytes, machine.vector_registers, log2(machine.l1_bytes), log2(machine.l2_bytes), threads,
    )  # fmt: skip
    return dict(zip((*TASK, *MACHINE), (*task, *known), strict=True))


def _columns(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns that are made of decisions, and of which: each holds the logarithm of their product."""
    found = {name: [k] for k, name in enumerate(names) if name in DECIDED}
    for stem in NUMBERED:
        numbered = [k for k, n in enumerate(names) if n.rpartition("_")[0] == stem and n.rpartition("_")[2].isdecimal()]
        found |= {f"{stem}[-{place + 1}]": [k] for place, k in enumerate(numbered[::-1][:PLACES])}
        if numbered:
            found[f"all {stem}"] = numbered
    return found
