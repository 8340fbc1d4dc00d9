"""Normalisations and softmax: a few generics over the full domain, reduced dims dropped."""

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.element_types import lowest
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.layouts import channels_first, channels_last
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError, normal_axis
from ansorc.frontends.onnx.ops_reduction import reduced


def batch_normalization(node: Node) -> Value:
    """x * s + b with one s and b a channel, computed here when the statistics are known."""
    if node.attribute("training_mode", 0) or node.attribute("spatial", 1) == 0:
        raise RefusedError("only inference over channels; export the model for inference")
    for output in range(1, 5):
        node.refuse_output(output, "of running statistics")
    x = node.value(0)
    scale, shift = affine_of(node, [node.operand(i) for i in range(1, 5)])
    dims = list(range(x.rank))
    channel = [min(1, x.rank - 1)]
    return node.emitter.generic(
        x.shape,
        [
            (x, dims),
            (node.tensor(scale, f"{node.name}_scale"), channel),
            (node.tensor(shift, f"{node.name}_shift"), channel),
        ],
        x.dtype,
        lambda b, v, s, t: b.add(b.mul(v, s, contract=True), t, contract=True),
    )


def affine_of(node: Node, statistics: Sequence[Operand]) -> tuple[Operand, Operand]:
    epsilon = node.attribute("epsilon", 1e-5)
    if all(isinstance(s, np.ndarray) for s in statistics):
        gamma, beta, mean, var = (np.asarray(s).astype(np.float64) for s in statistics)
        scale = gamma / np.sqrt(var + epsilon)
        dtype = np.asarray(statistics[0]).dtype
        return scale.astype(dtype), (beta - mean * scale).astype(dtype)
    gamma, beta, mean, var = (node.tensor(s, node.input_names[i]) for i, s in enumerate(statistics, 1))

    def slope(b: Block, g: Scalar, v: Scalar) -> Scalar:
        return b.div(g, b.apply("math.sqrt", b.add(v, b.constant(epsilon, v.dtype))))

    scale = node.emitter.map([gamma, var], gamma.dtype, slope)
    shift = node.emitter.map([beta, mean, scale], gamma.dtype, lambda b, t, m, s: b.sub(t, b.mul(m, s)))
    return scale, shift


def normalized(
    node: Node, x: Value, axes: Sequence[int], epsilon: float, affine: Sequence[tuple[Operand, Sequence[int]]]
) -> Value:
    """(x - mean) / sqrt(variance + epsilon) over `axes`, then scale and shift; two passes.

    affine: none, the scale, or the scale and the shift, each with the dims of x it runs over.
    """
    dims = list(range(x.rank))
    left = [d for d in dims if d not in axes]
    inverse = 1 / prod(x.shape[a] for a in axes)
    total = reduced(node, x, axes, False, 0, lambda b, v, acc: b.add(acc, v))

    def centred(b: Block, v: Scalar, t: Scalar) -> Scalar:
        return b.sub(v, b.mul(t, b.constant(inverse, t.dtype)))

    def step(b: Block, v: Scalar, t: Scalar, acc: Scalar) -> Scalar:
        difference = centred(b, v, t)
        return b.add(acc, b.mul(difference, difference, contract=True), contract=True)

    squares = node.emitter.generic(x.shape, [(x, dims), (total, left)], x.dtype, step, out_dims=left, start=0)

    def finish(b: Block, v: Scalar, t: Scalar, q: Scalar, *affine: Scalar) -> Scalar:
        variance = b.mul(q, b.constant(inverse, q.dtype))
        root = b.apply("math.sqrt", b.add(variance, b.constant(epsilon, q.dtype)))
        y = b.mul(centred(b, v, t), b.div(b.constant(1, q.dtype), root))
        if affine:
            y = b.mul(y, affine[0], contract=True)
        return b.add(y, affine[1], contract=True) if len(affine) > 1 else y

    inputs: list[tuple[Value, Sequence[int | str]]] = [(x, dims), (total, left), (squares, left)]
    for index, (operand, over) in enumerate(affine, 1):
        kept = [d for d, n in zip(over, operand.shape, strict=True) if n == x.shape[d]]
        narrow = node.reshaped(operand, [x.shape[d] for d in kept])
        inputs.append((node.tensor(narrow, node.input_names[index]), kept))
    return node.emitter.generic(x.shape, inputs, x.dtype, finish)


