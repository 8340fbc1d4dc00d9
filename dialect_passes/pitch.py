"""Values that lie in the rows of a larger one: a part of a concatenation.

    tensor<1x56x56x96> as the first channels of tensor<1x56x56x256>: rows of 96 elements, 256 from one to the next

An argument or a result of a task says so in its attribute `ansorc.pitch = array<i64: 96, 256>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlir import ir

ATTRIBUTE = "ansorc.pitch"


@dataclass(frozen=True)
class Pitch:
    """How a value lies in memory: `row` elements behind each other, `step` elements from one row to the next."""

    row: int
    step: int

    def attribute(self) -> ir.Attribute:
        """Return it as an attribute."""
        return ir.DenseI64ArrayAttr.get([self.row, self.step])

    def strides(self, sizes: Sequence[int]) -> list[int] | None:
        """Return the stride of each dim of a tensor of these rows; None where a dim is in two rows."""
        found: list[int] = []
        inside, stride = 1, 1
        for size in reversed(sizes):
            if inside == self.row and stride == inside:
                stride = self.step
            elif inside < self.row:
                inside *= size
            if self.row % inside:
                return None
            found.append(stride)
            stride *= size
        return found[::-1]


def of_arguments(function: ir.Operation) -> dict[int, Pitch]:
    """Return the pitches of a task's arguments by their numbers."""
    return _pitches(function, "arg_attrs")


def of_result(function: ir.Operation) -> Pitch | None:
    """Return the pitch of a task's only result."""
    return _pitches(function, "res_attrs").get(0)


def _pitches(function: ir.Operation, name: str) -> dict[int, Pitch]:
    if name not in function.attributes:
        return {}
    entries = [ir.DictAttr(a) for a in ir.ArrayAttr(function.attributes[name])]
    return {k: Pitch(*ir.DenseI64ArrayAttr(a[ATTRIBUTE])) for k, a in enumerate(entries) if ATTRIBUTE in a}
