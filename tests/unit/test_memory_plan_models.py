"""Random small networks whose values share memory, against onnxruntime, bit by bit.

All numbers are whole and small, so that every order of sums gives the same bits: a wrong number is a wrong address.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx_cases import graph_model

import ansorc

EXACT = 1 << 24
"""Whole numbers up to here are exact in f32."""
SMALL = 3
SIZES = (2, 3, 4, 8, 16)
Draw = Callable[[st.SearchStrategy[int]], int]


@dataclass(frozen=True)
class Value:
    name: str
    shape: tuple[int, ...]
    most: int
    """Bound of the absolute values."""


@dataclass
class Network:
    """A network in the making; every step of `STEPS` adds a value or, where it does not fit, nothing."""

    draw: Draw
    inputs: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    constants: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    values: list[Value] = field(default_factory=list[Value])

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.draw(st.integers(0, len(options) - 1))]

    def any_value(self) -> Value:
        """One of all values, the latest ones most often."""
        return self.values[-1 - min(self.draw(st.integers(0, 4)), len(self.values) - 1)]

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def small(self, *shape: int) -> np.ndarray:
        """Small whole numbers as a function of their number, so that examples stay short."""
        seed = len(self.constants) + 100 * len(self.inputs)
        return np.random.default_rng(seed).integers(-SMALL, SMALL + 1, shape).astype(np.float32)

    def add_input(self, shape: tuple[int, ...]) -> None:
        name = f"x{len(self.inputs)}"
        self.values.append(Value(name, shape, SMALL))
        self.inputs[name] = self.small(*shape)

    def add(self, op: str, operands: list[str], shape: tuple[int, ...], most: int, **attributes: object) -> None:
        if most < EXACT:
            name = f"v{len(self.nodes)}"
            self.nodes.append(helper.make_node(op, operands, [name], **attributes))
            self.values.append(Value(name, shape, most))

    def unary(self) -> None:
        a = self.any_value()
        self.add(self.choose(["Relu", "Neg", "Abs"]), [a.name], a.shape, a.most)

    def binary(self) -> None:
        a = self.any_value()
        b = self.choose([v for v in self.values if v.shape == a.shape])
        op = self.choose(["Add", "Sub", "Mul", "Max"])
        most = {"Mul": a.most * b.most, "Max": max(a.most, b.most)}.get(op, a.most + b.most)
        self.add(op, [a.name, b.name], a.shape, most)

    def add_own_transpose(self) -> None:
        """The same memory as a whole and as a view with another order: not to be written over in between."""
        a = self.any_value()
        if len(a.shape) != 2:
            return
        view = a.name
        if a.shape[0] != a.shape[1]:
            self.add("Reshape", [a.name, self.constant(np.array(a.shape[::-1], np.int64))], a.shape[::-1], a.most)
            view = self.values[-1].name
        self.add("Transpose", [view], a.shape, a.most, perm=[1, 0])
        self.add("Add", [a.name, self.values[-1].name], a.shape, 2 * a.most)

    def bias(self) -> None:
        a = self.any_value()
        self.add("Add", [a.name, self.constant(self.small(a.shape[-1]))], a.shape, a.most + SMALL)

    def matmul(self) -> None:
        a = self.any_value()
        if len(a.shape) != 2:
            return
        fitting = [v for v in self.values if len(v.shape) == 2 and v.shape[0] == a.shape[1]]
        if fitting and self.draw(st.integers(0, 1)):
            b = self.choose(fitting)
            self.add("MatMul", [a.name, b.name], (a.shape[0], b.shape[1]), a.shape[1] * a.most * b.most)
            return
        columns = self.choose([a.shape[1], *SIZES])
        weight = self.constant(self.small(a.shape[1], columns))
        self.add("MatMul", [a.name, weight], (a.shape[0], columns), a.shape[1] * a.most * SMALL)

    def transpose(self) -> None:
        a = self.any_value()
        orders = [[1, 0]] if len(a.shape) == 2 else [[0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]]
        order = self.choose(orders)
        self.add("Transpose", [a.name], tuple(a.shape[k] for k in order), a.most, perm=order)

    def reshape(self) -> None:
        a = self.any_value()
        size = prod(a.shape)
        shapes = [(n, size // n) for n in range(2, size) if size % n == 0]
        shapes += [(n, *pair) for n in (2, 3) if size % n == 0 for pair in [(k, size // n // k) for k in (2, 4)]]
        shape = self.choose([a.shape[::-1], *(s for s in shapes if prod(s) == size)])
        self.add("Reshape", [a.name, self.constant(np.array(shape, np.int64))], shape, a.most)

    def concat(self) -> None:
        a = self.any_value()
        axis = self.draw(st.integers(0, len(a.shape) - 1))
        rest = [*a.shape[:axis], *a.shape[axis + 1 :]]
        same_rank = [v for v in self.values if len(v.shape) == len(a.shape)]
        b = self.choose([v for v in same_rank if [*v.shape[:axis], *v.shape[axis + 1 :]] == rest])
        shape = (*a.shape[:axis], a.shape[axis] + b.shape[axis], *a.shape[axis + 1 :])
        self.add("Concat", [a.name, b.name], shape, max(a.most, b.most), axis=axis)

    def cut(self) -> None:
        a = self.any_value()
        axis = self.draw(st.integers(0, len(a.shape) - 1))
        if a.shape[axis] < 2:
            return
        start = self.draw(st.integers(0, a.shape[axis] - 1))
        shape = (*a.shape[:axis], a.shape[axis] - start, *a.shape[axis + 1 :])
        bounds = [self.constant(np.array([n], np.int64)) for n in (start, a.shape[axis], axis)]
        self.add("Slice", [a.name, *bounds], shape, a.most)

    def less_row_maximum(self) -> None:
        """What softmax begins with: a reduction, and the value that was reduced is used again."""
        a = self.any_value()
        axes = self.constant(np.array([-1], np.int64))
        self.add("ReduceMax", [a.name, axes], (*a.shape[:-1], 1), a.most, keepdims=1)
        self.add("Sub", [a.name, self.values[-1].name], a.shape, 2 * a.most)


STEPS = (
    Network.unary, Network.binary, Network.binary, Network.binary, Network.add_own_transpose, Network.bias,
    Network.matmul, Network.transpose, Network.reshape, Network.concat, Network.cut, Network.less_row_maximum,
)  # fmt: skip


@st.composite
def networks(draw: Draw) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model and inputs. Any values may be outputs: also ones that are used inside, inputs, and twice the same."""
    network = Network(draw)
    for _ in range(draw(st.integers(1, 2))):
        network.add_input((network.choose(SIZES), network.choose(SIZES)))
    for _ in range(draw(st.integers(6, 20))):
        network.choose(STEPS)(network)
    outputs: list[str] = []
    returned = [network.values[-1]] + [network.any_value() for _ in range(draw(st.integers(0, 3)))]
    for k, value in enumerate(returned):
        outputs.append(f"y{k}")
        network.nodes.append(helper.make_node("Identity", [value.name], [f"y{k}"]))
    return graph_model(network.nodes, network.inputs, outputs, network.constants), network.inputs


