"""The schedule of softmax, normalisations and other chains over rows.

    forall (rows) { every operation of the task, on one row }

The chain's common outer loops become the parallel one and all producers are computed inside, so a row is read from
memory once and stays in the first cache. The inner loops stay plain: LLVM vectorizes them.
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, collect, indexing_maps, iterators
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents
from ansorc.dialect_passes.schedule.words import OP, cse, match_attribute, match_ops, patterns, script

MAX_ROW = 16384
"""Longest row, in elements: what is between the operations of a row lives on the stack."""


def emit(function: ir.Operation) -> str | None:
    """Mark the root and return the script; None where the task is not a chain over rows."""
    generics = collect(function, "linalg.generic")
    if len(generics) < 2 or not any("reduction" in iterators(g) for g in generics):
        return None
    root = list(body(function).operations)[-1].operands[0].owner
    if isinstance(root, ir.Block) or root.operation != generics[-1]:
        return None
    root = root.operation
    outer = common_outer_loops(generics)
    extents = loop_extents(root)
    row = 1
    for extent in extents[outer:]:
        row *= extent
    if outer == 0 or row > MAX_ROW or "reduction" in iterators(root)[:outer]:
        return None
    sizes = [1 if extent > 1 else 0 for extent in extents[:outer]]
    if not any(sizes):
        return None
    with function.context:
        root.attributes["ansorc.root"] = ir.UnitAttr.get()
    return script(
        match_attribute("%root", "ansorc.root"),
        f"  %tiled, %loop = transform.structured.fuse %root tile_sizes {sizes} {{use_forall}} : ({OP}) -> ({OP}, {OP})",
        match_ops("%f", "func.func"),
        cse("%f"),
        patterns("%f", "canonicalization"),
    )


def common_outer_loops(generics: list[ir.Operation]) -> int:
    """How many leading loops all operations share: the same dimension of every intermediate result."""
    count = min(len(indexing_maps(g)[-1].results) for g in generics)
    for g in generics:
        kinds = iterators(g)
        for k in range(count):
            if kinds[k] != "parallel" or not _leads(g, k, generics):
                count = k
                break
    return count


def _leads(op: ir.Operation, k: int, generics: list[ir.Operation]) -> bool:
    """Whether loop `k` indexes dimension `k` of the result and of every operand that comes from another operation."""
    dim = ir.AffineDimExpr.get(k, op.context)
    maps = indexing_maps(op)
    if maps[-1].results[k] != dim:
        return False
    for operand, m in zip(list(op.operands)[:-1], maps, strict=False):
        owner = operand.owner
        if (
            not isinstance(owner, ir.Block)
            and owner.operation in generics
            and (len(m.results) <= k or m.results[k] != dim)
        ):
            return False
    return True
