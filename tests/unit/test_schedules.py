"""Random small models, whole, against onnxruntime: every kind of schedule meets odd extents."""

import random

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ansorc

TOLERANCE = 5e-5
ACTIVATIONS = (None, "Relu", "Sigmoid", "Tanh", "Erf", "BatchNormalization")


class Builder:
    """Collects nodes and weights of one model; everything random comes from one seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)
        self.generator = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.inputs: dict[str, np.ndarray] = {}

    def numbers(self, *shape: int) -> np.ndarray:
        return self.generator.standard_normal(shape).astype(np.float32)

    def weight(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array, np.float32)
        return name

    def given(self, *shape: int) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.numbers(*shape)
        return name

    def node(self, op: str, *operands: str, **attributes: object) -> str:
        result = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(operands), [result], **attributes))
        return result

    def model(self, result: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in self.inputs.items()],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolution(b: Builder) -> str:
    """A convolution of any rank, group, stride, dilation and padding; an activation; perhaps another, and a pool."""
    pick = b.pick
    rank, batch = pick.choice([1, 2, 2, 3]), pick.choice([1, 2])
    op = pick.choice(["Conv", "Conv", "ConvTranspose"])
    group = pick.choice([1, 1, 1, 2, 4])
    if pick.random() < 0.25:
        group = inputs = outputs = pick.choice([8, 16, 17, 48])
    else:
        inputs, outputs = group * pick.choice([1, 3, 8, 17]), group * pick.choice([1, 4, 5, 16, 48])
    kernel = [pick.choice([1, 2, 3, 5]) for _ in range(rank)]
    low_high = [pick.randint(0, k - 1) for k in kernel * 2]
    sizes = [pick.randint(9, 15) for _ in range(rank)]
    outer, inner = (outputs, inputs // group) if op == "Conv" else (inputs, outputs // group)
    weight, bias = b.weight(b.numbers(outer, inner, *kernel)), b.weight(b.numbers(outputs))
    value = b.node(
        op, b.given(batch, inputs, *sizes), weight, bias, group=group, pads=low_high,
        strides=[pick.choice([1, 1, 2, 3]) for _ in range(rank)],
        dilations=[pick.choice([1, 1, 2]) for _ in range(rank)],
    )  # fmt: skip
    activation = pick.choice(ACTIVATIONS)
    if activation == "BatchNormalization":
        statistics = [b.weight(b.numbers(outputs)) for _ in range(3)]
        value = b.node(activation, value, *statistics, b.weight(abs(b.numbers(outputs)) + 0.1))
    elif activation:
        value = b.node(activation, value)
    if pick.random() < 0.4:
        more, edge = pick.choice([3, 16]), pick.choice([0, 1])
        second = b.weight(b.numbers(more, outputs, *[2 * edge + 1] * rank))
        value = b.node("Conv", value, second, pads=[edge] * 2 * rank)
        value = b.node(pick.choice(["MaxPool", "AveragePool"]), value, kernel_shape=[2] * rank, strides=[2] * rank)
    return value


def product(b: Builder) -> str:
    """A matrix product with constant or computed right side, and what often follows one."""
    pick = b.pick
    m, k, n = pick.choice([1, 3, 7, 16, 33]), pick.choice([1, 5, 16, 64, 100]), pick.choice([1, 3, 16, 24, 100, 128])
    lead = pick.choice([[], [2], [2, 3]])
    left = b.given(*lead, m, k)
    right = b.weight(b.numbers(k, n)) if pick.random() < 0.5 else b.given(*lead, k, n)
    value = b.node("MatMul", left, right)
    after = pick.choice(["Softmax", "LayerNormalization", "Erf", "Add", "ReduceMean", "Transpose", "Concat"])
    extra = {
        "LayerNormalization": [b.weight(b.numbers(n)), b.weight(b.numbers(n))],
        "Add": [b.weight(b.numbers(n))],
        "Concat": [value],
    }.get(after, [])
    attributes: dict[str, object] = {
        "Softmax": {"axis": pick.choice([-1, -2])},
        "ReduceMean": {"axes": [pick.choice([-1, -2])], "keepdims": pick.choice([0, 1])},
        "Concat": {"axis": pick.choice([-1, -2])},
    }.get(after, {})
    return b.node(after, value, *extra, **attributes)


@pytest.mark.parametrize("seed", range(24))
def test_random_models_agree_with_onnxruntime(seed: int) -> None:
    builder = Builder(seed)
    model = builder.model(convolution(builder) if seed % 3 else product(builder))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, builder.inputs)[0])
    result = next(iter(ansorc.compile(model).run(builder.inputs).values()))
    assert result.shape == expected.shape
    assert abs(result - expected).max() <= TOLERANCE * max(abs(expected).max(), 1e-30)


@pytest.mark.parametrize("op", ["Exp", "Tanh", "Erf", "Sigmoid"])
def test_functions_over_the_whole_range(op: str) -> None:
    """Within 1e-6 of the float64 value wherever that is a normal f32; limits and NaN are right."""
    builder = Builder(0)
    sizes = np.concatenate([np.geomspace(1e-30, 3e38, 4000), np.linspace(1e-3, 120, 4096 - 4000 - 2 + 4000)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    x[:4] = [np.inf, -np.inf, np.nan, 0]
    x = np.resize(x, 16384)
    builder.inputs["x0"] = x
    model = ansorc.compile(builder.model(builder.node(op, "x0")))
    result = next(iter(model.run(builder.inputs).values()))
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        from math import erf

        expected = {
            "Exp": lambda: np.exp(wide),
            "Tanh": lambda: np.tanh(wide),
            "Erf": lambda: np.vectorize(erf)(wide),
            "Sigmoid": lambda: 1 / (1 + np.exp(-wide)),
        }[op]()
        rounded = expected.astype(np.float32)
        normal = np.isfinite(rounded) & (abs(rounded) >= np.finfo(np.float32).tiny)
        assert (abs(result[normal] - expected[normal]) <= 1e-6 * abs(expected[normal])).all()
    assert np.array_equal(result[np.isinf(rounded)], rounded[np.isinf(rounded)])
    assert np.array_equal(np.isnan(result), np.isnan(rounded))
    assert (abs(result[abs(rounded) < np.finfo(np.float32).tiny]) <= np.finfo(np.float32).tiny).all()
