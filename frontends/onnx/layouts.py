"""Permutations between ONNX's channels-first and the channels-last that linalg's ops take."""

from collections.abc import Sequence


def channels_last(rank: int) -> list[int]:
    """NC... to N...C."""
    return [0, *range(2, rank), 1]


def channels_first(rank: int) -> list[int]:
    """N...C to NC...."""
    return [0, rank - 1, *range(1, rank - 1)]


def around(pads: Sequence[int]) -> list[int]:
    """Spatial padding in a channels-last tensor."""
    return [0, *pads, 0]


def vector_attribute(numbers: Sequence[int]) -> str:
    values = ", ".join(str(n) for n in numbers)
    return f"dense<[{values}]> : tensor<{len(numbers)}xi64>"
