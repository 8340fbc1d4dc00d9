"""Convolutions and pools against onnxruntime over random windows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx_cases import RUNS, Case, Draw, check, model_of, normal

from ansorc.frontends.onnx.ops_convolution import CONVOLUTION
from ansorc.frontends.onnx.ops_pooling import POOLING
from ansorc.frontends.onnx.reader import load_model


def test_every_operator_is_here() -> None:
    assert set(CONVOLUTION) == {"Conv", "ConvTranspose"}
    assert set(POOLING) == {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}


def numbers(draw: Draw, rank: int, low: int, high: int) -> list[int]:
    return [draw(st.integers(low, high)) for _ in range(rank)]


def sizes(draw: Draw, rank: int) -> list[int]:
    return numbers(draw, rank, 5, 8 if rank < 3 else 6)


@pytest.mark.parametrize("rank", [1, 2, 3])
@RUNS
@given(data=st.data())
def test_conv(rank: int, data: st.DataObject) -> None:
    draw = data.draw
    group, each, out = draw(st.sampled_from([1, 2, 3])), *numbers(draw, 2, 1, 3)
    kernel, dilations = numbers(draw, rank, 1, 3), numbers(draw, rank, 1, 2)
    attributes: dict[str, Any] = {
        "group": group,
        "dilations": dilations,
        "strides": numbers(draw, rank, 1, 3),
    }
    attributes |= padding(draw, rank, 2, all(d == 1 for d in dilations))
    x = normal(draw, [draw(st.integers(1, 2)), group * each, *sizes(draw, rank)])
    operands = [x, normal(draw, [group * out, each, *kernel])]
    if draw(st.booleans()):
        operands.append(normal(draw, [group * out]))
    check(Case("Conv", operands, frozenset(draw(st.sampled_from([(), (1, 2)]))), attributes))


@pytest.mark.parametrize("rank", [1, 2])
@RUNS
@given(data=st.data())
def test_windows_wider_than_the_image(rank: int, data: st.DataObject) -> None:
    draw = data.draw
    channels = draw(st.sampled_from([1, 2]))
    kernel, size = numbers(draw, rank, 1, 4), numbers(draw, rank, 2, 6)
    attributes: dict[str, Any] = {
        "dilations": numbers(draw, rank, 1, 9),
        "strides": numbers(draw, rank, 1, 3),
        "pads": numbers(draw, 2 * rank, 0, 12),
    }
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, attributes["dilations"], strict=True)]
    rooms = [n + a + b for n, a, b in zip(size, attributes["pads"], attributes["pads"][rank:], strict=False)]
    assume(all(room >= span for room, span in zip(rooms, spans, strict=True)))
    x = normal(draw, [1, channels, *size])
    w = normal(draw, [3, channels, *kernel])
    check(Case("Conv", [x, w], frozenset({1}), attributes))


def test_taps_that_only_read_padding_are_left_out() -> None:
    x, w = np.ones((1, 4, 16, 16), "float32"), np.ones((8, 4, 3, 3), "float32")
    attributes = {"dilations": [36, 12], "pads": [36, 12, 36, 12]}
    model = load_model(model_of(Case("Conv", [x, w], frozenset({1}), attributes)))
    assert [weight.shape for weight in model.weights.values()] == [(1, 3, 4, 8)]
    assert "low[0, 0, 12, 0] high[0, 0, 12, 0]" in model.text


def padding(draw: Draw, rank: int, most: int, same: bool) -> dict[str, Any]:
    modes = ["NOTSET", "VALID", *(["SAME_UPPER", "SAME_LOWER"] if same else [])]
    mode = draw(st.sampled_from(modes))
    if mode == "NOTSET":
        return {"pads": numbers(draw, 2 * rank, 0, most)}
    return {"auto_pad": mode}


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_depthwise(rank: int, multiplier: int) -> None:
    rng = np.random.default_rng(rank)
    x = rng.standard_normal((2, 4, *[6] * rank)).astype("float32")
    w = rng.standard_normal((4 * multiplier, 1, *[3] * rank)).astype("float32")
    check(Case("Conv", [x, w], frozenset({1}), {"group": 4, "pads": [1] * 2 * rank}))


@pytest.mark.parametrize("rank", [1, 2, 3])
@RUNS
@given(data=st.data())
def test_conv_transpose(rank: int, data: st.DataObject) -> None:
    draw = data.draw
    group, each, out = draw(st.sampled_from([1, 2])), *numbers(draw, 2, 1, 3)
    kernel, strides = numbers(draw, rank, 1, 4), numbers(draw, rank, 1, 3)
    attributes: dict[str, Any] = {
        "group": group,
        "strides": strides,
        "dilations": numbers(draw, rank, 1, 2),
        "pads": numbers(draw, 2 * rank, 0, 1),
        "output_padding": [draw(st.integers(0, s - 1)) for s in strides],
    }
    x = normal(draw, [draw(st.integers(1, 2)), group * each, *numbers(draw, rank, 3, 4)])
    operands = [x, normal(draw, [group * each, out, *kernel])]
    if draw(st.booleans()):
        operands.append(normal(draw, [group * out]))
    check(Case("ConvTranspose", operands, frozenset({1}), attributes))


@pytest.mark.parametrize(
    ("strides", "window", "attributes"),
    [
        ((32, 32), (64, 64), {"pads": [16] * 4}),  # of FCN
        ((5, 4), (7, 4), {"pads": [1, 0, 2, 3]}),
        ((5, 4), (3, 9), {"output_padding": [0, 1]}),
        ((17,), (40,), {"pads": [3, 0]}),
        ((3, 2, 3), (4, 4, 3), {"auto_pad": "SAME_LOWER"}),
    ],
)
def test_many_phases_are_loops_of_one_convolution(
    strides: tuple[int, ...], window: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    rng, rank = np.random.default_rng(3), len(strides)
    x = rng.standard_normal((2, 5, *(4, 3, 5)[:rank]), np.float32)
    w, b = rng.standard_normal((5, 3, *window), np.float32), rng.standard_normal(3, np.float32)
    case = Case("ConvTranspose", [x, w, b], frozenset({1, 2}), {"strides": strides, **attributes})
    check(case)
    assert "linalg.conv_" not in load_model(model_of(case)).text


def test_many_phases_of_an_output_beyond_all_windows() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((1, 5, 4, 3), np.float32), rng.standard_normal((5, 3, 5, 5), np.float32)
    check(Case("ConvTranspose", [x, w], frozenset({1}), {"strides": [5, 5], "output_padding": [2, 4]}))


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
def test_conv_transpose_of_a_given_size(mode: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 2, 4, 5)).astype("float32")
    w = rng.standard_normal((2, 3, 3, 3)).astype("float32")
    attributes: dict[str, Any] = {"strides": [2, 2], "auto_pad": mode}
    if mode == "NOTSET":
        attributes["output_shape"] = [8, 10]
    check(Case("ConvTranspose", [x, w], frozenset({1}), attributes))


@pytest.mark.parametrize(("channels", "convolutions"), [(3, 1), (16, 4)])
def test_the_phases_of_few_channels_are_one_convolution(channels: int, convolutions: int) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((1, 8, 6, 7), np.float32), rng.standard_normal((8, channels, 4, 4), np.float32)
    attributes: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    case = Case("ConvTranspose", [x, w], frozenset({1}), attributes)
    check(case)
    assert load_model(model_of(case)).text.count("linalg.conv_2d_nhwc_hwcf") == convolutions


@pytest.mark.parametrize("windows", [(2,), (2, 3), (1, 2), (2, 1, 3)])
@pytest.mark.parametrize("end", [0, 1])
def test_windows_beside_each_other_are_one_product(windows: tuple[int, ...], end: int) -> None:
    rng, rank = np.random.default_rng(3), len(windows)
    x = rng.standard_normal((2, 5, *(4, 3, 5)[:rank]), np.float32)
    w, b = rng.standard_normal((5, 8, *windows), np.float32), rng.standard_normal(8, np.float32)
    attributes: dict[str, Any] = {"strides": windows, "pads": [0] * rank + [end] * rank}
    case = Case("ConvTranspose", [x, w, b], frozenset({1, 2}), attributes)
    check(case)
    assert "linalg.conv_" not in load_model(model_of(case)).text


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@RUNS
@given(data=st.data())
def test_pool(op: str, rank: int, data: st.DataObject) -> None:
    draw = data.draw
    kernel = numbers(draw, rank, 2, 3)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": numbers(draw, rank, 1, 3)}
    attributes |= padding(draw, rank, 1, True)
    if "auto_pad" not in attributes:
        attributes |= {"ceil_mode": draw(st.integers(0, 1)), "dilations": numbers(draw, rank, 1, 2)}
    if op == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    if attributes.get("auto_pad", "").startswith("SAME"):
        # onnxruntime refuses padding as large as the kernel, which larger strides give.
        attributes["strides"] = [1] * rank
    x = normal(draw, [draw(st.integers(1, 2)), draw(st.integers(1, 3)), *sizes(draw, rank)])
    check(Case(op, [x], attributes=attributes))


@pytest.mark.parametrize(
    ("kernel", "stride", "passes"), [([5, 5], 1, 2), ([7, 9], 2, 2), ([7, 7], 7, 1), ([3, 3], 1, 1)]
)
@pytest.mark.parametrize(
    ("op", "more"), [("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1})]
)
def test_large_windows_that_overlap_are_pooled_by_axes(
    op: str, more: dict[str, Any], kernel: list[int], stride: int, passes: int
) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 14, 15), np.float32)
    pads = [k // 2 if passes == 2 else 0 for k in kernel] * 2
    case = Case(op, [x], attributes={"kernel_shape": kernel, "strides": [stride] * 2, "pads": pads} | more)
    check(case)
    assert load_model(model_of(case)).text.count("linalg.pooling_nhwc") == passes


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
@RUNS
@given(data=st.data())
def test_global_pool(op: str, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    check(Case(op, [normal(data.draw, [2, 3, *sizes(data.draw, rank)])]))


def test_max_pool_of_bytes() -> None:
    x = np.random.default_rng(0).integers(0, 255, (1, 2, 6, 6)).astype("uint8")
    check(Case("MaxPool", [x], attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}))
