"""Multiply by powers of two.

    %p = math.fpowi 2.0, %n; %r = arith.mulf %v, %p
    -->
    %r = llvm.ldexp(%v, %n)                                     two instructions with AVX-512
    %r = %v * bits((n >> 1) + 127) * bits(n - (n >> 1) + 127)    elsewhere

Both are right where the power itself is too large or too small for f32, and the product is not.
"""

from __future__ import annotations

from itertools import product

from mlir import ir
from mlir.dialects import arith, vector

from ansorc.dialect_passes.ir_walk import collect

BIAS, FRACTION_BITS = 127, 23


def run(module: ir.Module, *, scales: bool) -> None:
    """Rewrite products with powers of two of the module; `scales` says that the machine has an instruction for them."""
    for power in collect(module.operation, "math.fpowi"):
        for use in list(power.results[0].uses):
            op = use.owner.operation
            value = op.operands[1 - use.operand_number]
            with ir.InsertionPoint(op), op.location:
                made = (_scaled if scales else _by_halves)(value, power.operands[1])
            op.results[0].replace_all_uses_with(made)
            op.erase()
        power.erase()


def _by_halves(value: ir.Value, n: ir.Value) -> ir.Value:
    half = arith.shrsi(n, _splat(n.type, 1))
    for part in (half, arith.subi(n, half)):
        exponent = arith.shli(arith.addi(part, _splat(n.type, BIAS)), _splat(n.type, FRACTION_BITS))
        value = arith.mulf(value, arith.bitcast(value.type, exponent))
    return value


def _scaled(value: ir.Value, n: ir.Value) -> ir.Value:
    """Return ldexp of a scalar, or of each row of a vector: an intrinsic takes one dim."""
    if not isinstance(value.type, ir.VectorType) or len(ir.VectorType(value.type).shape) < 2:
        return _ldexp(value, n)
    result = value
    for at in product(*map(range, list(ir.VectorType(value.type).shape)[:-1])):
        row = _ldexp(vector.extract(value, [], list(at)), vector.extract(n, [], list(at)))
        result = vector.insert(row, result, [], list(at))
    return result


def _ldexp(value: ir.Value, n: ir.Value) -> ir.Value:
    lanes = f"v{ir.VectorType(value.type).shape[0]}" if isinstance(value.type, ir.VectorType) else ""
    attributes: dict[str, ir.Attribute] = {
        "intrin": ir.StringAttr.get(f"llvm.ldexp.{lanes}f32.{lanes}i32"),
        "op_bundle_sizes": ir.DenseI32ArrayAttr.get([]),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([2, 0]),
    }
    return ir.Operation.create("llvm.call_intrinsic", [value.type], [value, n], attributes).results[0]


def _splat(kind: ir.Type, number: int) -> ir.Value:
    if isinstance(kind, ir.VectorType):
        element = ir.IntegerAttr.get(ir.VectorType(kind).element_type, number)
        return arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, element))
    return arith.constant(kind, number)
