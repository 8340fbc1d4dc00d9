"""Resize and Upsample: one axis after the other, each element a sum of a few others; repetitions at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.element_types import is_float
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.layouts import channels_first, channels_last
from ansorc.frontends.onnx.node import Node, Operator, RefusedError, normal_axis
from ansorc.frontends.onnx.reading import read_at

Array = np.ndarray


@dataclass(frozen=True)
class Taps:
    """What each place of a resized axis is a sum of: [places][taps], in the order of the axis."""

    reads: Array
    weights: Array


def half_pixel(places: Array, scale: float, size: int, count: int) -> Array:
    return (places + 0.5) / scale - 0.5


def pytorch_half_pixel(places: Array, scale: float, size: int, count: int) -> Array:
    return half_pixel(places, scale, size, count) if count > 1 else np.zeros_like(places)


def align_corners(places: Array, scale: float, size: int, count: int) -> Array:
    return places * (size - 1) / (count - 1) if count > 1 else np.zeros_like(places)


def asymmetric(places: Array, scale: float, size: int, count: int) -> Array:
    return places / scale


def half_pixel_symmetric(places: Array, scale: float, size: int, count: int) -> Array:
    offset = size / 2 * (1 - count / (scale * size))
    return offset + half_pixel(places, scale, size, count)


def half_pixel_for_nearest(places: Array, scale: float, size: int, count: int) -> Array:
    return (places + 0.5) / scale


CHANNELS_OF_IMAGES = 4
"""So few fill no vector."""
COORDINATES: dict[str, Callable[[Array, float, int, int], Array]] = {
    "half_pixel": half_pixel,
    "pytorch_half_pixel": pytorch_half_pixel,
    "align_corners": align_corners,
    "asymmetric": asymmetric,
    "half_pixel_symmetric": half_pixel_symmetric,
    "tf_half_pixel_for_nn": half_pixel_for_nearest,
}
"""Where a place of the result lies in the input, whose axis has `size` elements; the result's has `count`."""
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(node: Node) -> Value:
    """Since opset 11; before, coordinates are asymmetric and rounded down."""
    old = node.opset < 11
    for name, usual in (("antialias", "0"), ("keep_aspect_ratio_policy", "stretch")):
        if _text(node.attribute(name, usual)) != usual:
            raise RefusedError(f"{name} = {_text(node.attribute(name, usual))}; {usual} is supported")
    coordinates = _text(node.attribute("coordinate_transformation_mode", "asymmetric" if old else "half_pixel"))
    nearest = _text(node.attribute("nearest_mode", "floor" if old else "round_prefer_floor"))
    return _resized(node, *_sizes(node, 1 if old else 2), coordinates, nearest)


def upsample(node: Node) -> Value:
    """Deprecated since opset 10."""
    if "scales" in node.attributes:
        scales = np.asarray(node.attributes["scales"], np.float32)
    else:
        scales = node.known(1, "scales")
    sizes = [int(np.floor(d * s)) for d, s in zip(node.value(0).shape, scales, strict=True)]
    return _resized(node, sizes, [float(s) for s in scales], "asymmetric", "floor")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _sizes(node: Node, at: int) -> tuple[list[int], list[float]]:
    """Return the extents of the result, and the scale of each axis; `at` is the number of the input `scales`."""
    x = node.value(0)
    axes = [normal_axis(int(a), x.rank) for a in node.attribute("axes", range(x.rank))]
    sizes, scales = list(x.shape), [1.0] * x.rank
    if node.has(at) and node.known(at, "scales").size:
        for axis, scale in zip(axes, node.known(at, "scales"), strict=True):
            sizes[axis], scales[axis] = int(np.floor(x.shape[axis] * scale)), float(scale)
    else:
        for axis, size in zip(axes, node.known(at + 1, "sizes"), strict=True):
            sizes[axis], scales[axis] = int(size), int(size) / x.shape[axis]
    return sizes, scales


