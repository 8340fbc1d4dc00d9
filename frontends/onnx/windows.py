"""Geometry of sliding windows: strides, dilations and padding of each spatial dim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from ansorc.frontends.onnx.node import Node, RefusedError


@dataclass(frozen=True)
class Window:
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: tuple[int, ...]
    """Padding before the first element of each spatial dim."""
    high: tuple[int, ...]
    """Padding behind the last one, without what ceil_mode adds."""
    out: tuple[int, ...]

    def reach(self, size: Sequence[int]) -> tuple[int, ...]:
        """Padding behind the last element that the last window needs; negative: unread input."""
        return tuple(
            (o - 1) * s + (k - 1) * d + 1 - n - low
            for o, s, k, d, n, low in zip(
                self.out, self.strides, self.kernel, self.dilations, size, self.low, strict=True
            )
        )

    def taps_inside(self, size: Sequence[int]) -> tuple[slice, ...]:
        """Return the taps along each axis, without the first and last ones that read nothing but padding.

        Dilated windows on small images have such: of 3 taps that lie 36 elements apart, one reads an image of 16. One
        without which the input would have to be cropped stays.
        """
        found: list[slice] = []
        for k, s, d, n, low, out in zip(
            self.kernel, self.strides, self.dilations, size, self.low, self.out, strict=True
        ):
            inside = [t for t in range(k) if any(0 <= o * s + t * d - low < n for o in range(out))] or list(range(k))
            first = max((t for t in range(inside[0] + 1) if t * d <= low), default=0)
            last = next((t for t in range(inside[-1], k) if (out - 1) * s + t * d - low + s >= n), k - 1)
            found.append(slice(first, last + 1))
        return tuple(found)

    def with_taps(self, taps: Sequence[slice]) -> Window:
        """Return windows of some of the taps, that lie where they did."""
        return replace(
            self,
            kernel=tuple(t.stop - t.start for t in taps),
            low=tuple(n - t.start * d for n, t, d in zip(self.low, taps, self.dilations, strict=True)),
        )

    def by_axis(self, size: Sequence[int]) -> list[Window]:
        """Return windows along one axis each, one after the other, that together are this one; the last axis first."""
        found, sizes = list[Window](), list(size)

        def only(axis: int, numbers: Sequence[int], otherwise: int) -> tuple[int, ...]:
            return tuple(n if k == axis else otherwise for k, n in enumerate(numbers))

        for axis in reversed(range(len(sizes))):
            sizes[axis] = self.out[axis]
            found.append(
                Window(
                    only(axis, self.kernel, 1), only(axis, self.strides, 1), only(axis, self.dilations, 1),
                    only(axis, self.low, 0), only(axis, self.high, 0), tuple(sizes),
                )
            )  # fmt: skip
        return found


def window_of(node: Node, kernel: Sequence[int], size: Sequence[int]) -> Window:
    """From the node's attributes; `size` is the spatial shape of the input."""
    rank = len(kernel)
    strides = tuple(node.attribute("strides", [1] * rank))
    dilations = tuple(node.attribute("dilations", [1] * rank))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    auto = node.attribute("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        low, high = same_padding(size, spans, strides, lower=auto == "SAME_LOWER")
    elif auto in ("NOTSET", "VALID", ""):
        pads = node.attribute("pads", [0] * 2 * rank) if auto != "VALID" else [0] * 2 * rank
        low, high = tuple(pads[:rank]), tuple(pads[rank:])
    else:
        raise RefusedError(f"auto_pad '{auto}' is not known")
    ceiling = bool(node.attribute("ceil_mode", 0))
    out: list[int] = []
    for n, a, b, span, s in zip(size, low, high, spans, strides, strict=True):
        room = n + a + b - span
        count = (ceil(room / s) if ceiling else room // s) + 1
        # A window must not start in the padding behind the input.
        if ceiling and (count - 1) * s >= n + a:
            count -= 1
        if count < 1:
            raise RefusedError(f"a window of {span} does not fit an input of {n + a + b}")
        out.append(count)
    return Window(tuple(kernel), strides, dilations, low, high, tuple(out))


def same_padding(
    size: Sequence[int], spans: Sequence[int], strides: Sequence[int], lower: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    totals = [max(0, (ceil(n / s) - 1) * s + span - n) for n, span, s in zip(size, spans, strides, strict=True)]
    less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (more, less) if lower else (less, more)
