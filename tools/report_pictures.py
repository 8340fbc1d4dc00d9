"""Pictures of a report, as SVG: curves of the best, a roofline, and predicted against measured times."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

WIDTH, HEIGHT, MARGIN = 640, 280, 50
BLUE, RED, GREY = "#4a7ba6", "#b33", "#777"


@dataclass(frozen=True)
class Axis:
    """A range of numbers over a length of the picture."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = True

    def at(self, value: float) -> float:
        """Return where a number lies."""
        f: Callable[[float], float] = log10 if self.logarithmic else float
        return self.start + (self.end - self.start) * (f(value) - f(self.low)) / (f(self.high) - f(self.low))

    @property
    def marks(self) -> list[float]:
        """A few numbers to write beside it."""
        if not self.logarithmic:
            return [self.low, (self.low + self.high) / 2, self.high]
        return [self.low, (self.low * self.high) ** 0.5, self.high]


def across(values: Sequence[float], *, logarithmic: bool = True) -> Axis:
    """Return the axis from left to right that shows all values."""
    return Axis(*_range(values, logarithmic), MARGIN, WIDTH - MARGIN / 2, logarithmic)


def upward(values: Sequence[float]) -> Axis:
    """Return the logarithmic axis from the bottom up that shows all values."""
    return Axis(*_range(values, logarithmic=True), HEIGHT - MARGIN, MARGIN / 2)


def _range(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if logarithmic:
        return low / 1.1, high * 1.1
    return min(0.0, low), high if high > 0 else 1.0


def curve(places: Sequence[float], seconds: Sequence[float | None], label: str) -> str:
    """Return a dot for each trial that was measured, and the line of the best so far."""
    points = [(x, 1e3 * s) for x, s in zip(places, seconds, strict=True) if s is not None]
    x, y = across([*places], logarithmic=False), upward([s for _, s in points])
    dots = "".join(_dot(x.at(a), y.at(b)) for a, b in points)
    best = points[0][1]
    line = [f"M{x.at(points[0][0]):.1f},{y.at(best):.1f}"]
    for a, b in points[1:]:
        if b < best:
            best = b
            line.append(f"H{x.at(a):.1f}V{y.at(b):.1f}")
    line.append(f"H{x.end:.1f}")
    path = f'<path d="{"".join(line)}" fill="none" stroke="{RED}" stroke-width="2" />'
    return _picture(f"milliseconds by {label}", x, y, label, "ms, log scale; line: best so far", dots + path)


@dataclass(frozen=True)
class Spot:
    """A dot with a name."""

    x: float
    y: float
    name: str


def roofline(spots: Sequence[Spot], peak: float | None, bandwidths: Sequence[tuple[str, float]]) -> str:
    """Return tasks by operations a byte and GFLOP/s, under what arithmetic (GFLOP/s) and memories (GB/s) allow."""
    xs = [s.x for s in spots]
    if peak is not None and bandwidths:
        xs += [peak / max(b for _, b in bandwidths), 2 * peak / min(b for _, b in bandwidths)]
    x = across(xs)
    y = upward([*(s.y for s in spots), *([] if peak is None else [1.3 * peak])])
    lines: list[str] = []
    for name, bandwidth in bandwidths if peak is not None else ():
        assert peak is not None
        left = max(x.low, y.low / bandwidth)
        corner = min(x.high, peak / bandwidth)
        if left < corner:
            lines.append(_line(x.at(left), y.at(left * bandwidth), x.at(corner), y.at(corner * bandwidth)))
            lines.append(_text(x.at(left) + 4, y.at(left * bandwidth) - 4, f"{name} {bandwidth:.0f} GB/s"))
    if peak is not None:
        lines.append(_line(x.start, y.at(peak), x.end, y.at(peak)))
        lines.append(_text(x.end, y.at(peak) - 4, f"FMA {peak:.0f} GFLOP/s", "end"))
    dots = "".join(_dot(x.at(s.x), y.at(s.y), s.name, 4) for s in spots)
    return _picture("roofline", x, y, "operations a byte of the arrays", "GFLOP/s", "".join(lines) + dots)


def predictions(measured: Sequence[float], predicted: Sequence[float]) -> str:
    """Return measured against predicted milliseconds; on the line they are equal."""
    both = [*measured, *predicted]
    x, y = across(both), upward(both)
    low, high = max(x.low, y.low), min(x.high, y.high)
    dots = "".join(_dot(x.at(p), y.at(m)) for m, p in zip(measured, predicted, strict=True))
    line = _line(x.at(low), y.at(low), x.at(high), y.at(high))
    return _picture("measured against predicted", x, y, "predicted ms", "measured ms", dots + line)


def _picture(title: str, x: Axis, y: Axis, below: str, beside: str, inside: str) -> str:
    numbers = [_text(MARGIN - 4, y.at(v) + 4, _number(v), "end") for v in y.marks]
    anchors = ("start", "middle", "end")
    numbers += [_text(x.at(v), HEIGHT - MARGIN + 16, _number(v), a) for v, a in zip(x.marks, anchors, strict=True)]
    frame = f'<path d="M{x.start},{y.end}V{y.start}H{x.end}" fill="none" stroke="{GREY}" />'
    words = _text((x.start + x.end) / 2, HEIGHT - 14, below, "middle") + _text(MARGIN, 16, beside)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f"{frame}{''.join(numbers)}{words}{inside}</svg>"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1e4 else f"{value:.0f}"


def _dot(x: float, y: float, name: str = "", radius: float = 2.2) -> str:
    title = f"<title>{html.escape(name)}</title>" if name else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{BLUE}" fill-opacity=".6">{title}</circle>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{RED}" stroke-width="1.5" />'


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12">{html.escape(words)}</text>'
