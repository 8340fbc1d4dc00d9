"""Turn `memref.copy` into `linalg.copy`.

Upstream lowers the former to a call of a runtime library that we do not have.
"""

from mlir import ir
from mlir.dialects import linalg

from ansorc.dialect_passes.ir_walk import collect


def run(module: ir.Module) -> None:
    """Rewrite every copy of the module in place."""
    for op in collect(module.operation, "memref.copy"):
        with ir.InsertionPoint(op), op.location:
            linalg.copy(op.operands[0], outs=[op.operands[1]])
        op.erase()
