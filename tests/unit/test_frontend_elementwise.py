"""Every elementwise operator against onnxruntime over random shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_cases import RUNS, Case, Draw, check, narrowed, normal, rng_of, shapes, whole

from ansorc.frontends.onnx.ops_elementwise import ELEMENTWISE

# Values that the function is defined on.
RANGES = {
    "Acos": (-1, 1),
    "Asin": (-1, 1),
    "Atanh": (-0.9, 0.9),
    "Acosh": (1, 5),
    "Log": (0.1, 9),
    "Sqrt": (0, 9),
    "Reciprocal": (0.5, 3),
    "Tan": (-1, 1),
}
UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Cos",
    "Cosh",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "Identity",
    "Log",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
]
BINARY = ["Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu"]
VARIADIC = ["Max", "Min", "Sum", "Mean"]
RELATIONS = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
LOGICAL = ["And", "Or", "Xor"]
PARAMETRIC = {"LeakyRelu": ("alpha",), "Elu": ("alpha",), "Selu": ("alpha", "gamma"), "HardSigmoid": ("alpha", "beta")}
OTHERS = {"Not", "IsNaN", "IsInf", "Where", "Clip", "Cast", "CastLike", "Dropout"}


def test_every_operator_is_here() -> None:
    here = {*UNARY, *BINARY, *VARIADIC, *RELATIONS, *LOGICAL, *PARAMETRIC, *OTHERS}
    assert here == set(ELEMENTWISE)


@pytest.mark.parametrize("op", UNARY)
@RUNS
@given(data=st.data())
def test_unary(op: str, data: st.DataObject) -> None:
    low, high = RANGES.get(op, (-4, 4))
    x = rng_of(data.draw).uniform(low, high, data.draw(shapes(0))).astype("float32")
    attributes = {"approximate": data.draw(st.sampled_from(["none", "tanh"]))}
    check(Case(op, [x], attributes=attributes if op == "Gelu" else {}))


@pytest.mark.parametrize("op", BINARY)
@RUNS
@given(data=st.data())
def test_binary(op: str, data: st.DataObject) -> None:
    shape = data.draw(shapes(0))
    x, y = (normal(data.draw, s) for s in operand_shapes(data.draw, shape, op))
    if op in ("Div", "Mod"):
        y = np.asarray(np.abs(y) + 0.5, np.float32)  # a 0-d array would become a scalar
    if op == "Pow":
        x = np.asarray(np.abs(x))
        y = data.draw(st.sampled_from([y, np.float32([2]), np.float32([0.5]), np.float32([3])]))
    constants = frozenset(data.draw(st.sampled_from([(), (0,), (1,)])))
    check(Case(op, [x, y], constants, {"fmod": 1} if op == "Mod" else {}))


def operand_shapes(draw: Draw, shape: tuple[int, ...], op: str) -> list[tuple[int, ...]]:
    if op == "PRelu":  # the slope alone is broadcast
        return [shape, narrowed(draw, shape)]
    pair = [shape, narrowed(draw, shape)]
    return pair[::-1] if draw(st.booleans()) else pair


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float64"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mod"])
def test_binary_of_other_types(op: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    low = 0 if dtype == "uint8" else -9
    x, y = (rng.integers(low, 9, (3, 5)).astype(dtype) for _ in range(2))
    if op == "Sub":
        x, y = np.maximum(x, y), np.minimum(x, y)
    if op in ("Div", "Mod"):
        y = np.where(y == 0, 3, y).astype(dtype)
    if dtype == "uint8" and op in ("Add", "Sub", "Mul", "Div"):
        pytest.skip("onnxruntime has no such kernel")
    check(Case(op, [x, y], attributes={"fmod": int(dtype == "float64")} if op == "Mod" else {}))


@pytest.mark.parametrize("op", VARIADIC)
@RUNS
@given(data=st.data())
def test_variadic(op: str, data: st.DataObject) -> None:
    shape = data.draw(shapes(0))
    others = data.draw(st.integers(0, 3))
    check(Case(op, [normal(data.draw, shape), *(normal(data.draw, narrowed(data.draw, shape)) for _ in range(others))]))


@pytest.mark.parametrize("op", RELATIONS)
@RUNS
@given(data=st.data())
def test_relation(op: str, data: st.DataObject) -> None:
    shape, dtype = data.draw(shapes(0)), data.draw(st.sampled_from(["float32", "int64"]))
    x = whole(data.draw, shape, dtype)
    check(Case(op, [x, whole(data.draw, narrowed(data.draw, shape), dtype)]))


@pytest.mark.parametrize("op", LOGICAL)
@RUNS
@given(data=st.data())
def test_logical(op: str, data: st.DataObject) -> None:
    shape = data.draw(shapes(0))
    x = whole(data.draw, shape, "bool", 0, 2)
    check(Case(op, [x, whole(data.draw, narrowed(data.draw, shape), "bool", 0, 2)]))


@pytest.mark.parametrize("op", sorted(PARAMETRIC))
@RUNS
@given(data=st.data())
def test_parametric(op: str, data: st.DataObject) -> None:
    numbers = st.floats(0.125, 2, width=32)
    given_ones = data.draw(st.booleans())
    attributes = {n: data.draw(numbers) for n in PARAMETRIC[op]} if given_ones else {}
    check(Case(op, [normal(data.draw, data.draw(shapes()))], attributes=attributes))


@RUNS
@given(data=st.data())
def test_clip(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["float32", "int32", "uint8"]))
    x = whole(data.draw, data.draw(shapes(0)), dtype, 0 if dtype == "uint8" else -9, 9)
    bounds = [data.draw(st.sampled_from([None, n])) for n in (2, 5)]
    operands = [None if b is None else np.asarray(b, dtype) for b in bounds]
    constants = data.draw(st.sampled_from([frozenset[int](), frozenset({1, 2})]))
    check(Case("Clip", [x, *operands], constants))


@RUNS
@given(data=st.data())
def test_where(data: st.DataObject) -> None:
    shape, dtype = data.draw(shapes(0)), data.draw(st.sampled_from(["float32", "int64"]))
    condition = whole(data.draw, narrowed(data.draw, shape), "bool", 0, 2)
    x = whole(data.draw, shape, dtype)
    check(Case("Where", [condition, x, whole(data.draw, narrowed(data.draw, shape), dtype)]))


CASTS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
}


@pytest.mark.parametrize("target", sorted(CASTS))
@pytest.mark.parametrize("source", sorted(CASTS))
def test_cast(source: str, target: str) -> None:
    x = np.array([0, 1, 0, 2, 100, 7]).astype(source)
    if source.startswith("float") and target != "bool":
        x = (x * x.dtype.type(1.1)).astype(source)
    elif source.startswith("int") and target in ("float32", "float64", "int64", "int32", "int8"):
        x = -x
    check(Case("Cast", [x], attributes={"to": CASTS[target]}))


def test_cast_like() -> None:
    check(Case("CastLike", [np.float32([1.5, -2.5, 0]), np.int64([1])]))


@pytest.mark.parametrize("op", ["Not", "IsNaN", "IsInf"])
def test_predicates(op: str) -> None:
    special = np.float32([[0, 1, np.nan], [np.inf, -np.inf, -1]])
    check(Case(op, [special > 0 if op == "Not" else special]))


@pytest.mark.parametrize("signs", [(0, 1), (1, 0)])
def test_infinities_of_one_sign(signs: tuple[int, int]) -> None:
    special = np.float32([0, np.nan, np.inf, -np.inf])
    attributes = {"detect_negative": signs[0], "detect_positive": signs[1]}
    check(Case("IsInf", [special], attributes=attributes))


@pytest.mark.parametrize("outputs", [1, 2])
def test_dropout_keeps_everything(outputs: int) -> None:
    check(Case("Dropout", [np.ones((2, 3), "float32")], outputs=outputs))
