"""Let a product be fused with the sum that it goes into: the bodies of linalg's named operations do not say so."""

from mlir import ir

from ansorc.dialect_passes.ir_walk import collect, iterators


def run(module: ir.Module) -> None:
    """Allow contraction in the bodies of all reductions of the module."""
    for op in collect(module.operation, "linalg.generic"):
        if "reduction" not in iterators(op):
            continue
        for inner in op.regions[0].blocks[0].operations:
            if inner.operation.name in ("arith.addf", "arith.mulf"):
                with module.context:
                    inner.operation.attributes["fastmath"] = ir.Attribute.parse("#arith.fastmath<contract>")
