"""The matrices of Winograd's minimal filtering F(m, r): m outputs of r taps with m + r - 1 products.

y = AT ((G g) * (BT d)), by Toom-Cook at the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

POINTS = tuple(Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Matrices:
    """Exact in float64: every entry is a small integer times a power of two, but those of G."""

    output: Matrix
    """AT, [m][m + r - 1]."""
    weight: Matrix
    """G, [m + r - 1][r]."""
    input: Matrix
    """BT, [m + r - 1][m + r - 1]."""


@cache
def matrices(m: int, r: int) -> Matrices:
    """Return the matrices of F(m, r)."""
    points = POINTS[: m + r - 2]
    count = len(points)
    output = [[p**i for p in points] + [Fraction(i == m - 1)] for i in range(m)]
    weight = [
        [p**k / _product([p - q for q in points if q != p]) for k in range(r)] for p in points
    ] + [[Fraction(k == r - 1) for k in range(r)]]  # fmt: skip
    data = [_polynomial([q for q in points if q != p], count + 1) for p in points]
    data.append(_polynomial(list(points), count + 1))
    return Matrices(*(np.array(rows, dtype=np.float64) for rows in (output, weight, data)))


def most_outputs(r: int) -> int:
    """Return the largest m that there are points for."""
    return len(POINTS) + 2 - r


def transform_weight(weight: NDArray[np.float32], m: int) -> NDArray[np.float32]:
    """Return G g G^T, [..., kh, kw, ci, co] -> [a, a, ..., ci, co]; computed in float64."""
    g, wide = matrices(m, weight.shape[-4]).weight, np.moveaxis(weight.astype(np.float64), (-4, -3), (0, 1))
    # Not as a product of matrices: the threads of numpy's BLAS spin for 100 ms after one, beside what is timed next.
    rows = [np.sum([c * wide[k] for k, c in enumerate(row) if c], axis=0) for row in g]
    made = [[np.sum([c * r[k] for k, c in enumerate(row) if c], axis=0) for row in g] for r in rows]
    return np.array(made, dtype=np.float32)


def amplification(m: int, r: int) -> float:
    """Return how much more F(m x m, r x r) rounds than r x r products and their sum do, in the mean square.

    The products for random data and weights are as large as the rows of BT and G are long; the rounding of each goes
    into the result by AT.
    """
    known = matrices(m, r)
    sizes = np.linalg.norm(known.input, axis=1) * np.linalg.norm(known.weight, axis=1)
    return float(((known.output * sizes) ** 2).sum(axis=1).max() / r)


def _product(factors: list[Fraction]) -> Fraction:
    value = Fraction(1)
    for factor in factors:
        value *= factor
    return value


def _polynomial(roots: list[Fraction], length: int) -> list[Fraction]:
    """Return the coefficients of the product of (x - root), the constant first, filled up with zeros."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients + [Fraction(0)] * (length - len(coefficients))
