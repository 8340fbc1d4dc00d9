"""Pooling as channels-last named ops; global pooling as reductions."""

from math import prod

import numpy as np

from ansorc.frontends.onnx.element_types import is_float, is_unsigned, lowest, numpy_dtype
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.layouts import (
    around,
    channels_first,
    channels_last,
    vector_attribute,
)
from ansorc.frontends.onnx.node import Node, Operator, RefusedError
from ansorc.frontends.onnx.ops_reduction import reduce_mean, reduced
from ansorc.frontends.onnx.windows import Window, window_of

FEWER_STEPS = 2
"""A pass more over the images is worth so many times fewer."""
LAYOUTS = {1: "nwc", 2: "nhwc", 3: "ndhwc"}


def max_pool(node: Node) -> Value:
    node.refuse_output(1, "Indices")
    x, window = geometry(node)
    bottom = lowest(x.dtype)
    kind = "max" if is_float(x.dtype) or not is_unsigned(x.dtype) else "max_unsigned"
    return pooled(node, x, window, kind, bottom)


def average_pool(node: Node) -> Value:
    x, window = geometry(node)
    total = pooled(node, x, window, "sum", 0)
    counts = window_counts(window, x.shape[2:], bool(node.attribute("count_include_pad", 0)))
    scale = (1.0 / counts).astype(numpy_dtype(x.dtype))
    dims = list(range(x.rank))
    if (counts == counts.flat[0]).all():
        number = scale.flat[0]
        return node.emitter.map([total], x.dtype, lambda b, v: b.mul(v, b.constant(number, x.dtype)))
    factors = node.tensor(scale, f"{node.name}_scale")
    return node.emitter.generic(total.shape, [(total, dims), (factors, dims[2:])], x.dtype, lambda b, v, c: b.mul(v, c))


def geometry(node: Node) -> tuple[Value, Window]:
    x = node.value(0)
    if x.rank not in (3, 4, 5):
        raise RefusedError(f"an input of rank {x.rank}; 1-D, 2-D and 3-D are supported")
    return x, window_of(node, node.attribute("kernel_shape", ()), x.shape[2:])


def pooled(node: Node, x: Value, window: Window, kind: str, start: object) -> Value:
    """Combine all that lies in each window; large ones that overlap along one axis after the other: fewer steps."""
    emitter, rank = node.emitter, x.rank - 2
    y = emitter.transpose(x, channels_last(x.rank))
    parts = window.by_axis(x.shape[2:])
    if FEWER_STEPS * sum(prod(part.kernel) * prod(part.out) for part in parts) > prod(window.kernel) * prod(window.out):
        parts = [window]
    for part in parts:
        reach = [max(0, r) for r in part.reach(y.shape[1:-1])]
        y = emitter.pad(y, around(part.low), around(reach), start)
        init = emitter.fill([x.shape[0], *part.out, x.shape[1]], x.dtype, start)
        shape = emitter.empty(part.kernel, x.dtype)
        attributes = f" {{dilations = {vector_attribute(part.dilations)}, strides = {vector_attribute(part.strides)}}}"
        y = emitter.named(f"pooling_{LAYOUTS[rank]}_{kind}", [y, shape], init, attributes)
    return emitter.transpose(y, channels_first(x.rank))


def window_counts(window: Window, size: tuple[int, ...], include_pad: bool) -> np.ndarray:
    """How many elements each window averages; what ceil_mode adds never counts."""
    counts = np.ones((1,) * len(size))
    for axis, n in enumerate(size):
        starts = np.arange(window.out[axis]) * window.strides[axis] - window.low[axis]
        reads = starts[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        first = -window.low[axis] if include_pad else 0
        end = n + window.high[axis] if include_pad else n
        inside = ((reads >= first) & (reads < end)).sum(axis=1)
        counts = counts * inside.reshape([-1 if i == axis else 1 for i in range(len(size))])
    return np.maximum(counts, 1)


def global_average_pool(node: Node) -> Value:
    x = node.value(0)
    return reduce_mean(node, x, list(range(2, x.rank)), keep=True)


def global_max_pool(node: Node) -> Value:
    x = node.value(0)
    return reduced(node, x, list(range(2, x.rank)), True, lowest(x.dtype), lambda b, v, acc: b.maximum(acc, v))


POOLING: dict[str, Operator] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
}
