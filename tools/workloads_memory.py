"""Layers that memory bounds, and products of odd sizes: elementwise, row by row, transposes, windows, joins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from ansorc.tools.workloads import Array, Case, alike, by_x, model_of, normal

CHAINS: dict[str, tuple[tuple[str, ...], Callable[..., Array]]] = {
    "add relu": (("Add", "Relu"), lambda x, y: np.maximum(x + y, 0)),
    "mul add tanh": (("Mul", "Add", "Tanh"), lambda x, y, z: np.tanh(x * y + z)),
    "gelu": (("Gelu",), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
    "exp": (("Exp",), np.exp),
    "softplus": (("Softplus",), lambda x: np.logaddexp(x, 0)),
    "sigmoid mul": (("Sigmoid", "Mul"), lambda x, y: y / (1 + np.exp(-x))),
}
"""ONNX's operators, each of the value before and, where it takes two, a fresh input; and what they compute."""
BINARY = ("Add", "Mul")


@dataclass(frozen=True)
class Chain:
    """Elementwise operators, one after the other."""

    operators: str
    """A key of CHAINS."""
    sizes: tuple[int, ...]
    """Without the batch, here and below."""
    operator: str = "Chain"

    @property
    def name(self) -> str:
        """Its operators and sizes."""
        return f"{self.operators} {by_x(self.sizes)}"

    def flops(self, batch: int) -> int:
        """Count one for each operator and element."""
        return len(CHAINS[self.operators][0]) * batch * math.prod(self.sizes)

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the inputs."""
        kinds, reference = CHAINS[self.operators]
        generator, shape = np.random.default_rng(seed), (batch, *self.sizes)
        names = [f"x{k}" for k in range(1 + sum(kind in BINARY for kind in kinds))]
        inputs = {name: normal(generator, shape) for name in names}
        fresh, value, nodes = iter(names), "", list[Any]()
        value = next(fresh)
        for k, kind in enumerate(kinds):
            target = "y" if k == len(kinds) - 1 else f"t{k}"
            nodes.append(helper.make_node(kind, [value, *([next(fresh)] if kind in BINARY else [])], [target]))
            value = target
        return alike(nodes, inputs, shape, {}, lambda: reference(*(x.astype(np.float64) for x in inputs.values())))


@dataclass(frozen=True)
class Rows:
    """Softmax or layer normalisation of rows."""

    operator: str
    rows: int
    columns: int

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{self.rows}x{self.columns}"

    def flops(self, batch: int) -> int:
        """Count five for each element: for softmax maximum, difference, power, sum and quotient."""
        return 5 * batch * self.rows * self.columns

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the rows, and scale and bias for a normalisation."""
        generator, shape = np.random.default_rng(seed), (batch, self.rows, self.columns)
        x = normal(generator, shape)
        if self.operator == "Softmax":
            node = helper.make_node("Softmax", ["x"], ["y"], axis=-1)

            def softmax() -> Array:
                powers = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
                return powers / powers.sum(axis=-1, keepdims=True)

            return alike([node], {"x": x}, shape, {}, softmax)
        scale, bias = (normal(generator, (self.columns,)) for _ in range(2))
        node = helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["y"], axis=-1, epsilon=1e-5)

        def normalisation() -> Array:
            wide = x.astype(np.float64)
            centred = wide - wide.mean(axis=-1, keepdims=True)
            return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * scale + bias

        return alike([node], {"x": x}, shape, {"scale": scale, "bias": bias}, normalisation)


@dataclass(frozen=True)
class Transposition:
    """A tensor in another order of its dims, the batch's first."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]
    """Of the dims behind the batch, from 0."""
    operator: str = "Transpose"

    @property
    def name(self) -> str:
        """Its sizes and order."""
        return f"{by_x(self.sizes)} to {by_x(tuple(self.sizes[k] for k in self.order))}"

    def flops(self, batch: int) -> int:
        """Count none."""
        return 0

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the tensor."""
        x = normal(np.random.default_rng(seed), (batch, *self.sizes))
        order = [0, *(k + 1 for k in self.order)]
        node = helper.make_node("Transpose", ["x"], ["y"], perm=order)
        shape = tuple(x.shape[k] for k in order)
        return alike([node], {"x": x}, shape, {}, lambda: x.astype(np.float64).transpose(order))


