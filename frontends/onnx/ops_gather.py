"""Gathers: generics that read the data at indices."""

import numpy as np

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError, normal_axis
from ansorc.frontends.onnx.reading import place_of, read_at


def gather(node: Node) -> Operand:
    """Known indices in steps are a slice; others are read one by one."""
    x = node.value(0)
    axis = normal_axis(node.attribute("axis", 0), x.rank)
    indices = node.operand(1)
    shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
    if isinstance(indices, np.ndarray):
        run = as_run(indices, x.shape[axis])
        if run is not None:
            start, step = run
            begin, sizes, steps = [0] * x.rank, list(x.shape), [1] * x.rank
            begin[axis], sizes[axis], steps[axis] = start, indices.size, step
            return node.emitter.reshape(node.emitter.slice(x, begin, sizes, steps), shape)
    places = node.value(1)
    middle = list(range(axis, axis + places.rank))

    def body(b: Block, index: Scalar) -> Scalar:
        at = [b.index(d) for d in range(axis)]
        at.append(place_of(b, index, x.shape[axis]))
        at += [b.index(d) for d in range(axis + places.rank, len(shape))]
        return read_at(b, x, at)

    return node.emitter.generic(shape, [(places, middle)], x.dtype, body)


def as_run(indices: np.ndarray, size: int) -> tuple[int, int] | None:
    """Start and step when the indices ascend evenly."""
    places = np.where(indices < 0, indices + size, indices).reshape(-1).astype(np.int64)
    if places.size == 0:
        return None
    if places.min() < 0 or places.max() >= size:
        raise RefusedError(f"an index is outside an axis of {size}")
    if places.size == 1:
        return int(places[0]), 1
    steps = np.diff(places)
    return (int(places[0]), int(steps[0])) if steps[0] > 0 and (steps == steps[0]).all() else None


def gather_elements(node: Node) -> Value:
    x, indices = node.value(0), node.value(1)
    axis = normal_axis(node.attribute("axis", 0), x.rank)

    def body(b: Block, index: Scalar) -> Scalar:
        place = place_of(b, index, x.shape[axis])
        return read_at(b, x, [place if d == axis else b.index(d) for d in range(x.rank)])

    dims = list(range(x.rank))
    return node.emitter.generic(indices.shape, [(indices, dims)], x.dtype, body)


def gather_nd(node: Node) -> Value:
    x, indices = node.value(0), node.value(1)
    batch = node.attribute("batch_dims", 0)
    depth = indices.shape[-1]
    outer = indices.shape[:-1]
    shape = [*outer, *x.shape[batch + depth :]]
    # One tensor of indices for each indexed dim.
    columns = []
    for k in range(depth):
        begin, sizes = [0] * indices.rank, [*outer, 1]
        begin[-1] = k
        columns.append(node.emitter.reshape(node.emitter.slice(indices, begin, sizes), outer))
    dims = list(range(len(outer)))

    def body(b: Block, *index: Scalar) -> Scalar:
        at = [b.index(d) for d in range(batch)]
        at += [place_of(b, i, x.shape[batch + k]) for k, i in enumerate(index)]
        at += [b.index(d) for d in range(len(outer), len(shape))]
        return read_at(b, x, at)

    return node.emitter.generic(shape, [(c, dims) for c in columns], x.dtype, body)


GATHER: dict[str, Operator] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
}
