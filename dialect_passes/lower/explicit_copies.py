"""Turn insertions of whole arguments into copies that can be tiled.

    %i = tensor.insert_slice %a into %out[0, 0]
    -->
    %s = tensor.extract_slice %out[0, 0]; %c = linalg.copy %a -> %s; %i = tensor.insert_slice %c into %out[0, 0]

Bufferization alone would make serial copies of them.
"""

from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes.ir_walk import collect, shape


def run(module: ir.Module) -> None:
    """Rewrite in place every insertion of an argument, and every chain of them that starts from `tensor.empty`."""
    for op in collect(module.operation, "tensor.insert_slice"):
        if _is_plain(op) and _source_is_argument(op):
            _insert(op)


def copied_into(source: ir.Value, into: ir.Value, offsets: list[int], strides: list[int] | None = None) -> ir.Value:
    """Return `into` with `source` copied to `offsets`."""
    sizes = shape(source)
    steps = strides or [1] * len(sizes)
    part = tensor.ExtractSliceOp(source.type, into, [], [], [], offsets, sizes, steps).result
    copy = linalg.copy(source, outs=[part])
    return tensor.InsertSliceOp(copy, into, [], [], [], offsets, sizes, steps).result


def _numbers(op: ir.Operation, name: str) -> list[int]:
    return list(ir.DenseI64ArrayAttr(op.attributes[name]))


def _is_plain(op: ir.Operation) -> bool:
    return len(op.operands) == 2 and shape(op.operands[0]) == _numbers(op, "static_sizes")


def _source_is_argument(op: ir.Operation) -> bool:
    return isinstance(op.operands[0].owner, ir.Block)


def _insert(op: ir.Operation) -> None:
    with ir.InsertionPoint(op), op.location:
        into = op.operands[1]
        owner = into.owner
        if not isinstance(owner, ir.Block) and owner.operation.name == "tensor.empty":
            # A fresh one, which nothing else uses: the destination takes its place.
            kind = ir.RankedTensorType(into.type)
            into = tensor.EmptyOp(list(kind.shape), kind.element_type).result
        offsets, strides = (_numbers(op, n) for n in ("static_offsets", "static_strides"))
        value = copied_into(op.operands[0], into, offsets, strides)
    op.results[0].replace_all_uses_with(value)
    op.erase()
