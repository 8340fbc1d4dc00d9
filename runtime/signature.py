"""Inputs and outputs of a library, and the tables that carry them (see native/ansorc_host.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
"""Names by dtype code."""
C_TYPES = ("float", "double", "uint16_t", "uint16_t", "int64_t", "int32_t", "int16_t", "int8_t", "uint8_t", "uint8_t")
ABI_VERSION = 1


class TensorLike(Protocol):
    """Anything with a name, a dtype's name and a shape."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> object: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class TensorInfo:
    """One input or output; a bfloat16 tensor is an array of uint16."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    code: int


def info_of(name: str, code: int, shape: Sequence[int]) -> TensorInfo:
    """Make the description of a tensor from its table entry."""
    numpy_name = "uint16" if DTYPES[code] == "bfloat16" else DTYPES[code]
    return TensorInfo(name, np.dtype(numpy_name), tuple(shape), code)


def host_numbers(
    arena_bytes: int,
    steps: int,
    default_threads: int,
    inputs: Sequence[TensorLike],
    outputs: Sequence[TensorLike],
) -> list[int]:
    """Return the table `ansorc_host_numbers`."""
    table = [ABI_VERSION, arena_bytes, steps, len(inputs), len(outputs), default_threads]
    for tensor in (*inputs, *outputs):
        table += [DTYPES.index(str(tensor.dtype)), len(tensor.shape), *tensor.shape]
    return table


def host_names(model: str, inputs: Sequence[TensorLike], outputs: Sequence[TensorLike]) -> bytes:
    """Return the table `ansorc_host_names`."""
    return b"".join(name.encode() + b"\0" for name in (model, *(t.name for t in (*inputs, *outputs))))
