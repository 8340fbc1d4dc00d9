"""The schedule that fits every task: each operation alone, its outer loops in parallel, plain loops inside."""

from math import prod

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, iterators
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents
from ansorc.dialect_passes.schedule.words import match_attribute, script, tile

TARGET_CHUNKS = 64
LEAST_WORK = 8192
"""Steps of an operation below which it is not worth a parallel section."""


def emit(function: ir.Operation) -> str | None:
    """Mark the operations of `function` and return the script that tiles them; None where nothing is worth a loop."""
    steps: list[str] = []
    for k, op in enumerate([o.operation for o in body(function).operations]):
        if op.name != "linalg.generic":
            continue
        extents = loop_extents(op)
        if prod(extents) < LEAST_WORK:
            continue
        sizes = _chunk(extents, iterators(op))
        if not any(sizes):
            continue
        with function.context:
            op.attributes[f"ansorc.loop{k}"] = ir.UnitAttr.get()
        steps += [match_attribute(f"%op{k}", f"ansorc.loop{k}"), tile(f"%op{k}", f"%t{k}", [f"%l{k}"], sizes, "forall")]
    return script(*steps) if steps else None


def _chunk(extents: list[int], kinds: list[str]) -> list[int]:
    """Tile sizes 1 for outer parallel loops until there are enough chunks; the innermost loop stays whole."""
    sizes, chunks = [0] * len(extents), 1
    for k in range(len(extents) - 1):
        if kinds[k] != "parallel" or chunks >= TARGET_CHUNKS:
            break
        if extents[k] > 1:
            sizes[k] = 1
            chunks *= extents[k]
    while sizes and sizes[-1] == 0:
        sizes.pop()
    return sizes
