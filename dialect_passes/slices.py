"""Cut pieces of static size out of tensors, and put them in."""

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.ir_walk import shape


def slice_of(source: ir.Value, offsets: Sequence[int], sizes: Sequence[int]) -> ir.Value:
    """Return a piece; `source` itself where that is all of it."""
    if list(sizes) == shape(source):
        return source
    kind = ir.RankedTensorType.get(list(sizes), ir.RankedTensorType(source.type).element_type)
    return tensor.ExtractSliceOp(kind, source, [], [], [], list(offsets), list(sizes), [1] * len(sizes)).result


def offsets_of(piece: ir.Operation) -> list[int | ir.Value]:
    """Return where a slice begins in what it is of, known or computed."""
    static, computed = list(ir.DenseI64ArrayAttr(piece.attributes["static_offsets"])), iter(list(piece.operands)[1:])
    return [next(computed) if offset == ir.ShapedType.get_dynamic_size() else offset for offset in static]


def inserted(piece: ir.Value, into: ir.Value, offsets: Sequence[int]) -> ir.Value:
    """Return `into` with a piece put in; the piece itself where that is all of it."""
    sizes = shape(piece)
    if sizes == shape(into):
        return piece
    return tensor.InsertSliceOp(piece, into, [], [], [], list(offsets), sizes, [1] * len(sizes)).result
