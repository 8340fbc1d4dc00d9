"""Multiply with a reciprocal instead of dividing by a constant.

    %r = arith.divf %x, 6
    -->
    %r = arith.mulf %x, 0.16666667

A division of a vector takes as long as ten multiplications and more, and the last step of hard-swish is one for each
element. The result may be off by one unit in its last place; where the divisor is a power of two, it is not.
"""

import numpy as np
from mlir import ir
from mlir.dialects import arith

from ansorc.dialect_passes.ir_walk import collect

TYPES: dict[str, type[np.floating]] = {"f32": np.float32, "f64": np.float64}


def run(module: ir.Module) -> None:
    """Rewrite divisions of scalars of f32 and f64 in place."""
    for op in collect(module.operation, "arith.divf"):
        inverse = _inverse(op.operands[1])
        if inverse is None:
            continue
        with ir.InsertionPoint(op), op.location:
            factor = arith.constant(op.results[0].type, inverse)
            made = arith.mulf(op.operands[0], factor, fastmath=arith.FastMathFlags.contract)
        op.results[0].replace_all_uses_with(made)
        op.erase()


def _inverse(divisor: ir.Value) -> float | None:
    """Return 1 / divisor where both are constants that a multiplication is as good with: no zeros, no subnormals."""
    if isinstance(divisor.owner, ir.Block) or divisor.owner.operation.name != "arith.constant":
        return None
    kind = TYPES.get(str(divisor.type))
    if kind is None:
        return None
    number = kind(ir.FloatAttr(divisor.owner.operation.attributes["value"]).value)
    with np.errstate(all="ignore"):
        inverse = kind(1) / number
    least = np.finfo(kind).tiny
    usual = np.isfinite(number) and np.isfinite(inverse) and abs(number) >= least and abs(inverse) >= least
    return float(inverse) if usual else None
