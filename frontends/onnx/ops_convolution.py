"""Conv and ConvTranspose as channels-last convolutions with a transpose on either side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, prod

import numpy as np

from ansorc.frontends.onnx.emitter import Emitter, Value
from ansorc.frontends.onnx.layouts import (
    around,
    channels_first,
    channels_last,
    vector_attribute,
)
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError
from ansorc.frontends.onnx.windows import window_of

NAMED = {1: "conv_1d_nwc_wcf", 2: "conv_2d_nhwc_hwcf", 3: "conv_3d_ndhwc_dhwcf"}
VECTOR, HALF_VECTOR = 16, 8
"""Channels that are multiplied at once, for the choice between ways to write a convolution."""
MOST_PHASES = 16
"""Convolutions that one transposed convolution becomes."""
DEPTHWISE = {1: "depthwise_conv_1d_nwc_wc", 2: "depthwise_conv_2d_nhwc_hwc"}


def conv(node: Node) -> Value:
    x, weight = node.value(0), node.operand(1)
    kernel = tuple(node.attribute("kernel_shape", weight.shape[2:]))
    if x.rank not in (3, 4, 5):
        raise RefusedError(f"an input of rank {x.rank}; 1-D, 2-D and 3-D are supported")
    group = node.attribute("group", 1)
    if weight.shape[1] * group != x.shape[1]:
        raise RefusedError(
            f"{x.shape[1]} channels with group {group} and a weight of {weight.shape[1]} channels a group"
        )
    window = window_of(node, kernel, x.shape[2:])
    if isinstance(weight, np.ndarray):
        inside = window.taps_inside(x.shape[2:])
        window, weight = window.with_taps(inside), weight[:, :, *inside]
    last = node.emitter.transpose(x, channels_last(x.rank))
    # What no window reads stays where it is: a crop would be a copy.
    high = [max(0, p) for p in window.reach(x.shape[2:])]
    last = node.emitter.pad(last, around(window.low), around(high), 0)
    y = convolve(node, last, weight, window.strides, window.dilations, group)
    y = node.emitter.transpose(y, channels_first(x.rank))
    return add_channels(node, y, 2)


def add_channels(node: Node, y: Value, index: int) -> Value:
    """Add the bias, one number a channel of an N,C,... tensor."""
    if not node.has(index):
        return y
    bias = node.value(index)
    dims = list(range(y.rank))
    return node.emitter.generic(y.shape, [(y, dims), (bias, [1])], y.dtype, lambda b, v, c: b.add(v, c))


def convolve(
    node: Node, x: Value, weight: Operand, strides: Sequence[int], dilations: Sequence[int], group: int
) -> Value:
    """x: N,spatial,C already padded; weight: O,I/group,taps; the result is N,out,O."""
    emitter, rank = node.emitter, x.rank - 2
    outputs, inputs = int(weight.shape[0]), int(weight.shape[1])
    taps = [int(k) for k in weight.shape[2:]]
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(x.shape[1:-1], taps, dilations, strides, strict=True)]
    attributes = f" {{dilations = {vector_attribute(dilations)}, strides = {vector_attribute(strides)}}}"
    hint = node.input_names[1]
    if group == 1:
        permuted = node.permuted(weight, [*range(2, rank + 2), 1, 0])
        init = emitter.fill([x.shape[0], *out, outputs], x.dtype, 0)
        return emitter.named(NAMED[rank], [x, node.tensor(permuted, hint)], init, attributes)
    if inputs == 1 and outputs == group and rank in DEPTHWISE:
        flat = node.reshaped(weight, [outputs, *taps])
        permuted = node.permuted(flat, [*range(1, rank + 1), 0])
        init = emitter.fill([x.shape[0], *out, outputs], x.dtype, 0)
        return emitter.named(DEPTHWISE[rank], [x, node.tensor(permuted, hint)], init, attributes)
    split = node.reshaped(weight, [group, outputs // group, inputs, *taps])
    permuted = node.permuted(split, [*range(3, rank + 3), 0, 2, 1])
    return grouped(emitter, x, node.tensor(permuted, hint), out, strides, dilations)


def grouped(
    emitter: Emitter, x: Value, weight: Value, out: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Value:
    """weight: taps,G,I,O. A generic over n, out, g, o, taps, i."""
    rank, batch = len(out), x.shape[0]
    group, inputs, outputs = weight.shape[-3:]
    x = emitter.reshape(x, [*x.shape[:-1], group, inputs])
    g, o = rank + 1, rank + 2
    taps = [rank + 3 + i for i in range(rank)]
    i = 2 * rank + 3
    rows = [f"{scaled(1 + k, strides[k])} + {scaled(taps[k], dilations[k])}" for k in range(rank)]
    y = emitter.generic(
        [batch, *out, group, outputs, *weight.shape[:rank], inputs],
        [(x, [0, *rows, g, i]), (weight, [*taps, g, i, o])],
        x.dtype,
        lambda b, v, w, acc: b.add(acc, b.mul(v, w, contract=True), contract=True),
        out_dims=[0, *range(1, rank + 1), g, o],
        start=0,
    )
    return emitter.reshape(y, [batch, *out, group * outputs])


def scaled(dim: int, factor: int) -> str:
    return f"d{dim}" if factor == 1 else f"d{dim} * {factor}"


def conv_transpose(node: Node) -> Value:
    """One small stride-1 convolution for each phase of the output, and no stuffed zeros.

    Output o = q*s + r reads x[q + (r + pad - k*d)/s] for the taps k with k*d = r + pad mod s. Where a phase has so few
    channels that all of them fill fewer vectors together, they are the channels of one convolution (sub-pixel). Where
    windows lie beside each other, it is one product, whose result lies where it should. Many phases, as those of an
    upsampling by 32, are loops of one convolution.
    """
    x = node.value(0)
    weight = node.known(1, "the weight")
    group, rank = node.attribute("group", 1), x.rank - 2
    if rank not in (1, 2, 3):
        raise RefusedError(f"an input of rank {x.rank}; 1-D, 2-D and 3-D are supported")
    strides = list(node.attribute("strides", [1] * rank))
    dilations = list(node.attribute("dilations", [1] * rank))
    size, taps = x.shape[2:], weight.shape[2:]
    low, out = transposed_extent(node, size, taps, strides, dilations)
    # C,O/g,taps becomes O,C/g,taps as a plain convolution has it.
    channels, each = weight.shape[:2]
    weight = weight.reshape(group, channels // group, each, *taps).swapaxes(1, 2)
    weight = weight.reshape(group * each, channels // group, *taps)
    last = node.emitter.transpose(x, channels_last(x.rank))
    counts = [-(-o // s) for o, s in zip(out, strides, strict=True)]
    emitter, batch = node.emitter, x.shape[0]
    whole: Value | None = None
    inner = [n for c, s in zip(counts, strides, strict=True) for n in (c, s)]
    covered = all(o <= n * s for o, n, s in zip(out, size, strides, strict=True))
    beside = list(taps) == strides and set(dilations) == {1} and not any(low) and covered
    if group == 1 and beside and each % HALF_VECTOR == 0:
        y = emitter.slice(side_by_side(node, last, weight), [0] * x.rank, [batch, *out, each])
        return add_channels(node, emitter.transpose(y, channels_first(x.rank)), 2)
    reached = [(n - 1 - (-k // s)) * s for n, k, s in zip(size, taps, strides, strict=True)]
    inside = all(a >= 0 and a + o <= n for a, o, n in zip(low, out, reached, strict=True))
    if group == 1 and set(dilations) == {1} and prod(strides) > MOST_PHASES and inside:
        y = phases_as_loops(node, last, weight, strides)
        y = emitter.slice(y, [0, *low, 0], [batch, *out, each])
        return add_channels(node, emitter.transpose(y, channels_first(x.rank)), 2)
    phases = [
        phase_of(weight.shape[2:], phase, counts, size, strides, dilations, low)
        for phase in product(*(range(s) for s in strides))
    ]
    # One padded input serves all phases: each reads a part of it.
    before = [max(0, *(p.before[axis] for p in phases)) for axis in range(rank)]
    after = [max(0, *(p.after[axis] for p in phases)) for axis in range(rank)]
    last = emitter.pad(last, around(before), around(after), 0)
    full = [c * s for c, s in zip(counts, strides, strict=True)]
    if group == 1 and fewer_vectors_together(phases, before, each):
        y = all_phases(node, last, weight, phases, before, counts)
        y = emitter.reshape(y, [batch, *counts, *strides, each])
        y = emitter.transpose(y, [0, *(1 + a + b * rank for a in range(rank) for b in (0, 1)), 1 + 2 * rank])
        y = emitter.slice(emitter.reshape(y, [batch, *full, each]), [0] * x.rank, [batch, *out, each])
        return add_channels(node, emitter.transpose(y, channels_first(x.rank)), 2)
    for part in phases:
        phase = part.number
        y = one_phase(node, last, weight, group, part, before, counts)
        if all(s == 1 for s in strides):
            whole = y
            break
        whole = whole or emitter.empty([batch, *inner, y.shape[-1]], y.dtype)
        thin = [n for c in counts for n in (c, 1)]
        begin = [0, *(n for r in phase for n in (0, r)), 0]
        whole = emitter.insert(emitter.reshape(y, [batch, *thin, y.shape[-1]]), whole, begin)
    assert whole is not None
    y = emitter.reshape(whole, [batch, *full, group * each])
    y = emitter.slice(y, [0] * y.rank, [batch, *out, group * each])
    return add_channels(node, emitter.transpose(y, channels_first(x.rank)), 2)


def side_by_side(node: Node, x: Value, weight: np.ndarray) -> Value:
    """A transposed convolution whose windows lie beside each other, x: N,spatial,C: each point becomes a block.

    y[n, h, a, w, b, o] = sum_c x[n, h, w, c] u[c, a, b, o], which is where the result has it.
    """
    outputs, inputs, *taps = weight.shape
    rank, size = len(taps), x.shape[1:-1]
    points, within = [1 + 2 * k for k in range(rank)], [2 + 2 * k for k in range(rank)]
    o, c = 2 * rank + 1, 2 * rank + 2
    u = node.tensor(np.ascontiguousarray(weight.transpose(1, *range(2, rank + 2), 0)), f"{node.name}_weight")
    y = node.emitter.generic(
        [x.shape[0], *(n for pair in zip(size, taps, strict=True) for n in pair), outputs, inputs],
        [(x, [0, *points, c]), (u, [c, *within, o])],
        x.dtype,
        lambda b, v, w, acc: b.add(acc, b.mul(v, w, contract=True), contract=True),
        out_dims=range(2 * rank + 2),
        start=0,
    )
    return node.emitter.reshape(y, [x.shape[0], *(n * t for n, t in zip(size, taps, strict=True)), outputs])


def phases_as_loops(node: Node, x: Value, weight: np.ndarray, strides: Sequence[int]) -> Value:
    """A transposed convolution as one whose channels are the phases of the last axis, x: N,spatial,C.

    y[n, q, r, c] = sum over (j, i) of x[n, q + j - (taps - 1), i] u[j, i, r, c], where taps = ceil(window / stride) and
    u[j] are the numbers (taps - 1 - j) * stride and the next ones of the window. The result has all that windows reach,
    and at its end what is between there and a whole stride.
    """
    outputs, inputs, *window = weight.shape
    rank, batch = len(window), x.shape[0]
    taps = [-(-k // s) for k, s in zip(window, strides, strict=True)]
    filled = [(0, t * s - k) for t, s, k in zip(taps, strides, window, strict=True)]
    wide = np.pad(weight, [(0, 0), (0, 0), *filled])
    wide = wide.reshape(outputs, inputs, *(n for pair in zip(taps, strides, strict=True) for n in pair))
    wide = np.flip(wide, tuple(2 + 2 * a for a in range(rank)))
    order = [*(2 + 2 * a for a in range(rank)), 1, *(3 + 2 * a for a in range(rank)), 0]
    wide = wide.transpose(order).reshape(*taps, inputs, *strides[:-1], strides[-1] * outputs)
    around_it = around([t - 1 for t in taps])
    x = node.emitter.pad(x, around_it, around_it, 0)
    counts = [n - t + 1 for n, t in zip(x.shape[1:-1], taps, strict=True)]
    points = [1 + 2 * a for a in range(rank)]
    within = [2 + 2 * a for a in range(rank - 1)]
    c, j, i = 2 * rank, [2 * rank + 1 + a for a in range(rank)], 3 * rank + 1
    outer = [n for pair in zip(counts, [*strides[:-1], 0], strict=True) for n in pair][:-1]
    y = node.emitter.generic(
        [batch, *outer, strides[-1] * outputs, *taps, inputs],
        [
            (x, [0, *(f"d{q} + d{tap}" for q, tap in zip(points, j, strict=True)), i]),
            (node.tensor(np.ascontiguousarray(wide), f"{node.name}_weight"), [*j, i, *within, c]),
        ],
        x.dtype,
        lambda b, v, w, acc: b.add(acc, b.mul(v, w, contract=True), contract=True),
        out_dims=range(2 * rank + 1),
        start=0,
    )
    return node.emitter.reshape(y, [batch, *(n * s for n, s in zip(counts, strides, strict=True)), outputs])


@dataclass(frozen=True)
class Phase:
    """The outputs q*s + number of each axis, q below counts."""

    number: tuple[int, ...]
    taps: tuple[tuple[int, ...], ...]
    """Taps of each axis that reach these outputs, in descending order: they read x in ascending order."""
    before: tuple[int, ...]
    """Padding that x needs before and behind; negative: unread."""
    after: tuple[int, ...]
    steps: tuple[int, ...]
    """Dilations of the plain convolution."""


def phase_of(
    taps: Sequence[int],
    number: Sequence[int],
    counts: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    low: Sequence[int],
) -> Phase:
    chosen, before, after, steps = [], [], [], []
    for axis, (r, s, d) in enumerate(zip(number, strides, dilations, strict=True)):
        found = [k for k in range(taps[axis]) if (k * d - r - low[axis]) % s == 0]
        offsets = [(r + low[axis] - k * d) // s for k in found] or [0]
        chosen.append(tuple(found[::-1]))
        before.append(-min(offsets))
        after.append(counts[axis] - 1 + max(offsets) - (size[axis] - 1))
        steps.append(d // gcd(d, s))
    return Phase(tuple(number), tuple(chosen), tuple(before), tuple(after), tuple(steps))


def joint_window(phases: Sequence[Phase], padding: Sequence[int]) -> list[int]:
    """Return how much of the padded input an output of any phase reads."""
    return [
        max(before - p.before[axis] + (len(p.taps[axis]) - 1) * p.steps[axis] + 1 for p in phases)
        for axis, before in enumerate(padding)
    ]


def fewer_vectors_together(phases: Sequence[Phase], padding: Sequence[int], channels: int) -> bool:
    """Whether one convolution of all phases multiplies fewer vectors than one for each."""
    apart = sum(prod(map(len, p.taps)) * -(-channels // VECTOR) for p in phases)
    return len(phases) > 1 and prod(joint_window(phases, padding)) * -(-len(phases) * channels // VECTOR) < apart


def all_phases(
    node: Node, x: Value, weight: np.ndarray, phases: Sequence[Phase], padding: Sequence[int], counts: Sequence[int]
) -> Value:
    """x: N,spatial,C with `padding` before each spatial dim; the result has the channels of one phase after another."""
    window = joint_window(phases, padding)
    each, channels = weight.shape[:2]
    wide = np.zeros((len(phases), each, channels, *window), weight.dtype)
    for number, phase in enumerate(phases):
        for taps in product(*(range(len(t)) for t in phase.taps)):
            at = [
                before - own + tap * step
                for before, own, tap, step in zip(padding, phase.before, taps, phase.steps, strict=True)
            ]
            chosen = [phase.taps[axis][tap] for axis, tap in enumerate(taps)]
            wide[(number, slice(None), slice(None), *at)] = weight[(slice(None), slice(None), *chosen)]
    reach = [n + w - 1 for n, w in zip(counts, window, strict=True)]
    part = node.emitter.slice(x, [0] * x.rank, [x.shape[0], *reach, x.shape[-1]])
    wide = wide.reshape(len(phases) * each, channels, *window)
    return convolve(node, part, wide, [1] * len(counts), [1] * len(counts), 1)


def one_phase(
    node: Node, x: Value, weight: np.ndarray, group: int, phase: Phase, padding: Sequence[int], counts: Sequence[int]
) -> Value:
    """x: N,spatial,C with `padding` before each spatial dim."""
    if any(not taps for taps in phase.taps):
        return node.emitter.fill([x.shape[0], *counts, weight.shape[0]], x.dtype, 0)
    for axis, taps in enumerate(phase.taps):
        weight = weight.take(taps, axis=2 + axis)
    begin = [p - b for p, b in zip(padding, phase.before, strict=True)]
    reach = [n + (len(taps) - 1) * d for n, taps, d in zip(counts, phase.taps, phase.steps, strict=True)]
    part = node.emitter.slice(x, around(begin), [x.shape[0], *reach, x.shape[-1]])
    return convolve(node, part, weight, [1] * len(counts), phase.steps, group)


def transposed_extent(
    node: Node,
    size: Sequence[int],
    taps: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Padding before each spatial dim, and the output's spatial shape."""
    rank = len(size)
    extra = list(node.attribute("output_padding", [0] * rank))
    auto = node.attribute("auto_pad", "NOTSET")
    spans = [(k - 1) * d + 1 for k, d in zip(taps, dilations, strict=True)]
    natural = [(n - 1) * s + p + e for n, s, p, e in zip(size, strides, spans, extra, strict=True)]
    wanted = node.attribute("output_shape", None)
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, strides, strict=True)]
    if wanted is None:
        pads = node.attribute("pads", [0] * 2 * rank) if auto != "VALID" else [0] * 2 * rank
        out = [n - a - b for n, a, b in zip(natural, pads[:rank], pads[rank:], strict=True)]
        return list(pads[:rank]), out
    wanted = list(wanted)[-rank:]
    totals = [max(0, n - o) for n, o in zip(natural, wanted, strict=True)]
    if auto == "SAME_UPPER":
        return [t // 2 for t in totals], wanted
    return [t - t // 2 for t in totals], wanted


CONVOLUTION: dict[str, Operator] = {"Conv": conv, "ConvTranspose": conv_transpose}
