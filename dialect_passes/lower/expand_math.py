"""Replace transcendental functions by polynomials in `arith`, so that they vectorize.

Every function takes and gives f32. Coefficients are least-maximum-error fits made in float64 for the ranges
named beside them. NaN stays NaN and infinities have their limits.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlir import ir
from mlir.dialects import arith, math

from ansorc.dialect_passes.ir_walk import collect

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4  # the high part has 9 trailing zero bits: n * high is exact
ROUNDING = 12582912.0  # 1.5 * 2**23: adding it rounds to an integer in the low bits
ROUNDING_BITS = 0x4B400000  # of that number
EXP_LOWEST, EXP_HIGHEST = -104.0, 89.0  # beyond, exp is 0 or infinity in f32

# (exp(r) - 1 - r) / r**2 for |r| <= ln(2) / 2
EXP = (0.5, 0.16666573286056519, 0.04166686162352562, 0.008363739587366581, 0.0013901529600843787)
# tanh(x) / x and erf(x) / x as quotients of polynomials of t = x**2, up to x where they are 1 in f32
TANH_HIGHEST, ERF_HIGHEST = 9.0, 4.0
TANH = (
    (1.0, 0.13616187870502472, 0.0037899469025433064, 2.651134127518162e-05, 2.731196424576865e-08,
     -1.0053447657698555e-11),
    (1.0, 0.46949493885040283, 0.026955202221870422, 0.00038035205216147006, 1.1872308505189721e-06),
)  # fmt: skip
ERF = (
    (1.1283791065216064, 0.19011402130126953, 0.052630465477705, 0.0037313178181648254, 0.0002804541727527976,
     2.004357611440355e-06),
    (1.0, 0.5018170475959778, 0.11391646414995193, 0.014903225935995579, 0.0011474114144220948,
     3.738644591066986e-05),
)  # fmt: skip

# (ln(1 + f) - f + f**2 / 2) / f**3 for sqrt(1/2) <= 1 + f <= sqrt(2)
LN = (0.3333333134651184, -0.250008225440979, 0.20001226663589478, -0.16623355448246002,
      0.142017662525177, -0.13160215318202972, 0.12761524319648743, -0.07634340971708298)  # fmt: skip
SQRT_HALF, SMALLEST_NORMAL = 0.7071067690849304, 1.1754943508222875e-38
SUBNORMAL_SHIFT = 23


@dataclass(frozen=True)
class _Scalars:
    """f32 and i32 arithmetic at the insertion point."""

    f32: ir.Type
    i32: ir.Type

    def number(self, value: float) -> ir.Value:
        return arith.constant(self.f32, struct.unpack("f", struct.pack("f", value))[0])

    def integer(self, value: int) -> ir.Value:
        return arith.constant(self.i32, value)

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return arith.addf(a, b, fastmath=arith.FastMathFlags.contract)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return arith.mulf(a, b, fastmath=arith.FastMathFlags.contract)

    def polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        value = self.number(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = self.add(self.mul(value, x), self.number(coefficient))
        return value

    def exp(self, x: ir.Value) -> ir.Value:
        """2**n * exp(r), n = round(x / ln 2); powers_of_two.py multiplies by the first."""
        clamped = arith.minimumf(arith.maximumf(x, self.number(EXP_LOWEST)), self.number(EXP_HIGHEST))
        shifted = self.add(self.mul(clamped, self.number(LOG2_E)), self.number(ROUNDING))
        whole = arith.subf(shifted, self.number(ROUNDING))
        r = self.add(clamped, self.mul(whole, self.number(-LN2_HIGH)))
        r = self.add(r, self.mul(whole, self.number(-LN2_LOW)))
        value = self.polynomial(r, (1.0, 1.0, *EXP))
        # n is in the low bits of `shifted`.
        n = arith.subi(arith.bitcast(self.i32, shifted), self.integer(ROUNDING_BITS))
        return arith.mulf(value, math.fpowi(self.number(2.0), n))

    def quotient(self, x: ir.Value, highest: float, coefficients: tuple[Sequence[float], Sequence[float]]) -> ir.Value:
        """x P(x**2) / Q(x**2), never beyond 1; the same from `highest` on."""
        bounded = self.bounded(x, highest)
        t = arith.mulf(bounded, bounded)
        above, below = (self.polynomial(t, c) for c in coefficients)
        return self.bounded(arith.divf(arith.mulf(bounded, above), below), 1.0)

    def bounded(self, x: ir.Value, highest: float) -> ir.Value:
        return arith.minimumf(arith.maximumf(x, self.number(-highest)), self.number(highest))

    def tanh(self, x: ir.Value) -> ir.Value:
        return self.quotient(x, TANH_HIGHEST, TANH)

    def erf(self, x: ir.Value) -> ir.Value:
        return self.quotient(x, ERF_HIGHEST, ERF)

    def log(self, x: ir.Value) -> ir.Value:
        """ln(m) + e ln(2), x = m * 2**e with m around 1."""
        return self._of_positive(x, self._log_of_finite(x))

    def log1p(self, x: ir.Value) -> ir.Value:
        """ln(u) and what 1 + x loses when it is rounded to u, relative to u."""
        one = self.number(1.0)
        u = arith.addf(x, one)
        lost = arith.divf(arith.subf(x, arith.subf(u, one)), u)
        return self._of_positive(u, arith.addf(self._log_of_finite(u), lost))

    def _log_of_finite(self, x: ir.Value) -> ir.Value:
        small = arith.cmpf(arith.CmpFPredicate.OLT, x, self.number(SMALLEST_NORMAL))
        normal = arith.select(small, arith.mulf(x, self.number(2.0**SUBNORMAL_SHIFT)), x)
        bits = arith.bitcast(self.i32, normal)
        least = self.integer(struct.unpack("i", struct.pack("f", SQRT_HALF))[0])
        exponent = arith.shrsi(arith.subi(bits, least), self.integer(23))
        f = arith.bitcast(self.f32, arith.subi(bits, arith.shli(exponent, self.integer(23))))
        f = arith.subf(f, self.number(1.0))
        whole = arith.sitofp(self.f32, exponent)
        whole = arith.subf(whole, arith.select(small, self.number(SUBNORMAL_SHIFT), self.number(0.0)))
        t = arith.mulf(f, f)
        tail = self.add(self.mul(self.mul(t, f), self.polynomial(f, LN)), self.mul(whole, self.number(LN2_LOW)))
        tail = self.add(self.mul(t, self.number(-0.5)), tail)
        return self.add(self.mul(whole, self.number(LN2_HIGH)), self.add(f, tail))

    def _of_positive(self, x: ir.Value, logarithm: ir.Value) -> ir.Value:
        """Return a logarithm of x where that is positive and finite; of 0 minus infinity, of less NaN."""
        zero, infinity = self.number(0.0), self.number(float("inf"))
        positive = arith.cmpf(arith.CmpFPredicate.OGT, x, zero)
        is_zero = arith.cmpf(arith.CmpFPredicate.OEQ, x, zero)
        limit = arith.select(is_zero, self.number(float("-inf")), self.number(float("nan")))
        finite = arith.cmpf(arith.CmpFPredicate.OLT, x, infinity)
        return arith.select(positive, arith.select(finite, logarithm, infinity), limit)


FUNCTIONS: dict[str, Callable[[_Scalars, ir.Value], ir.Value]] = {
    "math.exp": _Scalars.exp,
    "math.tanh": _Scalars.tanh,
    "math.erf": _Scalars.erf,
    "math.log": _Scalars.log,
    "math.log1p": _Scalars.log1p,
}


def run(module: ir.Module) -> None:
    """Rewrite the functions of FUNCTIONS on f32 scalars in place."""
    with module.context:
        scalars = _Scalars(ir.F32Type.get(), ir.IntegerType.get_signless(32))
    for op in collect(module.operation, *FUNCTIONS):
        if op.results[0].type != scalars.f32:
            continue
        with ir.InsertionPoint(op), op.location:
            op.results[0].replace_all_uses_with(FUNCTIONS[op.name](scalars, op.operands[0]))
        op.erase()