def layer_normalization(node: Node) -> Value:
    node.refuse_output(1, "Mean")
    node.refuse_output(2, "InvStdDev")
    x = node.value(0)
    axis = normal_axis(node.attribute("axis", -1), x.rank)
    affine: list[tuple[Operand, Sequence[int]]] = []
    for index in (1, 2):
        if node.has(index):
            operand = node.operand(index)
            affine.append((operand, list(range(x.rank - len(operand.shape), x.rank))))
    axes = list(range(axis, x.rank))
    return normalized(node, x, axes, node.attribute("epsilon", 1e-5), affine)


def instance_normalization(node: Node) -> Value:
    x = node.value(0)
    affine = [(node.operand(i), [1]) for i in (1, 2)]
    axes = list(range(2, x.rank))
    return normalized(node, x, axes, node.attribute("epsilon", 1e-5), affine)


def local_response(node: Node) -> Value:
    """x * (bias + alpha/size * s) ** -beta, s = the sum of squares over near channels.

    Channels last, as what is around it: each neighbour is read from rows that zeros surround.
    """
    x, size = node.value(0), node.attribute("size", 1)
    alpha, beta = node.attribute("alpha", 1e-4), node.attribute("beta", 0.75)
    bias = node.attribute("bias", 1.0)
    emitter, low = node.emitter, (size - 1) // 2
    rows = emitter.transpose(x, channels_last(x.rank))
    outer = [0] * (x.rank - 1)
    padded = emitter.pad(rows, [*outer, low], [*outer, size - 1 - low], 0)
    near = [emitter.slice(padded, [*outer, k], rows.shape) for k in range(size)]

    def body(b: Block, *values: Scalar) -> Scalar:
        v, squares = values[low], [b.mul(u, u) for u in values]
        scaled = b.mul(reduce(b.add, squares), b.constant(alpha / size, v.dtype))
        base = b.add(scaled, b.constant(bias, v.dtype))
        if beta == 0.75:  # two square roots vectorize, a power is a call
            half = b.apply("math.sqrt", base)
            return b.div(v, b.mul(half, b.apply("math.sqrt", half)))
        if beta == 0.5:
            return b.div(v, b.apply("math.sqrt", base))
        if beta == 1.0:
            return b.div(v, base)
        return b.mul(v, b.apply("math.powf", base, b.constant(-beta, v.dtype)))

    return emitter.transpose(emitter.map(near, x.dtype, body), channels_first(x.rank))


def softmax(logarithmic: bool) -> Operator:
    """Since opset 13 along one axis; before, over all dims from `axis` on together."""

    def operator(node: Node) -> Value:
        x = node.value(0)
        axis = normal_axis(node.attribute("axis", -1 if node.opset >= 13 else 1), x.rank)
        axes = [axis] if node.opset >= 13 else list(range(axis, x.rank))
        return over_axes(node, x, axes, logarithmic)

    return operator


def over_axes(node: Node, x: Value, axes: Sequence[int], logarithmic: bool) -> Value:
    emitter, dims = node.emitter, list(range(x.rank))
    left = [d for d in dims if d not in axes]
    # A NaN among the elements makes all of the sum NaN, whatever is the greatest.
    top = reduced(node, x, axes, False, lowest(x.dtype), lambda b, v, acc: b.maximum(acc, v, any_nan=True))
    if logarithmic:
        total = emitter.generic(
            x.shape,
            [(x, dims), (top, left)],
            x.dtype,
            lambda b, v, m, acc: b.add(acc, b.apply("math.exp", b.sub(v, m))),
            out_dims=left,
            start=0,
        )
        return emitter.generic(
            x.shape,
            [(x, dims), (top, left), (total, left)],
            x.dtype,
            lambda b, v, m, t: b.sub(b.sub(v, m), b.apply("math.log", t)),
        )
    powers = emitter.generic(
        x.shape,
        [(x, dims), (top, left)],
        x.dtype,
        lambda b, v, m: b.apply("math.exp", b.sub(v, m)),
    )
    total = reduced(node, powers, axes, False, 0, lambda b, v, acc: b.add(acc, v))
    # The sum is at least 1: its reciprocal is a number.
    return emitter.generic(
        x.shape, [(powers, dims), (total, left)], x.dtype, lambda b, v, t: b.div(v, t, by_reciprocal=True)
    )


NORMALIZATION: dict[str, Operator] = {
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": local_response,
    "Softmax": softmax(logarithmic=False),
    "LogSoftmax": softmax(logarithmic=True),
}
