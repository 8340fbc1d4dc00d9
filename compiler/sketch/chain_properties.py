"""The properties of a chain's candidate."""

from __future__ import annotations

from math import prod

from ansorc.compiler.sketch.analytic import imbalance
from ansorc.compiler.sketch.chain_cost import chunk_count, panel_bytes
from ansorc.compiler.sketch.chain_nest import ChainNest
from ansorc.compiler.sketch.chain_steps import unrolls_window
from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.properties import KERNEL_BYTES, TILE_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import CACHE_SHARE
from ansorc.dialect_passes.schedule.machine import Machine

STAGE_CODE_BYTES = 60
"""Of an elementwise stage, for half a cycle of its body and a row that is taken at once."""
PACK_CODE_BYTES = 3000


def properties(nest: ChainNest, machine: Machine, values: Values) -> Properties:
    """Compute what is known of a candidate, in closed form."""
    size = nest.element_bytes
    rows = prod(nest.extents[c] for c in (*nest.batch, *nest.rows))
    block_rows = prod(values[f"block_{c}"] for c in nest.rows)
    chunks = chunk_count(nest, values)
    flops = l1 = l2 = 0.0
    code, registers, panels, tile_footprint = float(KERNEL_BYTES), 0, 0, 0.0
    for k, stage in enumerate(nest.stages):
        points = prod(nest.extents[c] for c in stage.loops)
        if nest.rows_of(stage) != nest.rows:  # what windows of several chunks share is computed by each
            inner = [c for c in stage.loops if c not in (*nest.batch, *nest.rows_of(stage))]
            points = chunks * nest.block_rows(stage, values) * prod(nest.extents[c] for c in inner)
        flops += (2 if stage.product is not None else stage.cycles) * points
        if stage.product is None:
            l1 += 2 * points * size
            code += TILE_BYTES + STAGE_CODE_BYTES * 2 * stage.cycles * values["row_tile"]
            continue
        vectors, tile = values[f"vectors_{stage.product.columns}"], values[f"tile_{k}"]
        vectors = 1 if stage.product.window else vectors
        lanes, innermost = nest.lanes(stage.product.columns, values), nest.block(nest.rows_of(stage)[-1], values)
        width, steps = lanes * vectors, prod(nest.extents[c] for c in stage.reduced)
        panel, reads = steps * width * size, points / (tile * width)
        registers = max(registers, tile * vectors + vectors + 1)
        tile_footprint = max(tile_footprint, float(panel + tile * (steps + width) * size))
        l1 += reads * (tile + width) * size
        l2 += reads / steps * panel if panel > CACHE_SHARE * machine.l1_bytes else 0
        panels += panel_bytes(nest, k)
        sizes = {tile, innermost % tile} - {0}
        cycles = nest.stages[stage.product.root].cycles
        unrolled = values["unroll"]
        if stage.product.window:
            unrolled = steps if unrolls_window(tile, steps) else 1
        code += sum(tile_code_bytes(s, vectors, unrolled, 1, cycles) for s in sizes)
        code += PACK_CODE_BYTES * values[f"pack_{k}"]
    touched = float(nest.argument_bytes + nest.result_bytes)
    kept = nest.kept_bytes(values)
    return Properties(
        flops=flops,
        registers=registers,
        vector_efficiency=min(nest.lanes(c, values) for c in nest.columns) / machine.lanes(size),
        chunks=chunks,
        balance=1 / imbalance(chunks),
        tile_footprint=tile_footprint,
        chunk_footprint=float(kept + panels + block_rows / rows * touched),
        task_footprint=touched + panels,
        l1_bytes=l1,
        l2_bytes=l2 + (2.0 * rows / block_rows * kept if kept > machine.l1_bytes / 2 else 0),
        memory_bytes=touched if touched > machine.l2_bytes / 2 else 0.0,
        code_bytes=code,
    )
