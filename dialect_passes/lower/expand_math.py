"""Replace transcendental functions by polynomials in `arith`, so that they vectorize."""

from mlir import ir


def run(module: ir.Module) -> None:
    """Rewrite `math.exp`, `math.tanh`, `math.erf` on f32 in place."""
