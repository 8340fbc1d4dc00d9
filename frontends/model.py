"""What a frontend hands over: MLIR text, the weights beside it, and the signature."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """Name, numpy dtype name and static shape of one input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """An imported model; `text` is a module of the stage `imported`."""

    name: str
    text: str
    weights: dict[str, np.ndarray]
    """Symbol of an `ml_program.global` in `text` -> its numbers (C-contiguous)."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
