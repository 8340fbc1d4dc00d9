"""Elementwise computation of operands that ONNX broadcasts against each other."""

from collections.abc import Sequence

import numpy as np

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.emitter import Body, Value
from ansorc.frontends.onnx.node import Node, Operand


def elementwise(node: Node, operands: Sequence[Operand], dtype: str, body: Body) -> Value:
    """One generic. A known scalar becomes a constant in its body; broadcast unit dims go."""
    shape = np.broadcast_shapes(*(tuple(o.shape) for o in operands))
    inputs: list[tuple[Value, Sequence[int]]] = []
    scalars: dict[int, np.ndarray] = {}
    for position, operand in enumerate(operands):
        if isinstance(operand, np.ndarray) and operand.size == 1:
            scalars[position] = operand
            continue
        dims, kept = projected(tuple(operand.shape), shape)
        hint = node.input_names[position] if position < len(node.input_names) else ""
        inputs.append((node.tensor(node.reshaped(operand, kept), hint), dims))

    def full(block: Block, *read: Scalar) -> Scalar:
        rest = iter(read)
        return body(
            block,
            *(
                block.constant(scalars[p].reshape(-1)[0], scalars[p].dtype.name) if p in scalars else next(rest)
                for p in range(len(operands))
            ),
        )

    return node.emitter.generic(shape, inputs, dtype, full)


def projected(shape: tuple[int, ...], target: Sequence[int]) -> tuple[list[int], list[int]]:
    """Dims of `target` that a right-aligned `shape` runs over, and its shape without the rest."""
    offset = len(target) - len(shape)
    dims = [offset + i for i, d in enumerate(shape) if d == target[offset + i]]
    return dims, [target[d] for d in dims]


def broadcast(node: Node, value: Value, shape: Sequence[int]) -> Value:
    """A copy of `value` in the larger shape."""
    shape = tuple(int(d) for d in shape)
    if value.shape == shape:
        return value
    dims, kept = projected(value.shape, shape)
    narrow = node.emitter.reshape(value, kept)
    return node.emitter.generic(shape, [(narrow, dims)], value.dtype, lambda _, x: x)
