"""Channel counts that fill no vector, against onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ansorc
from ansorc.dialect_passes.graph.pad_channels import padded


def test_padded_sizes() -> None:
    assert [padded(n) for n in (2, 3, 5, 9, 12, 17, 34, 255)] == [4, 4, 8, 16, 16, 32, 48, 256]


def _check(nodes: list[onnx.NodeProto], weights: dict[str, list[int]], source: list[int]) -> None:
    generator = np.random.default_rng(0)
    tensors = [numpy_helper.from_array(generator.standard_normal(s).astype(np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, source)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inputs = {"x": generator.standard_normal(source).astype(np.float32)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(["y"], inputs)[0])
    actual = ansorc.compile(model, exact=True).run(inputs)["y"]
    assert actual.shape == expected.shape
    assert abs(actual - expected).max() <= 1e-5 * abs(expected).max()


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 12, 13, 20, 37, 255])
def test_convolution_with_epilogue(channels: int) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
    ]
    _check(nodes, {"w": [channels, 24, 3, 3], "b": [channels]}, [1, 24, 9, 11])


@pytest.mark.parametrize("channels", [18, 27, 162])
@pytest.mark.parametrize("read_twice", [False, True])
def test_a_depthwise_convolution_behind(channels: int, read_twice: bool) -> None:
    """Of an expansion by a factor that fills no vectors: SiLU reads it twice; its sums may be read, too."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w0", "b"], ["e"]), node("Sigmoid", ["e"], ["s"]), node("Mul", ["e", "s"], ["a"]),
        node("Conv", ["a", "w1", "b"], ["d"], group=channels, pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["d"], ["r"]), node("GlobalAveragePool", ["r"], ["p"]), node("Mul", ["r", "p"], ["m"]),
        node("Conv", ["m", "w2"], ["o" if read_twice else "y"]),
        *([node("ReduceMean", ["a"], ["q"]), node("Add", ["o", "q"], ["y"])] if read_twice else []),
    ]  # fmt: skip
    weights = {"w0": [channels, 16, 1, 1], "b": [channels], "w1": [channels, 1, 3, 3], "w2": [20, channels, 1, 1]}
    _check(nodes, weights, [2, 16, 9, 12])


def test_a_depthwise_convolution_of_one_dim_behind() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["e"]),
        helper.make_node("Conv", ["e", "w1"], ["y"], group=30, pads=[2, 2]),
    ]
    _check(nodes, {"w0": [30, 16, 1], "w1": [30, 1, 5]}, [2, 16, 21])


@pytest.mark.parametrize("per_group", [3, 6, 34])
def test_groups(per_group: int) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], group=4), helper.make_node("Relu", ["c"], ["y"])]
    _check(nodes, {"w": [4 * per_group, 16, 1, 1]}, [2, 64, 7, 7])


def test_a_residual_stops_the_padding() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "x"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    _check(nodes, {"w": [19, 19, 3, 3], "b": [19]}, [1, 19, 8, 8])


@pytest.mark.parametrize("columns", [10, 21, 1001])
def test_products(columns: int) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    _check(nodes, {"w": [70, columns], "b": [columns]}, [5, 70])
