"""Layers that read at computed places, or reduce rows: tables, reflected borders, classes of pixels, means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto, helper

from ansorc.tools.workloads import Array, Case, alike, by_x, normal


@dataclass(frozen=True)
class Lookup:
    """Rows of a tensor at known places, in no order."""

    outer: int
    rows: int
    columns: int
    count: int
    """Rows that are read, for each of the outer dim."""
    operator: str = "Gather"

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{by_x((self.outer, self.rows, self.columns))} {self.count} rows"

    def flops(self, batch: int) -> int:
        """Count none."""
        return 0

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the tensor and the places."""
        generator = np.random.default_rng(seed)
        x = normal(generator, (batch, self.outer, self.rows, self.columns))
        places = generator.integers(0, self.rows, self.count)
        node = helper.make_node("Gather", ["x", "places"], ["y"], axis=2)
        shape = (batch, self.outer, self.count, self.columns)
        case = alike([node], {"x": x}, shape, {"places": places}, lambda: x.astype(np.float64)[:, :, places])
        return replace(case, unread=x.nbytes // self.rows * (self.rows - len(set(places.tolist()))))


@dataclass(frozen=True)
class Reflected:
    """Images with a border that mirrors them, channels first."""

    channels: int
    extent: int
    border: int
    operator: str = "Pad"

    @property
    def name(self) -> str:
        """Its sizes."""
        return f"{by_x((self.channels, self.extent, self.extent))} +{self.border}"

    def flops(self, batch: int) -> int:
        """Count none."""
        return 0

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the images."""
        x, p = normal(np.random.default_rng(seed), (batch, self.channels, self.extent, self.extent)), self.border
        node = helper.make_node("Pad", ["x", "amounts"], ["y"], mode="reflect")
        shape = (batch, self.channels, self.extent + 2 * p, self.extent + 2 * p)
        around = np.array(((0, 0), (0, 0), (p, p), (p, p)))
        return alike(
            [node], {"x": x}, shape, {"amounts": np.concatenate([around[:, 0], around[:, 1]])},
            lambda: np.pad(x.astype(np.float64), around, mode="reflect"),
        )  # fmt: skip


@dataclass(frozen=True)
class Classes:
    """The class of every pixel: where its scores are greatest, channels first."""

    classes: int
    extent: int
    operator: str = "ArgMax"

    @property
    def name(self) -> str:
        """Its sizes."""
        return by_x((self.classes, self.extent, self.extent))

    def flops(self, batch: int) -> int:
        """Count a comparison for each score."""
        return batch * self.classes * self.extent**2

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the scores."""
        x = normal(np.random.default_rng(seed), (batch, self.classes, self.extent, self.extent))
        nodes = [
            helper.make_node("ArgMax", ["x"], ["at"], axis=1, keepdims=0),
            helper.make_node("Cast", ["at"], ["y"], to=TensorProto.FLOAT),
        ]
        return alike(nodes, {"x": x}, (batch, self.extent, self.extent), {}, lambda: x.argmax(1).astype(np.float64))


@dataclass(frozen=True)
class Reduction:
    """Means or maxima over the last dims."""

    operator: str
    """ReduceMean or ReduceMax."""
    sizes: tuple[int, ...]
    reduced: int
    """How many dims."""

    @property
    def name(self) -> str:
        """Its sizes."""
        kept, gone = self.sizes[: -self.reduced], self.sizes[-self.reduced :]
        return f"{by_x(kept)} of {by_x(gone)}"

    def flops(self, batch: int) -> int:
        """Count one for each element."""
        return batch * math.prod(self.sizes)

    def case(self, batch: int, seed: int = 0) -> Case:
        """Draw the rows."""
        x = normal(np.random.default_rng(seed), (batch, *self.sizes))
        axes = tuple(range(x.ndim - self.reduced, x.ndim))
        node = helper.make_node(self.operator, ["x", "axes"], ["y"], keepdims=0)

        def reduced() -> Array:
            wide = x.astype(np.float64)
            return wide.mean(axis=axes) if self.operator == "ReduceMean" else wide.max(axis=axes)

        return alike([node], {"x": x}, x.shape[: -self.reduced], {"axes": np.array(axes)}, reduced)
