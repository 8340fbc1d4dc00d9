"""Operators as users get them: compiled with default schedules, on sizes that schedules block, against onnxruntime."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_cases import run_with_onnxruntime

import ansorc

IMAGE, ROWS, WIDE = (2, 16, 12, 12), (48, 64), (3, 40, 64)


@dataclass(frozen=True)
class Operator:
    """A node, and its inputs by shape: floats, unless an array is given, which is a constant."""

    name: str
    inputs: tuple[tuple[int, ...] | np.ndarray, ...]
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, np.shape(i) if isinstance(i, np.ndarray) else i)) for i in self.inputs)
        return f"{self.name}({shapes})" + "".join(f" {k}={v}" for k, v in self.attributes.items())


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def indices(shape: tuple[int, ...], limit: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, limit, shape)


REDUCED = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp", "ReduceProd")
OPERATORS = (
    *(Operator(n, (WIDE,), {"axis": a, "keepdims": 0}) for n in ("ArgMax", "ArgMin") for a in (0, 1, 2)),
    *(Operator(n, (WIDE, whole(*a)), {"keepdims": 0}) for n in REDUCED for a in ((0,), (1,), (2,), (0, 2))),
    *(Operator("Softmax", (WIDE,), {"axis": a}) for a in (0, 1, 2)),
    *(Operator("LogSoftmax", (WIDE,), {"axis": a}) for a in (1, 2)),
    *(Operator("Transpose", (WIDE,), {"perm": p}) for p in ((2, 1, 0), (1, 0, 2), (0, 2, 1))),
    *(Operator("Gather", (WIDE, indices((5, 3), 40)), {"axis": a}) for a in (1, 2)),
    *(Operator("Concat", (WIDE, WIDE), {"axis": a}) for a in (0, 1, 2)),
    Operator("LayerNormalization", (WIDE, floats(64), floats(64)), {"axis": -1}),
    Operator("InstanceNormalization", (IMAGE, floats(16), floats(16))),
    Operator("LRN", (IMAGE,), {"size": 5}),
    Operator("MatMul", (ROWS, (64, 96))),
    Operator("MatMul", ((3, 48, 64), (3, 64, 32))),
    Operator("MatMul", ((48, 63), (63, 31))),
    Operator("Gemm", (ROWS, floats(96, 64), floats(96)), {"transB": 1}),
    Operator("Gemm", ((64, 48), floats(96, 64)), {"transA": 1, "transB": 1, "alpha": 0.5}),
    Operator("Conv", (IMAGE, floats(32, 16, 3, 3), floats(32)), {"pads": [1, 1, 1, 1]}),
    Operator("Conv", (IMAGE, floats(32, 8, 3, 3)), {"group": 2, "strides": [2, 2]}),
    Operator("Conv", (IMAGE, floats(16, 1, 3, 3)), {"group": 16, "pads": [0, 1, 2, 1], "dilations": [2, 1]}),
    Operator("Conv", ((2, 16, 40), floats(32, 16, 5)), {"pads": [2, 2]}),
    Operator("ConvTranspose", (IMAGE, floats(16, 32, 4, 4)), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Operator("MaxPool", (IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Operator("AveragePool", (IMAGE,), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}),
    Operator("GlobalAveragePool", (IMAGE,)),
    Operator("Pad", (WIDE, whole(0, 1, 2, 0, 3, 0)), {"mode": "reflect"}),
    Operator("Pad", (WIDE, whole(1, 0, 2, 0, 3, 1))),
    Operator("Slice", (WIDE, whole(39, 0), whole(-41, 60), whole(1, 2), whole(-2, 3))),
    Operator("Expand", ((40, 1), whole(3, 40, 64))),
    Operator("Tile", (ROWS, whole(2, 3))),
    Operator("Where", (np.arange(64) % 3 == 0, WIDE, (40, 64))),
    Operator("Resize", (IMAGE, np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)), {"mode": "linear"}),
    Operator("Resize", (IMAGE, np.array([], np.float32), np.array([1, 1, 2, 2], np.float32))),
    Operator("DepthToSpace", (IMAGE,), {"blocksize": 2}),
    Operator("Gelu", (WIDE,)),
    Operator("Mod", (WIDE, (40, 64)), {"fmod": 1}),
    Operator("PRelu", (WIDE, floats(64))),
)


def model_of(operator: Operator) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    names = [f"x{k}" for k in range(len(operator.inputs))]
    known = {n: i for n, i in zip(names, operator.inputs, strict=True) if isinstance(i, np.ndarray)}
    generator = np.random.default_rng(0)
    given = {
        n: generator.standard_normal(i).astype(np.float32)
        for n, i in zip(names, operator.inputs, strict=True)
        if not isinstance(i, np.ndarray)
    }
    graph = helper.make_graph(
        [helper.make_node(operator.name, names, ["y"], **operator.attributes)],
        "operator",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in given.items()],
        [onnx.ValueInfoProto(name="y")],
        [onnx.numpy_helper.from_array(v, n) for n, v in known.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model), given


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_operator(operator: Operator) -> None:
    model, inputs = model_of(operator)
    (expected,) = run_with_onnxruntime(model, inputs).values()
    (found,) = ansorc.compile(model, threads=2).run(inputs).values()
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if found.dtype.kind == "f":
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)
    else:
        np.testing.assert_array_equal(found, expected)
