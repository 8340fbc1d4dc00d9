"""One ONNX node as the operator tables see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ansorc.frontends.onnx.emitter import Emitter, Value

Operand = Value | np.ndarray
"""A tensor computed at run time, or one whose numbers are known at import."""


class RefusedError(Exception):
    """This node cannot be imported; the importer adds which node it is."""


@dataclass(frozen=True)
class Node:
    name: str
    op: str
    opset: int
    inputs: tuple[Operand | None, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    attributes: dict[str, Any]
    emitter: Emitter

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def operand(self, index: int) -> Operand:
        operand = self.inputs[index] if index < len(self.inputs) else None
        if operand is None:
            raise RefusedError(f"input {index} is missing")
        return operand

    def value(self, index: int) -> Value:
        """The input as a tensor; a known one becomes a weight."""
        return self.tensor(self.operand(index), self.input_names[index])

    def tensor(self, operand: Operand, hint: str = "") -> Value:
        if isinstance(operand, Value):
            return operand
        return self.emitter.weight(operand, hint or self.name)

    def known(self, index: int, what: str) -> np.ndarray:
        operand = self.operand(index)
        if isinstance(operand, Value):
            raise RefusedError(f"{what} (input {index}) must be a constant, but is computed")
        return operand

    def integers(self, index: int, attribute: str, what: str) -> list[int] | None:
        """From an attribute in old opsets, from a known input in newer ones."""
        if attribute in self.attributes:
            return [int(v) for v in self.attributes[attribute]]
        if not self.has(index):
            return None
        return [int(v) for v in self.known(index, what).reshape(-1)]

    def attribute(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    def used(self, output: int) -> bool:
        return output < len(self.output_names) and self.output_names[output] != ""

    def refuse_output(self, output: int, what: str) -> None:
        if self.used(output):
            raise RefusedError(f"the output {what} is not supported")

    def permuted(self, operand: Operand, perm: Sequence[int]) -> Operand:
        if isinstance(operand, Value):
            return self.emitter.transpose(operand, perm)
        return np.ascontiguousarray(operand.transpose(list(perm)))

    def reshaped(self, operand: Operand, shape: Sequence[int]) -> Operand:
        if isinstance(operand, Value):
            return self.emitter.reshape(operand, shape)
        return operand.reshape([int(d) for d in shape])


Operator = Callable[[Node], "Operand | Sequence[Operand | None]"]


def normal_axis(axis: int, rank: int) -> int:
    if not -rank <= axis < max(rank, 1):
        raise RefusedError(f"axis {axis} is outside a tensor of rank {rank}")
    return axis % rank if rank else 0
