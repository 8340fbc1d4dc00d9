"""Say how long the vectors of a machine with SVE are: LLVM then computes fixed vectors in its registers."""

from __future__ import annotations

from mlir import ir

GRANULE_BYTES = 16
"""SVE registers are a multiple of this; NEON's are exactly it."""


def run(module: ir.Module, vector_bytes: int) -> None:
    """Give every function of the LLVM dialect the range of `vscale` that `vector_bytes` mean."""
    scale = vector_bytes // GRANULE_BYTES
    with module.context:
        attribute = ir.Attribute.parse(f"#llvm.vscale_range<minRange = {scale} : i32, maxRange = {scale} : i32>")
    for op in module.body.operations:
        if op.operation.name == "llvm.func" and len(op.operation.regions[0].blocks) > 0:
            op.operation.attributes["vscale_range"] = attribute
