"""Single layers to measure engines with: an ONNX graph for each side, data, and the numbers that should come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
OPSET, IR_VERSION = 20, 9
ACTIVATIONS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "relu": ("Relu", lambda x: np.maximum(x, 0)),
    "relu6": ("Clip", lambda x: np.clip(x, 0, 6)),
    "tanh": ("Tanh", np.tanh),
    "gelu": ("Gelu", lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
}
"""ONNX's name and the definition of each."""


@dataclass(frozen=True)
class Case:
    """A workload on data, ready for every engine."""

    model: onnx.ModelProto
    """Ours: channels last where the workload has channels."""
    inputs: dict[str, Array]
    peer_model: onnx.ModelProto
    """The same in ONNX's own layout, on equal data."""
    peer_inputs: dict[str, Array]
    to_ours: Callable[[Array], Array]
    """Brings a result of the peer into our layout."""
    reference: Callable[[], Array]
    """Computes the result in float64."""
    unread: int = 0
    """Bytes of the inputs that nobody has to read."""

    @property
    def touched(self) -> int:
        """Bytes of inputs, weights and output: what any implementation has to read or write once."""
        sizes = [x.nbytes for x in self.inputs.values()]
        weights = self.peer_model.graph.initializer
        sizes += [numpy_helper.to_array(w).nbytes for w in weights if w.data_type == TensorProto.FLOAT]
        dims = self.model.graph.output[0].type.tensor_type.shape.dim
        return sum(sizes) - self.unread + 4 * math.prod(d.dim_value for d in dims)


class Workload(Protocol):
    """A layer with all its sizes but the batch's."""

    @property
    def operator(self) -> str:
        """What geometric means are taken over, such as C2D."""
        ...

    @property
    def name(self) -> str:
        """Its sizes."""
        ...

    def flops(self, batch: int) -> int:
        """Count multiplications and additions of the anchor: zeros of paddings count, activations do not."""
        ...

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the data and write the graphs."""
        ...


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Array],
    output: tuple[int, ...],
    constants: dict[str, Array] | None = None,
) -> onnx.ModelProto:
    """Return a model whose last node computes `y`."""
    graph = helper.make_graph(
        list(nodes),
        "workload",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name, x in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(x, name) for name, x in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def activation_node(activation: str, source: str, target: str) -> onnx.NodeProto:
    """Return the node of an activation; `relu6` takes its bounds from the constants `low` and `high`."""
    bounds = ["low", "high"] if activation == "relu6" else []
    return helper.make_node(ACTIVATIONS[activation][0], [source, *bounds], [target])


def activation_constants(activation: str) -> dict[str, Array]:
    """Return the constants that `activation_node` names."""
    return {"low": np.array(0, np.float32), "high": np.array(6, np.float32)} if activation == "relu6" else {}


def by_x(sizes: int | tuple[int, ...]) -> str:
    """Return sizes as a text such as "56x56x64"."""
    return str(sizes) if isinstance(sizes, int) else "x".join(map(str, sizes))


def normal(generator: np.random.Generator, shape: Sequence[int], deviation: float = 1.0) -> Array:
    """Draw f32 numbers."""
    return generator.standard_normal(tuple(shape), np.float32) * np.float32(deviation)


def same(result: Array) -> Array:
    """Return a result of a peer that has our layout."""
    return result


def alike(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Array],
    output: tuple[int, ...],
    constants: dict[str, Array],
    reference: Callable[[], Array],
) -> Case:
    """Return a case with one graph for all engines."""
    model = model_of(nodes, inputs, output, constants)
    return Case(model, inputs, model, inputs, same, reference)


@dataclass(frozen=True)
class BatchMatmul:
    """Products of pairs of matrices, none of them constant."""

    operator: str
    rows: int
    columns: int
    depth: int
    count: int = 1
    """Matrices for each of the batch."""

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{self.rows}x{self.columns}x{self.depth}" + (f" *{self.count}" if self.count > 1 else "")

    def flops(self, batch: int) -> int:
        """Count those of the product."""
        return 2 * batch * self.count * self.rows * self.columns * self.depth

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw both sides."""
        generator, b = np.random.default_rng(seed), batch * self.count
        a = normal(generator, (b, self.rows, self.depth))
        c = normal(generator, (b, self.depth, self.columns))
        node = helper.make_node("MatMul", ["a", "b"], ["y"])
        shape = (b, self.rows, self.columns)
        return alike([node], {"a": a, "b": c}, shape, {}, lambda: a.astype(np.float64) @ c.astype(np.float64))


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: constant weights, bias, activation."""

    operator: str
    rows: int
    """For each of the batch."""
    depth: int
    columns: int
    bias: bool = True
    activation: str = ""

    @property
    def name(self) -> str:
        """Its sizes."""
        extras = (" bias" * self.bias) + (f" {self.activation}" if self.activation else "")
        return f"{self.rows}x{self.depth}-{self.columns}{extras}"

    def flops(self, batch: int) -> int:
        """Count those of the product."""
        return 2 * batch * self.rows * self.depth * self.columns

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw input, weights and bias."""
        generator, rows = np.random.default_rng(seed), batch * self.rows
        x = normal(generator, (rows, self.depth))
        w = normal(generator, (self.columns, self.depth), self.depth**-0.5)
        b = normal(generator, (self.columns,)) if self.bias else np.zeros(self.columns, np.float32)
        product = "z" if self.activation else "y"
        nodes = [helper.make_node("Gemm", ["x", "w", *["b"] * self.bias], [product], transB=1)]
        if self.activation:
            nodes.append(activation_node(self.activation, "z", "y"))

        def reference() -> Array:
            z = x.astype(np.float64) @ w.T.astype(np.float64) + b
            return ACTIVATIONS[self.activation][1](z) if self.activation else z

        constants = {"w": w, **({"b": b} if self.bias else {}), **activation_constants(self.activation)}
        return alike(nodes, {"x": x}, (rows, self.columns), constants, reference)


