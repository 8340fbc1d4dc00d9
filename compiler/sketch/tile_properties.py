"""The properties of a register-tiled candidate."""

from __future__ import annotations

from math import prod

from ansorc.compiler.sketch import analytic, traffic, window_cost
from ansorc.compiler.sketch.decisions import accumulators
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.loop_nest import LoopNest, Operand
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import CACHE_SHARE
from ansorc.dialect_passes.schedule.machine import Machine

PACK_CODE_BYTES = 1500
VERSIONS = 1.6
"""Register tiles that may lie in a border have code of their own."""


def properties(nest: LoopNest, machine: Machine, values: Values) -> Properties:
    """Compute what is known of a candidate, in closed form."""
    lanes, vectors, steps = values["lanes"], values["vectors"], max(1, nest.steps)
    blocks = nest.parallel[-1] // (lanes * vectors)
    width, unrolled = lanes * vectors, values["unroll"]
    parts = steps // values["part"] if values.get("part") else 1
    panel = steps // parts * width * nest.element_bytes if nest.contraction else 0
    window = prod(nest.reductions[:-1]) if nest.contraction else max(1, steps // unrolled)
    loads = stores = l2 = tiles = 0.0
    code = KERNEL_BYTES + PACK_CODE_BYTES * (values["pack"] + bool(values.get("columns")))
    sizes: set[tuple[int, ...]] = set()
    for size, times in analytic.tile_kinds(nest, values):
        rows, count = prod(size), times * blocks
        loads += count * steps * (rows + (width if nest.contraction else 0)) * nest.element_bytes
        # Sums that wait for the next part, or for their epilogue, are loaded and stored again.
        stores += count * rows * width * nest.element_bytes * (2 * parts + 1 if values.get("finish") else 1)
        tiles += times
        l2 += count * parts * (0 if panel <= CACHE_SHARE * machine.l1_bytes else panel)
        if size not in sizes:
            sizes.add(size)
            tile_code = tile_code_bytes(rows, vectors, unrolled, 1 if parts > 1 else window, nest.epilogue_cycles)
            code += tile_code * (VERSIONS if window_cost.has_versions(nest, values) else 1)
    tile = [values.get(f"tile_{k}", 1) if k in nest.tileable else 1 for k in range(len(nest.outer))]
    chunk = [values[f"chunk_{k}"] for k in range(len(nest.outer))]
    chunks = analytic.chunk_count(nest, values)
    held = vectors + 1 if nest.contraction else 1
    return Properties(
        flops=2.0 * prod(nest.parallel) * steps,
        registers=accumulators(values) + held,
        vector_efficiency=lanes / machine.lanes(nest.element_bytes),
        chunks=chunks,
        balance=1 / analytic.imbalance(chunks),
        tile_footprint=_touched(nest, [*tile, width]),
        chunk_footprint=_touched(nest, [*chunk, width * values["chunk_blocks"]]),
        task_footprint=float(sum(o.size for o in nest.operands)),
        l1_bytes=loads + stores,
        l2_bytes=l2 + traffic.input_bytes(nest),
        memory_bytes=traffic.traffic(nest, machine, values, panel * parts, int(tiles)).total(machine),
        code_bytes=code,
    )


def _touched(nest: LoopNest, parallel: list[int]) -> float:
    """Return the bytes of all operands that so many iterations of each parallel loop touch."""
    extents = [*parallel, *nest.reductions]
    return float(sum(_operand_bytes(o, extents, nest.element_bytes) for o in nest.operands))


def _operand_bytes(operand: Operand, extents: list[int], element_bytes: int) -> int:
    # Windows overlap: not more than what lies between the first byte and the last.
    span = points = element_bytes
    for extent, stride in zip(extents, operand.strides, strict=True):
        if stride:
            span += (extent - 1) * abs(stride)
            points *= extent
    return min(operand.size, span, points)
