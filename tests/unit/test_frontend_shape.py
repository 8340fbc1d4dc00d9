"""Operators that move data against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx_cases import RUNS, Case, axis, check, narrowed, normal, shapes, whole

from ansorc.frontends.onnx.ops_gather import GATHER
from ansorc.frontends.onnx.ops_shape import SHAPE


def test_every_operator_is_here() -> None:
    assert set(GATHER) == {"Gather", "GatherElements", "GatherND"}
    assert set(SHAPE) == set(
        [
            "Reshape",
            "Transpose",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Concat",
            "Slice",
            "Split",
            "Expand",
            "Tile",
            "Pad",
            "Shape",
            "Size",
            "DepthToSpace",
            "SpaceToDepth",
            "ConstantOfShape",
        ]
    )


def constant(op: str, x: np.ndarray, *numbers: Any, outputs: int = 1, **attributes: Any) -> Case:
    """Integer operands behind x are initializers."""
    rest = [None if n is None else np.asarray(n, np.int64) for n in numbers]
    return Case(op, [x, *rest], frozenset(range(1, len(rest) + 1)), attributes, outputs)


@RUNS
@given(data=st.data())
def test_reshape(data: st.DataObject) -> None:
    x = normal(data.draw, data.draw(shapes(1, 4, 6)))
    places = data.draw(st.permutations(range(x.ndim)))
    target = [x.shape[p] for p in places]
    cut = data.draw(st.integers(1, x.ndim))
    target = [int(np.prod(target[:cut])), *target[cut:]]
    if data.draw(st.booleans()):
        target[data.draw(st.integers(0, len(target) - 1))] = -1
    check(constant("Reshape", x, target))


def test_reshape_with_kept_sizes() -> None:
    check(constant("Reshape", np.zeros((2, 3, 4), "float32"), [0, -1, 2]))


@RUNS
@given(data=st.data())
def test_transpose(data: st.DataObject) -> None:
    x = normal(data.draw, data.draw(shapes()))
    perm = data.draw(st.permutations(range(x.ndim)))
    check(constant("Transpose", x, **({"perm": perm} if data.draw(st.booleans()) else {})))


@RUNS
@given(data=st.data())
def test_flatten(data: st.DataObject) -> None:
    x = normal(data.draw, data.draw(shapes()))
    check(constant("Flatten", x, axis=data.draw(st.integers(-x.ndim, x.ndim))))


@RUNS
@given(data=st.data())
def test_squeeze_and_unsqueeze(data: st.DataObject) -> None:
    x = normal(data.draw, (1, *data.draw(shapes(1, 3)), 1))
    check(constant("Squeeze", x, *data.draw(st.sampled_from([[], [[0, -1]], [[0]]]))))
    check(constant("Unsqueeze", x, data.draw(st.sampled_from([[0], [1, 3], [-1, 0]]))))


@RUNS
@given(data=st.data())
def test_concat(data: st.DataObject) -> None:
    shape = data.draw(shapes())
    along = axis(data.draw, len(shape))
    parts: list[np.ndarray] = []
    for size in data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)):
        part = list(shape)
        part[along] = size
        parts.append(normal(data.draw, part))
    check(Case("Concat", parts, attributes={"axis": along}))


@RUNS
@given(data=st.data())
def test_slice(data: st.DataObject) -> None:
    x = normal(data.draw, data.draw(shapes(1, 3, 7)))
    axes = data.draw(st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1))
    bounds = st.lists(st.integers(-9, 9), min_size=len(axes), max_size=len(axes))
    steps = [data.draw(st.sampled_from([1, 2, -1, -2])) for _ in axes]
    starts, ends = data.draw(bounds), data.draw(bounds)
    for place, (along, step) in enumerate(zip(axes, steps, strict=True)):
        if not len(range(x.shape[along])[starts[place] : ends[place] : step]):
            starts[place], ends[place] = (0, 99) if step > 0 else (-1, -(2**63))
    check(constant("Slice", x, starts, ends, axes, steps))


@RUNS
@given(data=st.data())
def test_split(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    x = normal(data.draw, [2, sum(parts), 3])
    check(constant("Split", x, parts, outputs=len(parts), axis=1))


@pytest.mark.parametrize("size", [6, 7])
def test_split_in_equal_parts(size: int) -> None:
    check(constant("Split", np.ones((size, 2), "float32"), outputs=3, num_outputs=3))


@RUNS
@given(data=st.data())
def test_expand(data: st.DataObject) -> None:
    shape = data.draw(shapes())
    check(constant("Expand", normal(data.draw, narrowed(data.draw, shape)), shape))


@RUNS
@given(data=st.data())
def test_tile(data: st.DataObject) -> None:
    x = normal(data.draw, data.draw(shapes(1, 3)))
    check(constant("Tile", x, [data.draw(st.integers(1, 3)) for _ in x.shape]))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@RUNS
@given(data=st.data())
def test_pad(mode: str, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    x = normal(data.draw, [data.draw(st.integers(3, 5)) for _ in range(rank)])
    low = -1 if mode in ("constant", "edge") else 0
    pads = [data.draw(st.integers(low, 2)) for _ in range(2 * x.ndim)]
    operands: list[np.ndarray | None] = [x, np.int64(pads)]
    if mode == "constant" and data.draw(st.booleans()):
        operands.append(np.float32(1.5))
    check(Case("Pad", operands, frozenset({1, 2}), {"mode": mode}))


def test_pad_of_some_axes() -> None:
    x = np.ones((2, 3, 4), "float32")
    check(Case("Pad", [x, np.int64([1, 2, 0, 1]), None, np.int64([0, -1])], frozenset({1, 3})))


@pytest.mark.parametrize("bounds", [{}, {"start": 1}, {"start": -2, "end": -1}])
def test_shape(bounds: dict[str, int]) -> None:
    check(constant("Shape", np.zeros((2, 3, 4), "float32"), **bounds))


def test_size() -> None:
    check(constant("Size", np.zeros((2, 3, 4), "float32")))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    x = np.arange(2 * 8 * 2 * 3, dtype="float32").reshape(2, 8, 2, 3)
    check(constant("DepthToSpace", x, blocksize=2, mode=mode))


def test_space_to_depth() -> None:
    x = np.arange(2 * 3 * 4 * 6, dtype="float32").reshape(2, 3, 4, 6)
    check(constant("SpaceToDepth", x, blocksize=2))


def test_constant_of_shape() -> None:
    value = numpy_helper.from_array(np.int64([7]))
    check(Case("ConstantOfShape", [np.int64([2, 3])], frozenset({0}), {"value": value}))


@RUNS
@given(data=st.data())
def test_gather(data: st.DataObject) -> None:
    draw = data.draw
    x = normal(draw, draw(shapes()))
    along = axis(draw, x.ndim)
    indices = whole(
        draw, draw(shapes(0, 2, 4)), draw(st.sampled_from(["int64", "int32"])), -x.shape[along], x.shape[along]
    )
    constants = frozenset(draw(st.sampled_from([(), (1,), (0,)])))
    check(Case("Gather", [x, indices], constants, {"axis": along}))


@pytest.mark.parametrize("indices", [[0, 2, 4], [1, 2, 3], [3], [4, 2]])
def test_gather_of_a_run(indices: list[int]) -> None:
    x = np.arange(20, dtype="float32").reshape(4, 5)
    check(Case("Gather", [x, np.int64(indices)], frozenset({1}), {"axis": 1}))


@RUNS
@given(data=st.data())
def test_gather_elements(data: st.DataObject) -> None:
    draw = data.draw
    x = normal(draw, draw(shapes()))
    along = axis(draw, x.ndim)
    shape = list(x.shape)
    shape[along] = draw(st.integers(1, 4))
    indices = whole(draw, shape, "int64", -x.shape[along], x.shape[along])
    check(Case("GatherElements", [x, indices], attributes={"axis": along}))


@RUNS
@given(data=st.data())
def test_gather_nd(data: st.DataObject) -> None:
    draw = data.draw
    x = normal(draw, [2, 3, *draw(shapes(0, 2, 3))])
    batch = draw(st.integers(0, 1))
    depth = draw(st.integers(1, x.ndim - batch))
    outer = [*x.shape[:batch], *draw(shapes(0, 2, 3))]
    columns = [whole(draw, [*outer, 1], "int64", 0, n) for n in x.shape[batch : batch + depth]]
    check(Case("GatherND", [x, np.concatenate(columns, axis=-1)], attributes={"batch_dims": batch}))
