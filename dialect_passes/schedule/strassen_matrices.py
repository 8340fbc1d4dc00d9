"""The matrices of Strassen's algorithm: a product of 2 x 2 blocks by 7 products of blocks instead of 8.

Volker Strassen, "Gaussian Elimination is not Optimal", 1969. Blocks are numbered by rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PRODUCTS = 7
INPUT = np.array([
    [1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0], [-1, 0, 1, 0], [0, 1, 0, -1],
], np.float64)  # fmt: skip
"""What of the left operand's blocks each product reads, [7][4]."""
WEIGHT = np.array([
    [1, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1],
], np.float64)  # fmt: skip
"""The same of the right operand."""
OUTPUT = np.array([
    [1, 0, 0, 1, -1, 0, 1], [0, 0, 1, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0], [1, -1, 1, 0, 0, 1, 0],
], np.float64)  # fmt: skip
"""Of which products each block of the result is the sum, [4][7]."""


def transform_weight(weight: NDArray[Any]) -> NDArray[Any]:
    """Return the right operands of the products, [..., k, n] -> [7, k / 2, n / 2]; leading dims are of extent 1."""
    k, n = weight.shape[-2:]
    wide = weight.reshape(2, k // 2, 2, n // 2).transpose(0, 2, 1, 3).reshape(4, k // 2, n // 2).astype(np.float64)
    made = [np.sum([c * wide[b] for b, c in enumerate(row) if c], axis=0) for row in WEIGHT]
    return np.array(made, dtype=weight.dtype)


def amplification() -> float:
    """Return how much more it rounds than the plain product does, in the mean square: see winograd_matrices."""
    sizes = np.linalg.norm(INPUT, axis=1) * np.linalg.norm(WEIGHT, axis=1)
    return float(((OUTPUT * sizes) ** 2).sum(axis=1).max() / 2)