@dataclass(frozen=True)
class Window:
    """Pooling, or images of twice the size; channels are last for us and first for the peers."""

    operator: str
    """MaxPool, AveragePool, or Resize by linear interpolation."""
    extent: int
    channels: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0

    @property
    def name(self) -> str:
        """Its sizes."""
        window = f" k{self.kernel} s{self.stride} p{self.padding}" if self.operator != "Resize" else ""
        return f"{by_x((self.extent, self.extent, self.channels))}{window}"

    @property
    def output_extent(self) -> int:
        """Return the output's height and width."""
        if self.operator == "Resize":
            return 2 * self.extent
        return (self.extent + 2 * self.padding - self.kernel) // self.stride + 1

    def flops(self, batch: int) -> int:
        """Count one for each element of a window, and six for an interpolation."""
        each = 6 if self.operator == "Resize" else self.kernel**2
        return each * batch * self.output_extent**2 * self.channels

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the images; ours has a transpose on either side, which the graph passes cancel."""
        x = normal(np.random.default_rng(seed), (batch, self.extent, self.extent, self.channels))
        shape = (batch, self.output_extent, self.output_extent, self.channels)
        constants = {"scales": np.array([1, 1, 2, 2], np.float32)} if self.operator == "Resize" else {}
        first, last = (0, 3, 1, 2), (0, 2, 3, 1)
        ours = [
            helper.make_node("Transpose", ["x"], ["x1"], perm=list(first)),
            self._node("x1", "y1"),
            helper.make_node("Transpose", ["y1"], ["y"], perm=list(last)),
        ]
        peer_x = np.ascontiguousarray(x.transpose(first))
        return Case(
            model_of(ours, {"x": x}, shape, constants),
            {"x": x},
            model_of([self._node("x", "y")], {"x": peer_x}, tuple(shape[k] for k in first), constants),
            {"x": peer_x},
            lambda y: y.transpose(last),
            lambda: self._reference(x.astype(np.float64)),
        )

    def _node(self, source: str, target: str) -> Any:
        if self.operator == "Resize":
            return helper.make_node("Resize", [source, "", "scales"], [target], mode="linear")
        kernel, strides, pads = [self.kernel] * 2, [self.stride] * 2, [self.padding] * 4
        return helper.make_node(self.operator, [source], [target], kernel_shape=kernel, strides=strides, pads=pads)

    def _reference(self, x: Array) -> Array:
        if self.operator == "Resize":
            return _doubled(_doubled(x, 1), 2)
        p, n, s = self.padding, self.output_extent, self.stride
        fill = -np.inf if self.operator == "MaxPool" else np.nan
        x = np.pad(x, np.array(((0, 0), (p, p), (p, p), (0, 0))), constant_values=fill)
        windows = [
            x[:, a : a + (n - 1) * s + 1 : s, b : b + (n - 1) * s + 1 : s] for a, b in np.ndindex(*[self.kernel] * 2)
        ]
        return np.max(windows, axis=0) if self.operator == "MaxPool" else np.nanmean(windows, axis=0)


def _doubled(x: Array, axis: int) -> Array:
    """Interpolate at a quarter before and behind each element; what lies beyond the border is the border."""
    n = x.shape[axis]
    before = np.take(x, [max(k - 1, 0) for k in range(n)], axis)
    behind = np.take(x, [min(k + 1, n - 1) for k in range(n)], axis)
    pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * behind], axis + 1)
    return pair.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])


@dataclass(frozen=True)
class Join:
    """Two tensors, one behind the other along the last dim."""

    rows: int
    columns: tuple[int, int]
    operator: str = "Concat"

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{self.rows}x{self.columns[0]}+{self.columns[1]}"

    def flops(self, batch: int) -> int:
        """Count none."""
        return 0

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw both."""
        generator = np.random.default_rng(seed)
        parts = [normal(generator, (batch, self.rows, n)) for n in self.columns]
        node = helper.make_node("Concat", ["a", "b"], ["y"], axis=-1)
        shape = (batch, self.rows, sum(self.columns))
        return alike(
            [node],
            dict(zip("ab", parts, strict=True)),
            shape,
            {},
            lambda: np.concatenate(parts, axis=-1).astype(np.float64),
        )
