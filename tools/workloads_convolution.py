"""Convolutions to measure: of any rank, grouped, dilated, transposed, of capsules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from ansorc.tools.workloads import (
    ACTIVATIONS,
    Case,
    activation_constants,
    activation_node,
    by_x,
    model_of,
    normal,
)

Array = NDArray[Any]
Sizes = int | tuple[int, ...]


@dataclass(frozen=True)
class Convolution:
    """A convolution with constant weights, perhaps a bias and an activation; sizes are one for each axis."""

    operator: str
    spatial: tuple[int, ...]
    channels: int
    filters: int
    kernel: Sizes
    """A number stands for the same on every axis, here and below."""
    stride: Sizes = 1
    padding: Sizes = 0
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    bias: bool = False
    activation: str = ""

    @property
    def name(self) -> str:
        """Its sizes, such as "56x56x64-128 k3 s2 p1"."""
        words = [
            f"{by_x((*self.spatial, self.channels))}-{self.filters}",
            f"k{by_x(self.kernel)} s{by_x(self.stride)} p{by_x(self.padding)}",
            f"d{self.dilation}" if self.dilation > 1 else "",
            f"g{self.groups}" if self.groups > 1 else "",
            "bias" if self.bias else "",
            self.activation,
        ]
        return " ".join(word for word in words if word)

    def flops(self, batch: int) -> int:
        """Count those of the anchor."""
        places = self.spatial if self.transposed else self.output_spatial
        products = math.prod(places) * math.prod(self._each(self.kernel)) * self.channels * self.filters
        return 2 * batch * products // self.groups

    @property
    def output_spatial(self) -> tuple[int, ...]:
        """Return the output's extents."""
        axes = zip(*map(self._each, (self.spatial, self.kernel, self.stride, self.padding)), strict=True)
        if self.transposed:
            return tuple((h - 1) * s - 2 * p + self.dilation * (k - 1) + 1 for h, k, s, p in axes)
        return tuple((h + 2 * p - self.dilation * (k - 1) - 1) // s + 1 for h, k, s, p in axes)

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw input, weights and bias; ours has a transpose on either side, which the graph passes cancel."""
        generator, rank, kernel = np.random.default_rng(seed), len(self.spatial), self._each(self.kernel)
        x = normal(generator, (batch, *self.spatial, self.channels))
        # Channels last: [*kernel, inputs of a group, filters].
        inputs = self.channels // self.groups
        deviation = (
            math.prod(kernel) * inputs / (math.prod(self._each(self.stride)) if self.transposed else 1)
        ) ** -0.5
        w = normal(generator, (*kernel, inputs, self.filters), deviation)
        b = normal(generator, (self.filters,)) if self.bias else None
        last, first = (0, *range(2, rank + 2), 1), (0, rank + 1, *range(1, rank + 1))
        axes = range(rank)
        peer_w = w.transpose((rank, rank + 1, *axes) if self.transposed else (rank + 1, rank, *axes))
        constants = {"w": np.ascontiguousarray(peer_w), **({} if b is None else {"b": b})}
        constants |= activation_constants(self.activation)
        shape = (batch, *self.output_spatial, self.filters)
        inner = self._nodes("x1", "y1")
        ours = [
            helper.make_node("Transpose", ["x"], ["x1"], perm=list(first)),
            *inner,
            helper.make_node("Transpose", ["y1"], ["y"], perm=list(last)),
        ]
        peer_inputs = {"x": np.ascontiguousarray(x.transpose(first))}
        peer_shape = (batch, self.filters, *self.output_spatial)
        return Case(
            model_of(ours, {"x": x}, shape, constants),
            {"x": x},
            model_of(self._nodes("x", "y"), peer_inputs, peer_shape, constants),
            peer_inputs,
            lambda y: y.transpose(last),
            lambda: self._reference(x, w, b),
        )

    def _nodes(self, source: str, target: str) -> list[Any]:
        product = "product" if self.activation else target
        paddings = [*self._each(self.padding)] * 2
        node = helper.make_node(
            "ConvTranspose" if self.transposed else "Conv",
            [source, "w", *["b"] * self.bias],
            [product],
            kernel_shape=list(self._each(self.kernel)),
            strides=list(self._each(self.stride)),
            pads=paddings,
            dilations=[self.dilation] * len(self.spatial),
            group=self.groups,
        )
        return [node, *([activation_node(self.activation, product, target)] if self.activation else [])]

    def _reference(self, x: Array, w: Array, b: Array | None) -> Array:
        """Sum over the offsets of the kernel, in float64."""
        kernel, stride, padding = map(self._each, (self.kernel, self.stride, self.padding))
        x, w = x.astype(np.float64), w.astype(np.float64)
        small, large = (self.spatial, self.output_spatial) if self.transposed else (self.output_spatial, self.spatial)
        padded = tuple(h + 2 * p for h, p in zip(large, padding, strict=True))
        inside = (slice(None), *(slice(p, p + h) for h, p in zip(large, padding, strict=True)))
        if self.transposed:
            y = np.zeros((x.shape[0], *padded, self.filters))
        else:
            y = np.zeros((x.shape[0], *small, self.filters))
            x = np.pad(x, np.array(((0, 0), *((p, p) for p in padding), (0, 0))))
        for offset in np.ndindex(*kernel):
            starts = (o * self.dilation for o in offset)
            steps = (slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(starts, small, stride, strict=True))
            window = (slice(None), *steps)
            if self.transposed:
                y[window] += self._grouped(x, w[offset])
            else:
                y += self._grouped(x[window], w[offset])
        y = y[inside] if self.transposed else y
        y = y if b is None else y + b
        return ACTIVATIONS[self.activation][1](y) if self.activation else y

    def _grouped(self, x: Array, w: Array) -> Array:
        """Multiply [..., channels] by [inputs of a group, filters], each group by its own columns."""
        groups, outputs = self.groups, self.filters // self.groups
        if groups == 1:
            return x @ w
        parts = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
        weights = w.reshape(w.shape[0], groups, outputs)
        return np.einsum("...gi,igo->...go", parts, weights).reshape(*x.shape[:-1], self.filters)

    def _each(self, sizes: Sizes) -> tuple[int, ...]:
        return (sizes,) * len(self.spatial) if isinstance(sizes, int) else sizes


@dataclass(frozen=True)
class Capsules:
    """A convolution of matrices: out[h, w, i, j] = sum of in[h', w', i, k] * weight[k, j], for each channel.

    Channels and k are one axis for us, j and filters another, and i is a third spatial axis with a kernel of 1: so
    nothing is moved. For the peers, i is part of the batch.
    """

    spatial: tuple[int, int]
    channels: int
    filters: int
    kernel: int
    stride: int
    padding: int
    side: int = 4
    operator: str = "CAP"

    @property
    def name(self) -> str:
        """Its sizes."""
        sizes = f"{by_x(self.spatial)}x{self.channels}-{self.filters}"
        return f"{sizes} k{self.kernel} s{self.stride} p{self.padding}"

    def flops(self, batch: int) -> int:
        """Count those of the folded convolution."""
        return self._folded.flops(batch * self.side)

    @property
    def _folded(self) -> Convolution:
        side = self.side
        sizes = (side * self.channels, side * self.filters, self.kernel, self.stride, self.padding)
        return Convolution("CAP", self.spatial, *sizes)

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw [batch, h, w, i, k, channels] and [kernel, kernel, k, j, channels, filters]."""
        generator, side = np.random.default_rng(seed), self.side
        (h, w), (oh, ow), kernel = self.spatial, self._folded.output_spatial, self.kernel
        x = normal(generator, (batch, h, w, side, side, self.channels))
        weights = normal(
            generator,
            (kernel, kernel, side, side, self.channels, self.filters),
            (kernel * kernel * side * self.channels) ** -0.5,
        )
        # [j, filters, k, channels, kernel, kernel]: outputs, then inputs, as ONNX has them.
        folded = np.ascontiguousarray(weights.transpose(3, 5, 2, 4, 0, 1))
        folded = folded.reshape(side * self.filters, side * self.channels, kernel, kernel)
        pads, strides = [self.padding] * 2, [self.stride] * 2
        shape = (batch, oh, ow, side, side, self.filters)
        ours = [
            helper.make_node("Reshape", ["x", "flat"], ["x1"]),
            helper.make_node("Transpose", ["x1"], ["x2"], perm=[0, 4, 1, 2, 3]),
            helper.make_node(
                "Conv", ["x2", "w"], ["y2"], kernel_shape=[kernel, kernel, 1], strides=[*strides, 1],
                pads=[*pads, 0] * 2,
            ),
            helper.make_node("Transpose", ["y2"], ["y1"], perm=[0, 2, 3, 4, 1]),
            helper.make_node("Reshape", ["y1", "full"], ["y"]),
        ]  # fmt: skip
        constants = {
            "w": folded[..., None],
            "flat": np.array([batch, h, w, side, side * self.channels], np.int64),
            "full": np.array(shape, np.int64),
        }
        conv = helper.make_node(
            "Conv", ["x", "w"], ["y"], kernel_shape=[kernel, kernel], strides=strides, pads=pads * 2
        )
        peer_x = np.ascontiguousarray(x.transpose(0, 3, 4, 5, 1, 2)).reshape(batch * side, side * self.channels, h, w)
        peer_shape = (batch * side, side * self.filters, oh, ow)

        def to_ours(y: Array) -> Array:
            return y.reshape(batch, side, side, self.filters, oh, ow).transpose(0, 4, 5, 1, 2, 3)

        return Case(
            model_of(ours, {"x": x}, shape, constants),
            {"x": x},
            model_of([conv], {"x": peer_x}, peer_shape, {"w": folded}),
            {"x": peer_x},
            to_ours,
            lambda: self._reference(x, weights),
        )

    def _reference(self, x: Array, weights: Array) -> Array:
        """Sum over the offsets of the kernel, in float64, as the definition says."""
        p, s, (oh, ow) = self.padding, self.stride, self._folded.output_spatial
        padded = np.pad(x.astype(np.float64), np.array(((0, 0), (p, p), (p, p), (0, 0), (0, 0), (0, 0))))
        y = np.zeros((x.shape[0], oh, ow, self.side, self.side, self.filters))
        for a, b in np.ndindex(self.kernel, self.kernel):
            window = padded[:, a : a + (oh - 1) * s + 1 : s, b : b + (ow - 1) * s + 1 : s]
            y += np.einsum("nhwikc,kjcf->nhwijf", window, weights[a, b].astype(np.float64), optimize=True)
        return y
