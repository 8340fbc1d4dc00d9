"""Turn `memref.copy` into vectors where it is a short row, or else into `linalg.copy`.

Upstream lowers it to a call of a runtime library that we do not have. A row that is read at a computed place and
written as it is has become such a copy: canonicalization folds a vector that is only read and written.
"""

from collections.abc import Sequence
from math import prod

from mlir import ir
from mlir.dialects import arith, linalg, memref, ub, vector

from ansorc.dialect_passes.ir_walk import collect
from ansorc.dialect_passes.schedule.build_generic import plain_map

LONGEST_ROW = 256
"""Elements; a longer one would be too many registers at a time."""


def run(module: ir.Module) -> None:
    """Rewrite every copy of the module in place."""
    for op in collect(module.operation, "memref.copy"):
        with ir.InsertionPoint(op), op.location:
            if not _copied_row(op.operands[0], op.operands[1]):
                linalg.copy(op.operands[0], outs=[op.operands[1]])
        op.erase()


def _copied_row(source: ir.Value, into: ir.Value) -> bool:
    """Copy a short row as a vector; return False where it is not one."""
    kinds = [ir.MemRefType(v.type) for v in (source, into)]
    sizes = list(kinds[0].shape)
    length = prod(sizes)
    if not 1 < length <= LONGEST_ROW or not all(is_row(kind) for kind in kinds):
        return False
    element = kinds[0].element_type
    with_dims = [k for k, size in enumerate(sizes) if size > 1]
    if len(with_dims) > 1:
        groups = [list(range(len(sizes)))]
        source, into = (joined(v, kind, groups) for v, kind in zip((source, into), kinds, strict=True))
    rank, last = (1, 0) if len(with_dims) > 1 else (len(sizes), with_dims[0])
    row, nothing = ir.VectorType.get([length], element), ub.PoisonOp(element).result
    at = [arith.ConstantOp(ir.IndexType.get(), 0).result] * rank
    order = ir.AffineMapAttr.get(plain_map(rank, [last]))
    read = vector.TransferReadOp(row, source, at, order, nothing, [True]).result
    vector.TransferWriteOp(None, read, into, at, order, [True])
    return True


def is_row(kind: ir.MemRefType, first: int = 0) -> bool:
    """Whether the elements of the dims from the `first` on lie one after the other."""
    wanted = 1
    strides, _ = kind.get_strides_and_offset()
    for size, stride in reversed(list(zip(kind.shape, strides, strict=True))[first:]):
        if size < 0 or (size > 1 and stride != wanted):
            return False
        wanted *= size
    return True


def joined(value: ir.Value, kind: ir.MemRefType, groups: Sequence[Sequence[int]]) -> ir.Value:
    """Return a buffer with each group of its dims, which are contiguous, as one."""
    strides, offset = kind.get_strides_and_offset()
    # As upstream infers them: a group's elements are as far apart as those of its last dim that has more than one.
    apart = [next((strides[k] for k in reversed(g) if kind.shape[k] != 1), strides[g[0]]) for g in groups]
    layout = ir.StridedLayoutAttr.get(offset, apart) if isinstance(kind.layout, ir.StridedLayoutAttr) else None
    shape = [prod(kind.shape[k] for k in g) for g in groups]
    joined = ir.MemRefType.get(shape, kind.element_type, layout, kind.memory_space)
    return memref.collapse_shape(joined, value, groups)
