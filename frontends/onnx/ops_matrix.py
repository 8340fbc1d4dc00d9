"""MatMul and Gemm as linalg.matmul and linalg.batch_matmul."""

from math import prod

import numpy as np

from ansorc.frontends.onnx.broadcasting import broadcast, elementwise
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError


def matmul(node: Node) -> Value:
    a, b = node.operand(0), node.operand(1)
    if not a.shape or not b.shape:
        raise RefusedError("a scalar operand")
    row, column = len(a.shape) == 1, len(b.shape) == 1
    a = node.reshaped(a, [1, *a.shape]) if row else a
    b = node.reshaped(b, [*b.shape, 1]) if column else b
    if a.shape[-1] != b.shape[-2]:
        raise RefusedError(f"inner sizes differ: {a.shape[-1]} and {b.shape[-2]}")
    batch = np.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    y = product_of(node, a, b, batch)
    shape = [*batch, *([] if row else [a.shape[-2]]), *([] if column else [b.shape[-1]])]
    return node.emitter.reshape(y, shape)


def product_of(node: Node, a: Operand, b: Operand, batch: tuple[int, ...]) -> Value:
    """Up to the shape of the result: [batch..., M, N] flattened in some way."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if prod(b.shape[:-2]) == 1:
        return plain(node, node.reshaped(a, [prod(a.shape[:-1]), k]), node.reshaped(b, [k, n]))
    wide = [widened(node, node.tensor(t, h), batch) for t, h in zip((a, b), node.input_names, strict=False)]
    count = prod(batch)
    left = node.emitter.reshape(wide[0], [count, m, k])
    right = node.emitter.reshape(wide[1], [count, k, n])
    init = node.emitter.fill([count, m, n], left.dtype, 0)
    return node.emitter.named("batch_matmul", [left, right], init)


def widened(node: Node, value: Value, batch: tuple[int, ...]) -> Value:
    return broadcast(node, value, [*batch, *value.shape[-2:]])


def plain(node: Node, a: Operand, b: Operand) -> Value:
    left, right = node.tensor(a, node.input_names[0]), node.tensor(b, node.input_names[1])
    init = node.emitter.fill([left.shape[0], right.shape[1]], left.dtype, 0)
    return node.emitter.named("matmul", [left, right], init)


def gemm(node: Node) -> Value:
    a, b = node.operand(0), node.operand(1)
    a = node.permuted(a, [1, 0]) if node.attribute("transA", 0) else a
    b = node.permuted(b, [1, 0]) if node.attribute("transB", 0) else b
    if a.shape[1] != b.shape[0]:
        raise RefusedError(f"inner sizes differ: {a.shape[1]} and {b.shape[0]}")
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if alpha != 1.0 and isinstance(b, np.ndarray):
        b, alpha = (b * b.dtype.type(alpha)).astype(b.dtype), 1.0
    y = plain(node, a, b)
    if alpha != 1.0:
        y = node.emitter.map([y], y.dtype, lambda k, v: k.mul(v, k.constant(alpha, v.dtype)))
    if not node.has(2) or beta == 0.0:
        return y
    c = node.operand(2)
    if beta != 1.0 and isinstance(c, np.ndarray):
        c, beta = (c * c.dtype.type(beta)).astype(c.dtype), 1.0
    if isinstance(c, np.ndarray) and c.size > 1:
        c = node.tensor(c, node.input_names[2])
    if beta == 1.0:
        return elementwise(node, [y, c], y.dtype, lambda k, v, w: k.add(v, w))
    return elementwise(node, [y, c], y.dtype, lambda k, v, w: k.add(v, k.mul(w, k.constant(beta, w.dtype))))


MATRIX: dict[str, Operator] = {"MatMul": matmul, "Gemm": gemm}
