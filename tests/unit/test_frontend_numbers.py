"""NaN, infinities and signed zero flow through as in onnxruntime."""

import numpy as np
import pytest
from onnx_cases import Case, check

SPECIAL = np.float32([[np.nan, 1, -1, np.inf], [-np.inf, 0, -0.0, 2], [np.nan] * 4, [-np.inf] * 4])
OTHER = np.float32([[1, np.nan, np.inf, -np.inf], [0, -0.0, np.nan, 3], [1, 2, 3, 4], [0] * 4])


@pytest.mark.parametrize(
    "op",
    [
        "Relu",
        "Abs",
        "Neg",
        "Exp",
        "Sqrt",
        "Log",
        "Tanh",
        "Sigmoid",
        "Erf",
        "Reciprocal",
        "Floor",
        "LeakyRelu",
        "Softsign",
    ],
)
def test_unary(op: str) -> None:
    check(Case(op, [SPECIAL]))


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Div", "Max", "Min"])
def test_binary(op: str) -> None:
    check(Case(op, [SPECIAL, OTHER]))


def test_clip() -> None:
    check(Case("Clip", [SPECIAL, np.float32(-0.5), np.float32(0.5)], frozenset({1, 2})))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax(op: str) -> None:
    rows = np.float32([[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [1000, 999, -1000]])
    check(Case(op, [rows]))


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
def test_reduction(op: str) -> None:
    check(Case(op, [SPECIAL, np.int64([1])], frozenset({1})))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pool_of_infinities(op: str) -> None:
    image = np.float32(np.arange(25)).reshape(1, 1, 5, 5)
    # A window of nothing but -inf gives -inf, where onnxruntime gives the lowest number.
    image[0, 0, 1, 1], image[0, 0, 3, 3] = -np.inf, np.inf
    check(Case(op, [image], attributes={"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}))


def test_convolution_spreads_nan() -> None:
    image = np.ones((1, 1, 5, 5), "float32")
    image[0, 0, 2, 2] = np.nan
    weight = np.ones((1, 1, 3, 3), "float32")
    check(Case("Conv", [image, weight], frozenset({1}), {"pads": [1, 1, 1, 1]}))
