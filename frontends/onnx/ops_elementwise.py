"""Elementwise operators, each one `linalg.generic` over the broadcast shape."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx.helper

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.broadcasting import elementwise
from ansorc.frontends.onnx.element_types import (
    ELEMENT_TYPES,
    highest,
    is_float,
    is_unsigned,
    lowest,
    numpy_dtype,
)
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError

Scalars = Callable[..., Scalar]


def same_type(body: Scalars) -> Operator:
    """All inputs and the result have one element type."""

    def operator(node: Node) -> Value:
        operands = [node.operand(i) for i in range(len(node.inputs))]
        return elementwise(node, operands, dtype_of(operands[0]), body)

    return operator


def dtype_of(operand: Operand) -> str:
    return operand.dtype if isinstance(operand, Value) else operand.dtype.name


def with_result(dtype: str, body: Scalars) -> Operator:
    def operator(node: Node) -> Value:
        operands = [node.operand(i) for i in range(len(node.inputs))]
        return elementwise(node, operands, dtype, body)

    return operator


def fold(combine: Callable[[Block, Scalar, Scalar], Scalar], mean: bool = False) -> Operator:
    """Variadic operators."""

    def operator(node: Node) -> Operand:
        operands = [node.operand(i) for i in range(len(node.inputs))]
        if len(operands) == 1:
            return operands[0]

        def body(block: Block, first: Scalar, *rest: Scalar) -> Scalar:
            for other in rest:
                first = combine(block, first, other)
            if mean:
                first = block.mul(first, block.constant(1 / len(operands), first.dtype))
            return first

        return elementwise(node, operands, dtype_of(operands[0]), body)

    return operator


def unary(op: str) -> Operator:
    return same_type(lambda b, x: b.apply(op, x))


def relation(name: str) -> Operator:
    return with_result("bool", lambda b, x, y: b.compare(name, x, y))


def logical(op: str) -> Operator:
    return with_result("bool", lambda b, x, y: b.apply(op, x, y))


def negate(b: Block, x: Scalar) -> Scalar:
    return b.apply("arith.negf", x) if is_float(x.dtype) else b.sub(b.constant(0, x.dtype), x)


def absolute(b: Block, x: Scalar) -> Scalar:
    if is_unsigned(x.dtype):
        return x
    return b.apply("math.absf" if is_float(x.dtype) else "math.absi", x)


def sign(b: Block, x: Scalar) -> Scalar:
    """Zero and NaN stay themselves."""
    zero, one = b.constant(0, x.dtype), b.constant(1, x.dtype)
    if is_unsigned(x.dtype):
        return b.select(b.compare("eq", x, zero), x, one)
    below = b.select(b.compare("lt", x, zero), b.constant(-1, x.dtype), x)
    return b.select(b.compare("gt", x, zero), one, below)


def reciprocal(b: Block, x: Scalar) -> Scalar:
    return b.div(b.constant(1, x.dtype), x)


def sigmoid(b: Block, x: Scalar) -> Scalar:
    """exp(-|x|) never overflows, so that the left tail keeps its digits."""
    one = b.constant(1, x.dtype)
    small = b.apply("math.exp", b.apply("arith.negf", b.apply("math.absf", x)))
    return b.div(b.select(b.compare("lt", x, b.constant(0, x.dtype)), small, one), b.add(one, small))


def softplus(b: Block, x: Scalar) -> Scalar:
    """max(x, 0) + log(1 + exp(-|x|)) never overflows."""
    small = b.apply("math.exp", b.apply("arith.negf", b.apply("math.absf", x)))
    return b.add(b.maximum(x, b.constant(0, x.dtype)), b.apply("math.log1p", small))


def softsign(b: Block, x: Scalar) -> Scalar:
    return b.div(x, b.add(b.constant(1, x.dtype), b.apply("math.absf", x)))


def relu(b: Block, x: Scalar) -> Scalar:
    return b.maximum(x, b.constant(0, x.dtype))


def parametric_relu(b: Block, x: Scalar, slope: Scalar) -> Scalar:
    return b.select(b.compare("lt", x, b.constant(0, x.dtype)), b.mul(x, slope), x)


def leaky_relu(node: Node) -> Operand | Sequence[Operand | None]:
    alpha = node.attribute("alpha", 0.01)
    body = same_type(lambda b, x: parametric_relu(b, x, b.constant(alpha, x.dtype)))
    return body(node)


def elu(node: Node) -> Operand | Sequence[Operand | None]:
    alpha = node.attribute("alpha", 1.0)
    return exponential(node, alpha, 1.0)


def selu(node: Node) -> Operand | Sequence[Operand | None]:
    return exponential(
        node, node.attribute("alpha", 1.67326319217681884765625), node.attribute("gamma", 1.05070102214813232421875)
    )


def exponential(node: Node, alpha: float, gamma: float) -> Operand | Sequence[Operand | None]:
    def body(b: Block, x: Scalar) -> Scalar:
        below = b.mul(b.constant(alpha, x.dtype), b.apply("math.expm1", x))
        chosen = b.select(b.compare("lt", x, b.constant(0, x.dtype)), below, x)
        return chosen if gamma == 1.0 else b.mul(chosen, b.constant(gamma, x.dtype))

    return same_type(body)(node)


def hard_sigmoid(node: Node) -> Operand | Sequence[Operand | None]:
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)

    def body(b: Block, x: Scalar) -> Scalar:
        line = b.add(b.mul(x, b.constant(alpha, x.dtype)), b.constant(beta, x.dtype))
        return b.minimum(b.maximum(line, b.constant(0, x.dtype)), b.constant(1, x.dtype))

    return same_type(body)(node)


def gelu(node: Node) -> Operand | Sequence[Operand | None]:
    tanh = node.attribute("approximate", "none") == "tanh"

    def body(b: Block, x: Scalar) -> Scalar:
        half, one = b.constant(0.5, x.dtype), b.constant(1, x.dtype)
        if tanh:
            cube = b.mul(b.mul(x, x), x)
            inner = b.add(x, b.mul(b.constant(0.044715, x.dtype), cube))
            inner = b.mul(b.constant(np.sqrt(2 / np.pi), x.dtype), inner)
            curve = b.apply("math.tanh", inner)
        else:
            curve = b.apply("math.erf", b.mul(x, b.constant(np.sqrt(0.5), x.dtype)))
        return b.mul(b.mul(half, x), b.add(one, curve))

    return same_type(body)(node)


def clip(node: Node) -> Value:
    """Bounds are attributes before opset 11, optional inputs since."""
    x = node.operand(0)
    dtype = dtype_of(x)
    bounds: list[Operand] = []
    for index, (name, default) in enumerate((("min", lowest(dtype)), ("max", highest(dtype))), 1):
        if node.opset < 11:
            bounds.append(np.asarray(node.attribute(name, default), numpy_dtype(dtype)))
        else:
            given = node.has(index)
            bounds.append(node.operand(index) if given else np.asarray(default, numpy_dtype(dtype)))

    def body(b: Block, x: Scalar, low: Scalar, high: Scalar) -> Scalar:
        return b.minimum(b.maximum(x, low), high)

    return elementwise(node, [x, *bounds], dtype, body)


def power(node: Node) -> Value:
    base, exponent = node.operand(0), node.operand(1)
    dtype = dtype_of(base)
    fixed = None
    if isinstance(exponent, np.ndarray) and exponent.size == 1:
        fixed = float(exponent.reshape(-1)[0])

    def body(b: Block, x: Scalar, y: Scalar) -> Scalar:
        if fixed == 1:
            return x
        if fixed == 2:
            return b.mul(x, x)
        if fixed == 3:
            return b.mul(b.mul(x, x), x)
        if fixed == 0.5 and is_float(dtype):
            return b.apply("math.sqrt", x)
        if fixed == -1 and is_float(dtype):
            return reciprocal(b, x)
        if is_float(dtype):
            return b.apply("math.powf", x, b.cast(y, dtype))
        if is_float(y.dtype):
            wide = b.apply("math.powf", b.cast(x, "float64"), b.cast(y, "float64"))
            return b.cast(wide, dtype)
        return b.apply("math.ipowi", x, b.cast(y, dtype))

    return elementwise(node, [base, exponent], dtype, body)


def modulo(node: Node) -> Value:
    fmod = node.attribute("fmod", 0)
    dtype = dtype_of(node.operand(0))

    def body(b: Block, x: Scalar, y: Scalar) -> Scalar:
        if is_float(dtype):
            return b.apply("arith.remf", x, y)
        if is_unsigned(dtype):
            return b.apply("arith.remui", x, y)
        rest = b.apply("arith.remsi", x, y)
        if fmod:
            return rest
        zero = b.constant(0, dtype)
        crossed = b.apply("arith.xori", b.compare("lt", rest, zero), b.compare("lt", y, zero))
        wrong = b.apply("arith.andi", crossed, b.compare("ne", rest, zero))
        return b.select(wrong, b.add(rest, y), rest)

    return elementwise(node, [node.operand(0), node.operand(1)], dtype, body)


def where(node: Node) -> Value:
    operands = [node.operand(i) for i in range(3)]
    return elementwise(node, operands, dtype_of(operands[1]), lambda b, c, x, y: b.select(c, x, y))


def cast(node: Node) -> Operand:
    target = onnx.helper.tensor_dtype_to_np_dtype(node.attribute("to", 1)).name
    return converted(node, target)


def cast_like(node: Node) -> Operand:
    return converted(node, dtype_of(node.operand(1)))


def converted(node: Node, target: str) -> Operand:
    x = node.operand(0)
    if dtype_of(x) == target:
        return x
    for name in (dtype_of(x), target):
        if name not in ELEMENT_TYPES:
            raise RefusedError(f"a cast with the element type {name}")
    return elementwise(node, [x], target, lambda b, v: b.cast(v, target))


def identity(node: Node) -> Operand:
    return node.operand(0)


def dropout(node: Node) -> list[Operand]:
    """Inference: the input itself; the mask keeps everything."""
    x = node.operand(0)
    if node.has(2) and bool(node.known(2, "training_mode")):
        raise RefusedError("training_mode is set; export the model for inference")
    return [x, np.ones(tuple(x.shape), np.bool_)] if node.used(1) else [x]


def is_infinite(node: Node) -> Value:
    up, down = node.attribute("detect_positive", 1), node.attribute("detect_negative", 1)

    def body(b: Block, x: Scalar) -> Scalar:
        high, low = b.constant(float("inf"), x.dtype), b.constant(float("-inf"), x.dtype)
        nothing = b.constant(False, "bool")
        above = b.compare("eq", x, high) if up else nothing
        below = b.compare("eq", x, low) if down else nothing
        return b.apply("arith.ori", above, below)

    return elementwise(node, [node.operand(0)], "bool", body)


ELEMENTWISE: dict[str, Operator] = {
    "Add": same_type(lambda b, x, y: b.add(x, y)),
    "Sub": same_type(lambda b, x, y: b.sub(x, y)),
    "Mul": same_type(lambda b, x, y: b.mul(x, y)),
    "Div": same_type(lambda b, x, y: b.div(x, y)),
    "Pow": power,
    "Mod": modulo,
    "Min": fold(lambda b, x, y: b.minimum(x, y)),
    "Max": fold(lambda b, x, y: b.maximum(x, y)),
    "Sum": fold(lambda b, x, y: b.add(x, y)),
    "Mean": fold(lambda b, x, y: b.add(x, y), mean=True),
    "Relu": same_type(relu),
    "LeakyRelu": leaky_relu,
    "PRelu": same_type(parametric_relu),
    "Elu": elu,
    "Selu": selu,
    "Clip": clip,
    "Sigmoid": same_type(sigmoid),
    "HardSigmoid": hard_sigmoid,
    "Softplus": same_type(softplus),
    "Softsign": same_type(softsign),
    "Gelu": gelu,
    "Erf": unary("math.erf"),
    "Exp": unary("math.exp"),
    "Log": unary("math.log"),
    "Sqrt": unary("math.sqrt"),
    "Sin": unary("math.sin"),
    "Cos": unary("math.cos"),
    "Tan": unary("math.tan"),
    "Asin": unary("math.asin"),
    "Acos": unary("math.acos"),
    "Atan": unary("math.atan"),
    "Sinh": unary("math.sinh"),
    "Cosh": unary("math.cosh"),
    "Tanh": unary("math.tanh"),
    "Asinh": unary("math.asinh"),
    "Acosh": unary("math.acosh"),
    "Atanh": unary("math.atanh"),
    "Floor": unary("math.floor"),
    "Ceil": unary("math.ceil"),
    "Round": unary("math.roundeven"),
    "Neg": same_type(negate),
    "Abs": same_type(absolute),
    "Sign": same_type(sign),
    "Reciprocal": same_type(reciprocal),
    "Equal": relation("eq"),
    "Less": relation("lt"),
    "LessOrEqual": relation("le"),
    "Greater": relation("gt"),
    "GreaterOrEqual": relation("ge"),
    "And": logical("arith.andi"),
    "Or": logical("arith.ori"),
    "Xor": logical("arith.xori"),
    "Not": with_result("bool", lambda b, x: b.apply("arith.xori", x, b.constant(True, "bool"))),
    "IsNaN": with_result("bool", lambda b, x: b.statement(f"arith.cmpf uno, {x.name}, {x.name} : {x.element}", "bool")),
    "IsInf": is_infinite,
    "Where": where,
    "Cast": cast,
    "CastLike": cast_like,
    "Identity": identity,
    "Dropout": dropout,
}
