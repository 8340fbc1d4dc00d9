"""What is moved only to be moved: by tasks that compute nothing, and within those that do."""

from __future__ import annotations

import re
from math import prod

from mlir import ir

from ansorc.dialect_passes.ir_walk import collect, shape

MOVING = {
    "linalg": ("generic", "yield", "index", "transpose", "copy", "broadcast", "fill", "iterator_type"),
    "arith": ("constant", "index_cast"),
}
"""Operations that compute nothing by themselves, by dialect."""
READS = ("vector.transfer_read", "vector.load", "memref.load")
WRITES = ("vector.transfer_write", "vector.store")
CONSTANTS = ("arith.constant", "ub.poison")
REARRANGES = (
    "arith.select",
    "vector.broadcast",
    "vector.extract",
    "vector.extract_strided_slice",
    "vector.from_elements",
    "vector.insert",
    "vector.insert_strided_slice",
    "vector.shape_cast",
    "vector.shuffle",
    "vector.to_elements",
    "vector.transpose",
)
"""What makes a vector of the numbers of others."""


def computes(task: str) -> bool:
    """Whether a task, as text of the stage `linalg`, does more than move what it reads."""
    operations = re.findall(r"\b(linalg|arith|math)\.(\w+)", task)
    return any(name not in MOVING.get(dialect, ()) for dialect, name in operations)


def copied_bytes(task: ir.Module) -> int:
    """Count what a task of the stage `bufferized` writes as it read it: panels, borders, columns.

    Each chunk counts, and a copy whose size or place differs between them as the largest.
    """
    copied = 0
    for op in collect(task.operation, "linalg.copy", "memref.copy", "linalg.generic", *WRITES):
        vectors = op.name in WRITES
        if _was_read(op.operands[0]) if vectors else op.name != "linalg.generic" or _yields_its_input(op):
            copied += _turns(op) * _bytes(op.operands[0 if vectors else len(op.operands) - 1])
    return copied


def _was_read(vector: ir.Value) -> bool:
    """Whether a vector has numbers that were read, and none that were computed."""
    read, left, seen = False, [vector], set[ir.Operation]()
    while left:
        value = left.pop()
        if isinstance(value.owner, ir.Block):
            return False
        made = value.owner.operation
        if made in seen:
            continue
        seen.add(made)
        if made.name in REARRANGES:
            parts = list(made.operands)[1 if made.name == "arith.select" else 0 :]
            left += [part for part in parts if not isinstance(part.type, ir.IndexType)]
        elif made.name in READS:
            read = True
        elif made.name not in CONSTANTS:
            return False
    return read


def _yields_its_input(op: ir.Operation) -> bool:
    """Whether a `linalg.generic` copies a buffer."""
    block = op.regions[0].blocks[0]
    yielded = list(block.operations)[-1].operands[0]
    inputs = [a for a, v in zip(block.arguments, op.operands, strict=True) if isinstance(v.type, ir.MemRefType)][:-1]
    return yielded in inputs


def _bytes(value: ir.Value) -> int:
    """Return the size of a vector or a buffer; of a piece whose size is not known, that of what it is a piece of."""
    while any(size < 0 for size in shape(value)):
        value = value.owner.operation.operands[0]
    width = getattr(ir.ShapedType(value.type).element_type, "width", 64)
    return prod(shape(value)) * max(8, width) // 8


def _turns(op: ir.Operation) -> int:
    """Return how often an operation runs at most; a loop whose bounds nobody knows counts as one turn."""
    turns, around = 1, op.parent
    while around is not None and around.operation.name != "func.func":
        loop = around.operation
        if loop.name == "scf.for":
            lower, upper, step = (_known(v) for v in list(loop.operands)[:3])
            if lower is not None and upper is not None and step:
                turns *= -(-(upper - lower) // step)
        elif loop.name == "scf.forall":
            bounds = [loop.attributes[f"static{name}"] for name in ("LowerBound", "UpperBound", "Step")]
            turns *= prod(-(-(u - low) // s) for low, u, s in zip(*map(ir.DenseI64ArrayAttr, bounds), strict=True))
        around = loop.parent
    return turns


def _known(bound: ir.Value) -> int | None:
    """Return a loop's bound; of the larger or smaller of several numbers, the one that is known."""
    if isinstance(bound.owner, ir.Block):
        return None
    made = bound.owner.operation
    if made.name == "arith.constant":
        return ir.IntegerAttr(made.attributes["value"]).value
    if made.name not in ("affine.min", "affine.max"):
        return None
    results = ir.AffineMapAttr(made.attributes["map"]).value.results
    return next((ir.AffineConstantExpr(e).value for e in results if isinstance(e, ir.AffineConstantExpr)), None)
