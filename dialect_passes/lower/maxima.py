"""Maxima and minima that do not tell 0 from -0, which takes x86 three instructions more.

    %r = arith.maximumf %x, 0   -->   %c = arith.cmpf ogt, 0, %x; %r = arith.select %c, 0, %x
    %r = arith.maximumf %x, %y  -->   %r = arith.maximumf %x, %y fastmath<nsz>

The first is one instruction. NaN stays NaN in both; -0 stays -0, which equals the 0 of a maximum.
"""

from mlir import ir
from mlir.dialects import arith

from ansorc.dialect_passes.ir_walk import collect

COMPARED = {"arith.maximumf": arith.CmpFPredicate.OGT, "arith.minimumf": arith.CmpFPredicate.OLT}
NO_SIGN = "#arith.fastmath<nsz>"


def run(module: ir.Module) -> None:
    """Rewrite maxima and minima of scalars or vectors in place."""
    with module.context:
        no_sign, flags = ir.Attribute.parse(NO_SIGN), ir.Attribute.parse("#arith.fastmath<none>")
    for op in collect(module.operation, *COMPARED):
        zeros = [(zero, x) for zero, x in (tuple(op.operands), tuple(op.operands)[::-1]) if _is_zero(zero)]
        if zeros:
            zero, x = zeros[0]
            with ir.InsertionPoint(op), op.location:
                beyond = arith.cmpf(COMPARED[op.name], zero, x)
                made = arith.select(beyond, zero, x)
            op.results[0].replace_all_uses_with(made)
            op.erase()
        elif "fastmath" not in op.attributes or op.attributes["fastmath"] == flags:
            op.attributes["fastmath"] = no_sign


def _is_zero(value: ir.Value) -> bool:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return False
    number = value.owner.operation.attributes["value"]
    if isinstance(number, ir.DenseFPElementsAttr) and number.is_splat:
        number = number.get_splat_value()
    return isinstance(number, ir.FloatAttr) and ir.FloatAttr(number).value == 0
