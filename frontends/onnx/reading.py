"""Reads of a captured tensor at computed places, for gathers and reversals."""

from collections.abc import Sequence

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.emitter import Value, held


def read_at(block: Block, tensor: Value, places: Sequence[Scalar]) -> Scalar:
    """places: one index for each dim."""
    names = ", ".join(p.name for p in places)
    read = block.statement(f"tensor.extract {tensor.name}[{names}] : {tensor.type}", held(tensor.dtype))
    return block.cast(read, tensor.dtype)


def place_of(block: Block, index: Scalar, size: int) -> Scalar:
    """An ONNX index as a place: negative ones count from the end."""
    zero, count = block.constant(0, index.dtype), block.constant(size, index.dtype)
    behind = block.add(index, count)
    return block.index_of(block.select(block.compare("lt", index, zero), behind, index))