@dataclass(frozen=True)
class MatrixNorm:
    """The 2-norm of each matrix of a batch."""

    rows: int
    columns: int
    operator: str = "NRM"

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{self.rows}x{self.columns}"

    def flops(self, batch: int) -> int:
        """Count squares and sums."""
        return 2 * batch * self.rows * self.columns

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the matrices."""
        x = normal(np.random.default_rng(seed), (batch, self.rows, self.columns))
        node = helper.make_node("ReduceL2", ["x", "axes"], ["y"], keepdims=0)
        axes = {"axes": np.array([1, 2], np.int64)}
        return alike([node], {"x": x}, (batch,), axes, lambda: np.sqrt((x.astype(np.float64) ** 2).sum(axis=(1, 2))))


@dataclass(frozen=True)
class AttentionScores:
    """Transposed queries times transposed keys, then softmax: the paper's subgraph TBS."""

    length: int
    heads: int
    size: int
    operator: str = "TBS"

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{self.length} {self.heads}x{self.size}"

    def flops(self, batch: int) -> int:
        """Count those of the product."""
        return 2 * batch * self.heads * self.length**2 * self.size

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw queries and keys, scaled so that scores are standard normal."""
        generator, shape = np.random.default_rng(seed), (batch, self.length, self.heads, self.size)
        q, k = (normal(generator, shape, self.size**-0.25) for _ in range(2))
        nodes = [
            helper.make_node("Transpose", ["q"], ["qt"], perm=[0, 2, 1, 3]),
            helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 3, 1]),
            helper.make_node("MatMul", ["qt", "kt"], ["s"]),
            helper.make_node("Softmax", ["s"], ["y"], axis=-1),
        ]

        def reference() -> Array:
            scores = q.transpose(0, 2, 1, 3).astype(np.float64) @ k.transpose(0, 2, 3, 1).astype(np.float64)
            powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
            return powers / powers.sum(axis=-1, keepdims=True)

        return alike(nodes, {"q": q, "k": k}, (batch, self.heads, self.length, self.length), {}, reference)
