"""Resize and Upsample against onnxruntime, or the reference of onnx where that knows more."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import ansorc
from ansorc.frontends.errors import UnsupportedNodesError
from ansorc.frontends.onnx.ops_resize import COORDINATES, RESIZE, ROUNDINGS

X = np.random.default_rng(0).standard_normal((2, 3, 5, 6), np.float32)


def test_every_operator_is_here() -> None:
    assert set(RESIZE) == {"Resize", "Upsample"}


def model_of(
    x: np.ndarray, scales: Any = None, sizes: Any = None, opset: int = 19, op: str = "Resize", **attributes: Any
) -> onnx.ModelProto:
    known = {} if scales is None else {"scales": np.array(scales, np.float32)}
    known |= {} if sizes is None else {"sizes": np.array(sizes, np.int64)}
    given = [name if name in known else "" for name in ("scales", "sizes")]
    inputs = ["x", "scales"] if op == "Upsample" or opset < 11 else ["x", "", *given]
    while inputs[-1] == "":
        inputs.pop()
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"], **attributes)],
        "resize",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(x.dtype), None)],
        [numpy_helper.from_array(a, n) for n, a in known.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(model: onnx.ModelProto, x: np.ndarray = X, by_reference: bool = False) -> None:
    if by_reference:
        expected = np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])
    else:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        expected = np.asarray(session.run(None, {"x": x})[0])
    result = ansorc.compile(model).run({"x": x})["y"]
    assert result.shape == expected.shape
    assert abs(result - expected).max() <= 2e-6 * abs(expected).max()


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_every_coordinate_and_mode(coordinates: str, mode: str) -> None:
    by_reference = coordinates == "half_pixel_symmetric"  # which onnxruntime does not know
    for scales in ([1, 1, 2, 2], [1, 1, 1.5, 0.6], [1, 1, 0.5, 3]):
        model = model_of(X, scales, mode=mode, coordinate_transformation_mode=coordinates)
        check(model, by_reference=by_reference)


@pytest.mark.parametrize("nearest", ROUNDINGS)
def test_every_rounding(nearest: str) -> None:
    check(model_of(X, sizes=[2, 3, 9, 4], mode="nearest", nearest_mode=nearest))
    check(model_of(X, [1, 1, 3, 2], coordinate_transformation_mode="asymmetric", nearest_mode=nearest))


def test_sizes_axes_and_other_ranks() -> None:
    check(model_of(X, sizes=[2, 3, 8, 11], mode="linear"))
    check(model_of(X, sizes=[8, 11], axes=[2, 3], mode="linear"))
    check(model_of(X[0], [1, 2, 2], mode="nearest"), X[0])
    check(model_of(X[:, :, 0], [1, 1, 2.5], mode="linear"), X[:, :, 0])


def test_cubic_without_what_lies_outside() -> None:
    check(model_of(X, [1, 1, 2, 1.5], mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5))


def test_old_versions() -> None:
    check(model_of(X, [1, 1, 2, 3], opset=10, mode="nearest"))
    check(model_of(X, [1, 1, 2, 3], opset=10, mode="linear"))
    check(model_of(X, [1, 1, 2, 2], opset=9, op="Upsample", mode="nearest"))


def test_integers_and_doubles() -> None:
    whole = np.arange(60, dtype=np.int32).reshape(1, 3, 4, 5)
    model = model_of(whole, [1, 1, 2, 2], mode="nearest")
    expected = whole.repeat(2, axis=2).repeat(2, axis=3)
    assert (ansorc.compile(model).run({"x": whole})["y"] == expected).all()
    check(model_of(X.astype(np.float64), [1, 1, 2, 2], mode="linear"), X.astype(np.float64), by_reference=True)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"antialias": 1, "mode": "linear"}, "antialias"),
        ({"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "linear"}, "tf_crop_and_resize"),
        ({"keep_aspect_ratio_policy": "not_larger", "mode": "linear"}, "keep_aspect_ratio_policy"),
    ],
)
def test_what_is_not_supported_is_said(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedNodesError, match=said):
        ansorc.compile(model_of(X, sizes=[2, 3, 8, 11], **attributes))
