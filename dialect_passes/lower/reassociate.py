"""Let LLVM vectorize reductions which stay plain loops: their order is ours to choose, and it is chosen once."""

from mlir import ir

from ansorc.dialect_passes.ir_walk import collect, iterators


def run(module: ir.Module) -> None:
    """Allow reassociation in the bodies of all reductions of the module."""
    for op in collect(module.operation, "linalg.generic"):
        if "reduction" not in iterators(op):
            continue
        for inner in op.regions[0].blocks[0].operations:
            if inner.operation.name in ("arith.addf", "arith.mulf"):
                with module.context:
                    flags = ir.Attribute.parse("#arith.fastmath<reassoc,contract>")
                inner.operation.attributes["fastmath"] = flags
