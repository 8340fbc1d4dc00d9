"""Operators that move data: views where possible, slices, concatenation, copies."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.broadcasting import broadcast
from ansorc.frontends.onnx.element_types import numpy_dtype
from ansorc.frontends.onnx.emitter import Value
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError, normal_axis
from ansorc.frontends.onnx.reading import read_at


def reshape(node: Node) -> Operand:
    x = node.operand(0)
    wanted = node.integers(1, "shape", "the shape") or []
    if not node.attribute("allowzero", 0):
        wanted = [x.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
    if -1 in wanted:
        rest = prod(d for d in wanted if d != -1)
        wanted = [prod(x.shape) // max(rest, 1) if d == -1 else d for d in wanted]
    if prod(wanted) != prod(x.shape):
        raise RefusedError(f"a tensor of shape {list(x.shape)} cannot become {wanted}")
    return node.reshaped(x, wanted)


def transpose(node: Node) -> Operand:
    x = node.operand(0)
    return node.permuted(x, node.attribute("perm", list(range(len(x.shape)))[::-1]))


def flatten(node: Node) -> Operand:
    x = node.operand(0)
    rank = len(x.shape)
    axis = node.attribute("axis", 1)
    axis = axis + rank if axis < 0 else axis
    return node.reshaped(x, [prod(x.shape[:axis]), prod(x.shape[axis:])])


def squeeze(node: Node) -> Operand:
    x = node.operand(0)
    axes = node.integers(1, "axes", "axes")
    if axes is None:
        axes = [i for i, d in enumerate(x.shape) if d == 1]
    axes = [normal_axis(a, len(x.shape)) for a in axes]
    if any(x.shape[a] != 1 for a in axes):
        raise RefusedError(f"axes {axes} of shape {list(x.shape)} are not all 1")
    return node.reshaped(x, [d for i, d in enumerate(x.shape) if i not in axes])


def unsqueeze(node: Node) -> Operand:
    x = node.operand(0)
    axes = node.integers(1, "axes", "axes") or []
    rank = len(x.shape) + len(axes)
    places = {normal_axis(a, rank) for a in axes}
    rest = iter(x.shape)
    return node.reshaped(x, [1 if i in places else next(rest) for i in range(rank)])


def concat(node: Node) -> Value:
    values = [node.value(i) for i in range(len(node.inputs))]
    axis = normal_axis(node.attribute("axis", 1), values[0].rank)
    values = [v for v in values if v.shape[axis] > 0] or values[:1]
    return node.emitter.concat(values, axis)


def slice_(node: Node) -> Value:
    x = node.value(0)
    starts = node.integers(1, "starts", "starts") or []
    ends = node.integers(2, "ends", "ends") or []
    axes = node.integers(3, "axes", "axes")
    steps = node.integers(4, "steps", "steps") or [1] * len(starts)
    begin, sizes, stride = [0] * x.rank, list(x.shape), [1] * x.rank
    for place, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        axis = normal_axis(axes[place], x.rank) if axes else place
        chosen = range(x.shape[axis])[slice(start, end if end > -(2**31) else None, step)]
        begin[axis], sizes[axis], stride[axis] = chosen.start, len(chosen), step
    return strided(node, x, begin, sizes, stride)


def strided(node: Node, x: Value, begin: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> Value:
    if prod(sizes) == 0:
        return node.emitter.empty(sizes, x.dtype)
    if all(s > 0 for s in steps):
        return node.emitter.slice(x, begin, sizes, steps)

    def body(b: Block) -> Scalar:
        return read_at(
            b,
            x,
            [
                b.apply(
                    "arith.addi",
                    b.constant(begin[d], "index"),
                    b.apply("arith.muli", b.index(d), b.constant(steps[d], "index")),
                )
                for d in range(x.rank)
            ],
        )

    return node.emitter.generic(sizes, [], x.dtype, body)


def split(node: Node) -> list[Operand]:
    x = node.value(0)
    axis = normal_axis(node.attribute("axis", 0), x.rank)
    parts = node.integers(1, "split", "split")
    if parts is None:
        count = node.attribute("num_outputs", len(node.output_names))
        each = -(-x.shape[axis] // count)
        parts = [min(each, x.shape[axis] - i * each) for i in range(count)]
    results: list[Operand] = []
    start = 0
    for size in parts:
        begin, sizes = [0] * x.rank, list(x.shape)
        begin[axis], sizes[axis] = start, size
        results.append(strided(node, x, begin, sizes, [1] * x.rank))
        start += size
    return results


def expand(node: Node) -> Operand:
    x = node.value(0)
    shape = node.integers(1, "shape", "the shape") or []
    return broadcast(node, x, np.broadcast_shapes(x.shape, tuple(shape)))


def tile(node: Node) -> Value:
    x = node.value(0)
    repeats = node.integers(1, "repeats", "repeats") or []
    extents = [n for pair in zip(repeats, x.shape, strict=True) for n in pair]
    dims = [2 * i + 1 for i in range(x.rank)]
    y = node.emitter.generic(extents, [(x, dims)], x.dtype, lambda _, v: v)
    return node.emitter.reshape(y, [r * n for r, n in zip(repeats, x.shape, strict=True)])


def pad(node: Node) -> Value:
    x = node.value(0)
    mode = node.attribute("mode", "constant")
    amounts = node.integers(1, "pads", "pads") or []
    axes = [normal_axis(a, x.rank) for a in node.integers(3, "", "axes") or range(x.rank)]
    low, high = [0] * x.rank, [0] * x.rank
    for place, axis in enumerate(axes):
        low[axis], high[axis] = amounts[place], amounts[place + len(axes)]
    if mode == "constant":
        number: object = node.attribute("value", 0)
        if node.has(2):
            number = node.known(2, "the padding value").reshape(-1)[0]
        return node.emitter.pad(x, low, high, number)
    if mode not in ("edge", "reflect", "wrap"):
        raise RefusedError(f"the mode '{mode}'")
    tables: dict[int, np.ndarray] = {}
    for axis, (before, after) in enumerate(zip(low, high, strict=True)):
        if before or after:
            places = np.arange(x.shape[axis])[max(0, -before) : x.shape[axis] - max(0, -after)]
            tables[axis] = np.pad(places, (max(0, before), max(0, after)), mode=mode)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return at_places(node, x, tables)


def at_places(node: Node, x: Value, tables: Mapping[int, np.ndarray]) -> Value:
    """Elements of x at known places of some axes."""
    axes = list(tables)
    read = [(node.emitter.weight(tables[a].astype(np.int64), f"{node.name}_places"), [a]) for a in axes]
    shape = [len(tables[d]) if d in tables else size for d, size in enumerate(x.shape)]

    def body(b: Block, *places: Scalar) -> Scalar:
        at = [b.index_of(places[axes.index(d)]) if d in tables else b.index(d) for d in range(x.rank)]
        return read_at(b, x, at)

    return node.emitter.generic(shape, read, x.dtype, body) if tables else x


def shape_of(node: Node) -> np.ndarray:
    shape = node.operand(0).shape
    start, end = node.attribute("start", 0), node.attribute("end", None)
    return np.asarray(shape[start:end], np.int64)


def size_of(node: Node) -> np.ndarray:
    return np.asarray(prod(node.operand(0).shape), np.int64)


def depth_to_space(node: Node) -> Value:
    x, b = node.value(0), node.attribute("blocksize", 1)
    n, c, h, w = x.shape
    if node.attribute("mode", "DCR") == "DCR":
        parts, perm = [n, b, b, c // (b * b), h, w], [0, 3, 4, 1, 5, 2]
    else:
        parts, perm = [n, c // (b * b), b, b, h, w], [0, 1, 4, 2, 5, 3]
    y = node.emitter.transpose(node.emitter.reshape(x, parts), perm)
    return node.emitter.reshape(y, [n, c // (b * b), h * b, w * b])


def space_to_depth(node: Node) -> Value:
    x, b = node.value(0), node.attribute("blocksize", 1)
    n, c, h, w = x.shape
    parts = node.emitter.reshape(x, [n, c, h // b, b, w // b, b])
    y = node.emitter.transpose(parts, [0, 3, 5, 1, 2, 4])
    return node.emitter.reshape(y, [n, c * b * b, h // b, w // b])


def constant_of_shape(node: Node) -> Operand:
    value = node.attribute("value", np.zeros(1, numpy_dtype("float32")))
    shape = node.known(0, "the shape").reshape(-1)
    return np.full([int(d) for d in shape], value.reshape(-1)[0], value.dtype)


SHAPE: dict[str, Operator] = {
    "Reshape": reshape,
    "Transpose": transpose,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Slice": slice_,
    "Split": split,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "Shape": shape_of,
    "Size": size_of,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "ConstantOfShape": constant_of_shape,
}
