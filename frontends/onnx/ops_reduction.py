"""Reductions as generics that drop the reduced dims."""

from collections.abc import Callable, Sequence
from math import prod

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.element_types import highest, is_float, lowest
from ansorc.frontends.onnx.emitter import Body, Value
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError, normal_axis


def reduced(node: Node, x: Value, axes: Sequence[int], keep: bool, start: object, body: Body) -> Value:
    """body: block, element, accumulator. With `keep` the reduced dims stay as 1."""
    dims = list(range(x.rank))
    left = [d for d in dims if d not in axes]
    y = node.emitter.generic(x.shape, [(x, dims)], x.dtype, body, out_dims=left, start=start)
    shape = [1 if d in axes else x.shape[d] for d in dims]
    return node.emitter.reshape(y, shape) if keep else y


def reduce_mean(node: Node, x: Value, axes: Sequence[int], keep: bool) -> Value:
    total = reduced(node, x, axes, False, 0, lambda b, v, acc: b.add(acc, v))
    count = prod(x.shape[a] for a in axes)

    def body(b: Block, v: Scalar) -> Scalar:
        if is_float(x.dtype):
            return b.mul(v, b.constant(1 / count, x.dtype))
        return b.div(v, b.constant(count, x.dtype))

    y = node.emitter.map([total], x.dtype, body)
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    return node.emitter.reshape(y, shape) if keep else y


def axes_of(node: Node, x: Value) -> list[int] | None:
    """None: nothing to reduce."""
    axes = node.integers(1, "axes", "axes")
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            return None
        axes = list(range(x.rank))
    return sorted({normal_axis(a, x.rank) for a in axes})


def reduction(start: Body | object, combine: Body, before: Body | None = None, after: Body | None = None) -> Operator:
    """before: on each element; after: on each result."""

    def operator(node: Node) -> Operand:
        x = node.value(0)
        axes, keep = axes_of(node, x), bool(node.attribute("keepdims", 1))
        first = start(x.dtype) if callable(start) else start

        def step(b: Block, v: Scalar, acc: Scalar) -> Scalar:
            return combine(b, acc, before(b, v) if before else v)

        if axes is None or not axes:
            y = node.emitter.map([x], x.dtype, before) if before else x
        else:
            y = reduced(node, x, axes, keep, first, step)
        return node.emitter.map([y], y.dtype, after) if after else y

    return operator


def mean(node: Node) -> Operand:
    x = node.value(0)
    axes = axes_of(node, x)
    return x if not axes else reduce_mean(node, x, axes, bool(node.attribute("keepdims", 1)))


def log_sum_exp(node: Node) -> Operand:
    """Subtracts the maximum first; an infinite one is left alone."""
    x = node.value(0)
    axes = axes_of(node, x)
    if not axes:
        return x
    dims = list(range(x.rank))
    left = [d for d in dims if d not in axes]
    top = reduced(node, x, axes, False, lowest(x.dtype), lambda b, v, acc: b.maximum(acc, v))

    def finite(b: Block, m: Scalar) -> Scalar:
        limit, size = b.constant(float("inf"), m.dtype), b.apply("math.absf", m)
        return b.select(b.compare("eq", size, limit), b.constant(0, m.dtype), m)

    def step(b: Block, v: Scalar, m: Scalar, acc: Scalar) -> Scalar:
        return b.add(acc, b.apply("math.exp", b.sub(v, finite(b, m))))

    total = node.emitter.generic(x.shape, [(x, dims), (top, left)], x.dtype, step, out_dims=left, start=0)
    y = node.emitter.map([total, top], x.dtype, lambda b, t, m: b.add(b.apply("math.log", t), finite(b, m)))
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    return node.emitter.reshape(y, shape) if node.attribute("keepdims", 1) else y


def arg_extreme(start: Callable[[str], float | int], extreme: Callable[[Block, Scalar, Scalar], Scalar]) -> Operator:
    """The index of the first (or last) extreme element, as i64; a NaN counts as extreme.

    First the extreme, then its index: an operation with two results could not be fused with others.
    """

    def operator(node: Node) -> Operand:
        x = node.value(0)
        axis = normal_axis(node.attribute("axis", 0), x.rank)
        last = bool(node.attribute("select_last_index", 0))
        dims = list(range(x.rank))
        left = [d for d in dims if d != axis]
        if not left and x.rank != 1:
            raise RefusedError("a scalar input")
        found = node.emitter.generic(x.shape, [(x, dims)], x.dtype, extreme_of, out_dims=left, start=start(x.dtype))
        nowhere = -1 if last else x.shape[axis]

        def body(b: Block, v: Scalar, best: Scalar, at: Scalar) -> Scalar:
            here = b.convert("arith.index_cast", b.index(axis), "int64")
            hit = b.compare("eq", v, best)
            if is_float(v.dtype):
                hit = b.apply("arith.ori", hit, b.compare("ne", v, v))
            place = b.select(hit, here, b.constant(nowhere, "int64"))
            return b.maximum(at, place) if last else b.minimum(at, place)

        y = node.emitter.generic(x.shape, [(x, dims), (found, left)], "int64", body, out_dims=left, start=nowhere)
        kept = [1 if d == axis else n for d, n in enumerate(x.shape)]
        return node.emitter.reshape(y, kept) if node.attribute("keepdims", 1) else y

    def extreme_of(b: Block, v: Scalar, best: Scalar) -> Scalar:
        return extreme(b, best, v)

    return operator


def plus(b: Block, acc: Scalar, v: Scalar) -> Scalar:
    return b.add(acc, v)


def square(b: Block, v: Scalar) -> Scalar:
    return b.mul(v, v)


def magnitude(b: Block, v: Scalar) -> Scalar:
    return b.apply("math.absf" if is_float(v.dtype) else "math.absi", v)


def root(b: Block, v: Scalar) -> Scalar:
    if is_float(v.dtype):
        return b.apply("math.sqrt", v)
    return b.cast(b.apply("math.sqrt", b.cast(v, "float64")), v.dtype)


def logarithm(b: Block, v: Scalar) -> Scalar:
    return b.apply("math.log", v)


REDUCTION: dict[str, Operator] = {
    "ReduceMean": mean,
    "ReduceSum": reduction(0, plus),
    "ReduceProd": reduction(1, lambda b, acc, v: b.mul(acc, v)),
    "ReduceMax": reduction(lowest, lambda b, acc, v: b.maximum(acc, v)),
    "ReduceMin": reduction(highest, lambda b, acc, v: b.minimum(acc, v)),
    "ReduceSumSquare": reduction(0, plus, before=square),
    "ReduceL1": reduction(0, plus, before=magnitude),
    "ReduceL2": reduction(0, plus, before=square, after=root),
    "ReduceLogSum": reduction(0, plus, after=logarithm),
    "ReduceLogSumExp": log_sum_exp,
    "ArgMax": arg_extreme(lowest, lambda b, a, v: b.maximum(a, v)),
    "ArgMin": arg_extreme(highest, lambda b, a, v: b.minimum(a, v)),
}
