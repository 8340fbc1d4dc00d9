"""Compare with zero instead of taking the maximum of a number and zero.

    %r = arith.maximumf %x, 0
    -->
    %c = arith.cmpf ogt, 0, %x; %r = arith.select %c, 0, %x

This is one instruction on x86; the maximum is three, as it has to tell 0 from -0. NaN stays NaN; -0 stays -0, which
equals the 0 of a maximum.
"""

from mlir import ir
from mlir.dialects import arith

from ansorc.dialect_passes.ir_walk import collect

COMPARED = {"arith.maximumf": arith.CmpFPredicate.OGT, "arith.minimumf": arith.CmpFPredicate.OLT}


def run(module: ir.Module) -> None:
    """Rewrite maxima and minima of zero and something else, scalars or vectors, in place."""
    for op in collect(module.operation, *COMPARED):
        for zero, x in (tuple(op.operands), tuple(op.operands)[::-1]):
            if _is_zero(zero):
                with ir.InsertionPoint(op), op.location:
                    beyond = arith.cmpf(COMPARED[op.name], zero, x)
                    made = arith.select(beyond, zero, x)
                op.results[0].replace_all_uses_with(made)
                op.erase()
                break


def _is_zero(value: ir.Value) -> bool:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return False
    number = value.owner.operation.attributes["value"]
    if isinstance(number, ir.DenseFPElementsAttr) and number.is_splat:
        number = number.get_splat_value()
    return isinstance(number, ir.FloatAttr) and ir.FloatAttr(number).value == 0
