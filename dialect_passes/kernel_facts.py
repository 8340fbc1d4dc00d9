"""What is known of a kernel besides its code, without which it cannot run.

Processes that only run kernels import this, and no passes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from ansorc.dialect_passes.schedule import strassen_matrices, winograd_matrices


@dataclass(frozen=True)
class Packing:
    """How a constant argument is laid out: transform (of a bilinear algorithm), reshape, then transpose."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    winograd: int = 0
    """m of F(m, r); 0 is no transform."""
    strassen: bool = False

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the packed array."""
        made = winograd_matrices.transform_weight(array, self.winograd) if self.winograd else array
        made = strassen_matrices.transform_weight(made) if self.strassen else made
        return made.reshape(self.shape).transpose(self.order)


@dataclass(frozen=True)
class Section:
    """One function `void name(T *args..., int64 lo, int64 hi)` and its number of chunks."""

    name: str
    chunks: int
    columns: int = 1
    """How many chunks read the same input: with R rows of them, numbers r, R + r, 2 R + r, ..."""


@dataclass(frozen=True)
class KernelFacts:
    """What is known of a kernel besides its code."""

    kind: str = ""
    packings: dict[int, Packing] = field(default_factory=dict[int, Packing])
    sections: tuple[Section, ...] = ()
    scratch: tuple[int, ...] = ()
    products: bool = False
    """Whether all that it sums are products with panels, many at a time."""

    def to_json(self) -> str:
        """Return text for the module's attribute."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> KernelFacts:
        """Read the module's attribute."""
        raw = json.loads(text)
        packings = {
            int(k): Packing(tuple(p["shape"]), tuple(p["order"]), p.get("winograd", 0), p.get("strassen", False))
            for k, p in raw["packings"].items()
        }
        made = tuple(Section(s["name"], s["chunks"], s.get("columns", 1)) for s in raw["sections"])
        return KernelFacts(raw["kind"], packings, made, tuple(raw["scratch"]), raw.get("products", False))