def check(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> None:
    """Compare two runs, on different numbers: what the first leaves in memory must not matter."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = ansorc.compile(proto)
    for given_ in (inputs, {name: -x[..., ::-1] for name, x in inputs.items()}):
        arrays = {name: np.ascontiguousarray(x) for name, x in given_.items()}
        results = model.run(arrays)
        for (name, result), expected in zip(results.items(), session.run(list(results), arrays), strict=True):
            np.testing.assert_array_equal(result, np.asarray(expected), err_msg=name)


@given(networks())
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_values_that_share_memory(network: tuple[onnx.ModelProto, dict[str, np.ndarray]]) -> None:
    check(*network)


def test_a_second_view_in_another_order_is_not_written_over() -> None:
    """Memory order of the sum is that of `y`, which it also reads as `v`, transposed."""
    generator = np.random.default_rng(0)
    x, w, last = (generator.integers(-3, 4, shape).astype(np.float32) for shape in ((8, 2), (2, 2), (8, 8)))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Reshape", ["y", "whole"], ["a"]),
        helper.make_node("Transpose", ["a"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["y", "turned"], ["v"]),
        helper.make_node("Add", ["t", "v"], ["q"]),
        helper.make_node("MatMul", ["q", "last"], ["z"]),
    ]
    constants = {"w": w, "last": last, "whole": np.array([1, 8, 2]), "turned": np.array([2, 8])}
    check(graph_model(nodes, {"x": x}, ["z"], constants), {"x": x})


def test_outputs_that_are_inputs_constants_or_the_same() -> None:
    """With and without operations between: an input or a weight cannot be given away, nor one buffer twice."""
    x, w = np.float32([[1, -2, 3]]), np.float32([[4, 5, -6]])
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Reshape", ["a", "flat"], ["c"]),
        helper.make_node("Identity", ["x"], ["d"]),
        helper.make_node("Reshape", ["x", "flat"], ["e"]),
        helper.make_node("Identity", ["w"], ["f"]),
        helper.make_node("Add", ["a", "w"], ["g"]),
    ]
    constants = {"w": w, "flat": np.array([3])}
    check(graph_model(nodes, {"x": x}, list("gfedcba"), constants), {"x": x})
    check(graph_model(nodes, {"x": x}, ["x", "w", "g", "a", "a"], constants), {"x": x})
