"""Replace reads through `d * s` by a strided slice and a plain map: only then do strided windows vectorize.

generic reading x[d0 * 2]  -->  %s = tensor.extract_slice %x[0] [n] [2]; generic reading s[d0]
"""

from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.ir_walk import collect, indexing_maps, shape


def run(module: ir.Module) -> None:
    """Rewrite every `linalg.generic` of the module in place."""
    for op in collect(module.operation, "linalg.generic"):
        maps = indexing_maps(op)
        for k, m in enumerate(maps):
            steps = [_step(e) for e in m.results]
            if set(steps) <= {1}:
                continue
            kind = ir.RankedTensorType(op.operands[k].type)
            sizes = [(d - 1) // s + 1 for d, s in zip(shape(op.operands[k]), steps, strict=True)]
            with ir.InsertionPoint(op), op.location:
                piece = tensor.ExtractSliceOp(
                    ir.RankedTensorType.get(sizes, kind.element_type),
                    op.operands[k],
                    [],
                    [],
                    [],
                    [0] * len(sizes),
                    sizes,
                    steps,
                )
            op.operands[k] = piece.result
            plain = [ir.AffineMulExpr(e).lhs if isinstance(e, ir.AffineMulExpr) else e for e in m.results]
            maps[k] = ir.AffineMap.get(m.n_dims, 0, plain)
        op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])


def _step(expr: ir.AffineExpr) -> int:
    return ir.AffineConstantExpr(ir.AffineMulExpr(expr).rhs).value if isinstance(expr, ir.AffineMulExpr) else 1
