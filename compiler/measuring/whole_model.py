"""Two libraries of one model, on the same random inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.measuring.runner import Expected
from ansorc.runtime.module import CompiledModel


def difference(model: CompiledModel, expected: CompiledModel, seed: int = 0) -> tuple[str, float]:
    """Return the output that differs most, and by how much of its largest number."""
    generator = np.random.default_rng(seed)
    inputs = {t.name: _random(generator, t.shape, np.dtype(t.dtype)) for t in model.inputs}
    results, wanted = model.run(inputs), expected.run(inputs)
    errors = {name: Expected(wanted[name]).difference(results[name]) for name in wanted}
    worst = max(errors, key=lambda name: errors[name])
    return worst, errors[worst]


def _random(generator: np.random.Generator, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    drawn = generator.standard_normal(shape) if dtype.kind == "f" else generator.integers(0, 2, shape)
    return np.asarray(drawn).astype(dtype)