def _resized(node: Node, sizes: Sequence[int], scales: Sequence[float], coordinates: str, nearest: str) -> Value:
    mode = _text(node.attribute("mode", "nearest"))
    if coordinates not in COORDINATES:
        raise RefusedError(f"coordinate_transformation_mode = {coordinates!r}; known: {', '.join(COORDINATES)}")
    if mode not in ("nearest", "linear", "bilinear", "trilinear", "cubic"):
        raise RefusedError(f"mode = {mode!r}; nearest, linear and cubic are supported")
    x = node.value(0)
    # What lies between convolutions is best where those have their channels: last. Images stay as they are.
    turned = x.rank > 2 and list(sizes[:2]) == list(x.shape[:2]) and x.shape[1] > CHANNELS_OF_IMAGES
    order = channels_last(x.rank) if turned else list(range(x.rank))
    value = node.emitter.transpose(x, order)
    times = [1] * x.rank
    for axis, source in enumerate(order):
        size, count, scale = x.shape[source], sizes[source], scales[source]
        if count == size and scale == 1:
            continue
        at = COORDINATES[coordinates](np.arange(count, dtype=np.float64), scale, size, count)
        if mode == "nearest":
            reads = np.clip(ROUNDINGS[nearest](at), 0, size - 1).astype(np.int64)
            if np.array_equal(reads, np.repeat(np.arange(size), count // size)):
                times[axis] = count // size
            else:
                value = _chosen(node, value, axis, reads)
        else:
            taps = _cubic(node, at, size) if mode == "cubic" else _linear(at, size)
            value = _summed(node, value, axis, taps)
    value = _repeated(node, value, times)
    return node.emitter.transpose(value, channels_first(x.rank)) if turned else value


def _linear(at: Array, size: int) -> Taps:
    low = np.floor(at)
    share = at - low
    reads = np.stack([low, low + 1], axis=1)
    return Taps(np.clip(reads, 0, size - 1).astype(np.int64), np.stack([1 - share, share], axis=1))


def _cubic(node: Node, at: Array, size: int) -> Taps:
    """Keys' kernel: of the four neighbours, those beyond the border are the border, or left out."""
    a = float(node.attribute("cubic_coeff_a", -0.75))
    low = np.floor(at)
    share = at - low
    near = [share, 1 - share]
    inner = [((a + 2) * d - (a + 3)) * d**2 + 1 for d in near]
    outer = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + share, 2 - share)]
    weights = np.stack([outer[0], inner[0], inner[1], outer[1]], axis=1)
    reads = low[:, None] + np.arange(-1, 3)
    if node.attribute("exclude_outside", 0):
        weights = np.where((reads < 0) | (reads >= size), 0.0, weights)
        weights /= weights.sum(axis=1, keepdims=True)
    return Taps(np.clip(reads, 0, size - 1).astype(np.int64), weights)


def _repeated(node: Node, x: Value, times: Sequence[int]) -> Value:
    """Each element of an axis so many times, of all axes at once."""
    if set(times) == {1}:
        return x
    wide, read = list[int](), list[int]()
    for size, count in zip(x.shape, times, strict=True):
        read.append(len(wide))
        wide += [size] if count == 1 else [size, count]
    repeated = node.emitter.generic(wide, [(x, read)], x.dtype, lambda b, v: v)
    return node.emitter.reshape(repeated, [size * count for size, count in zip(x.shape, times, strict=True)])


def _chosen(node: Node, x: Value, axis: int, reads: Array) -> Value:
    """Elements of an axis in any order, several times or not at all."""
    shape = [*x.shape[:axis], reads.size, *x.shape[axis + 1 :]]
    places = node.tensor(reads, f"{node.name}_places")

    def body(b: Block, place: Scalar) -> Scalar:
        return read_at(b, x, _at(b, x, axis, place))

    return node.emitter.generic(shape, [(places, [axis])], x.dtype, body)


def _summed(node: Node, x: Value, axis: int, taps: Taps) -> Value:
    if not is_float(x.dtype):
        raise RefusedError(f"an interpolation of {x.dtype}; floats are supported")
    shape = [*x.shape[:axis], taps.reads.shape[0], *x.shape[axis + 1 :]]
    count = taps.reads.shape[1]
    columns = [node.tensor(np.ascontiguousarray(taps.reads[:, k]), f"{node.name}_places") for k in range(count)]
    factors = [
        node.tensor(np.ascontiguousarray(taps.weights[:, k]).astype(x.dtype), f"{node.name}_shares")
        for k in range(count)
    ]

    def body(b: Block, *read: Scalar) -> Scalar:
        total: Scalar | None = None
        for place, factor in zip(read[:count], read[count:], strict=True):
            product = b.mul(read_at(b, x, _at(b, x, axis, place)), factor, contract=True)
            total = product if total is None else b.add(total, product, contract=True)
        assert total is not None
        return total

    return node.emitter.generic(shape, [(v, [axis]) for v in (*columns, *factors)], x.dtype, body)


def _at(b: Block, x: Value, axis: int, place: Scalar) -> list[Scalar]:
    return [b.index_of(place) if d == axis else b.index(d) for d in range(x.rank)]


RESIZE: dict[str, Operator] = {"Resize": resize, "Upsample": upsample}
