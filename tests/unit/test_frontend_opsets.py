"""Operators whose meaning or form changed between opsets."""

from typing import Any

import numpy as np
import pytest
from onnx_cases import Case, check

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
STATISTICS = [np.float32([0.5, 1, 2])] * 4


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [7, 11, 12, 13, 22])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_softmax_flattens_before_13(op: str, opset: int, axis: int | None) -> None:
    check(Case(op, [X], attributes={} if axis is None else {"axis": axis}, opset=opset))


@pytest.mark.parametrize(
    ("op", "attribute", "numbers"),
    [
        ("Squeeze", "axes", [0]),
        ("Unsqueeze", "axes", [1, 2]),
        ("ReduceSum", "axes", [1]),
        ("Split", "split", [1, 0 + 2]),
    ],
)
@pytest.mark.parametrize("opset", [7, 11, 13])
def test_attribute_becomes_input_at_13(op: str, attribute: str, numbers: list[int], opset: int) -> None:
    x = X[:1] if op == "Squeeze" else X
    outputs, more = (2, {"axis": 1}) if op == "Split" else (1, {})
    form(op, x, {attribute: numbers}, opset >= 13, opset, outputs, more)


def form(
    op: str,
    x: np.ndarray,
    numbers: dict[str, list[int]],
    as_inputs: bool,
    opset: int,
    outputs: int = 1,
    more: dict[str, Any] | None = None,
) -> None:
    rest = [np.int64(n) for n in numbers.values()] if as_inputs else []
    attributes = {} if as_inputs else dict(numbers)
    check(Case(op, [x, *rest], frozenset(range(1, 9)), attributes | (more or {}), outputs, opset))


@pytest.mark.parametrize("opset", [7, 11, 13, 17, 18])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceL2"])
def test_axes_become_an_input_at_18(op: str, opset: int) -> None:
    form(op, X, {"axes": [0, 2]}, opset >= 18, opset)


@pytest.mark.parametrize("opset", [7, 10, 13])
def test_slice(opset: int) -> None:
    numbers = {"starts": [1, 0], "ends": [3, 2], "axes": [2, 0]}
    form("Slice", X, numbers, opset >= 10, opset)


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 18, 21])
def test_pad(opset: int) -> None:
    pads = [0, 1, 0, 0, 0, 2]
    if opset < 11:
        check(Case("Pad", [X], attributes={"pads": pads, "value": 0.5}, opset=opset))
    else:
        check(Case("Pad", [X, np.int64(pads), np.float32(0.5)], frozenset({1, 2}), opset=opset))


@pytest.mark.parametrize("opset", [7, 10, 11, 12, 13])
def test_clip(opset: int) -> None:
    if opset < 11:
        check(Case("Clip", [X], attributes={"min": -0.5, "max": 0.5}, opset=opset))
    else:
        check(Case("Clip", [X, np.float32(-0.5), None], frozenset({1, 2}), opset=opset))


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization(opset: int) -> None:
    check(Case("BatchNormalization", [X, *STATISTICS], frozenset({1, 2, 3, 4}), opset=opset))


@pytest.mark.parametrize("opset", [7, 10, 12, 13, 22])
def test_dropout(opset: int) -> None:
    operands = [X] if opset < 12 else [X, np.float32(0.4)]
    attributes = {"ratio": 0.4} if opset < 12 else {}
    check(Case("Dropout", operands, frozenset({1}), attributes, opset=opset))


@pytest.mark.parametrize("opset", [7, 13, 14, 19])
def test_reshape(opset: int) -> None:
    check(Case("Reshape", [X, np.int64([0, -1])], frozenset({1}), opset=opset))


@pytest.mark.parametrize("opset", [7, 10, 11, 19])
def test_average_pool(opset: int) -> None:
    attributes = {"kernel_shape": [2], "pads": [1, 1], "count_include_pad": 1}
    check(Case("AveragePool", [X], attributes=attributes, opset=opset))


@pytest.mark.parametrize("opset", [7, 9, 11, 13])
def test_gemm_bias(opset: int) -> None:
    a, b = X[0], np.ascontiguousarray(X[1].T)
    check(Case("Gemm", [a, b, np.float32([1, 2, 3])], frozenset({2}), opset=opset))


@pytest.mark.parametrize(
    "op", ["HardSwish", "Mish", "GroupNormalization", "Celu", "Shrink", "ThresholdedRelu", "MeanVarianceNormalization"]
)
def test_functions_of_onnx_are_expanded(op: str) -> None:
    operands: list[np.ndarray | None] = [X[:, :, :, None] + np.float32(0.1)]
    attributes: dict[str, Any] = {}
    if op == "GroupNormalization":
        operands, attributes = [X[:, :2], np.float32([1, 2]), np.float32([3, 4])], {"num_groups": 2}
    check(Case(op, operands, attributes=attributes, tolerance=1e-4))
