"""A depthwise convolution and the convolution of 1x1 behind it in one task, against onnxruntime."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ansorc.compiler.driver import compile_model, read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import FUSE_CHAINS, Options
from ansorc.compiler.sketch.candidate import from_json
from ansorc.compiler.sketch.properties import LARGEST_CODE
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task

TARGET = parse_target("native")
MACHINE = machine_of(TARGET)
SHAPES = {
    "plain": (12, 32, 16, 3, 1, False),
    "strides": (13, 48, 24, 3, 2, False),
    "a window of 5": (9, 16, 32, 5, 1, False),
    "a residual": (8, 64, 64, 3, 1, True),
    "a prime extent": (11, 40, 8, 3, 1, False),
}
"""Extent, channels, filters, window, stride, whether the input is added."""


def separable(
    extent: int, channels: int, filters: int, window: int, stride: int, residual: bool
) -> tuple[onnx.ModelProto, np.ndarray]:
    """Depthwise, clipped, pointwise; something elementwise in front writes the border."""
    generator = np.random.default_rng(0)
    weights = {
        "w1": generator.standard_normal((channels, 1, window, window), np.float32) * 0.3,
        "b1": generator.standard_normal(channels, np.float32),
        "w2": generator.standard_normal((filters, channels, 1, 1), np.float32) * np.float32(channels**-0.5),
        "b2": generator.standard_normal(filters, np.float32),
        "low": np.float32(0).reshape(()), "high": np.float32(6).reshape(()),
    }  # fmt: skip
    node = helper.make_node
    out = "s" if residual else "y1"
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=[0, 3, 1, 2]),
        node("Abs", ["x1"], ["x2"]),
        node("Conv", ["x2", "w1", "b1"], ["d"], group=channels, strides=[stride] * 2, pads=[window // 2] * 4),
        node("Clip", ["d", "low", "high"], ["r"]),
        node("Conv", ["r", "w2", "b2"], [out]),
        *([node("Add", ["s", "x1"], ["y1"])] if residual else []),
        node("Transpose", ["y1"], ["y"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes, "separable",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, extent, extent, channels))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, generator.standard_normal((1, extent, extent, channels), np.float32)


def fused_task(model: onnx.ModelProto) -> str:
    options = Options(fuse_chains="always")
    (text,) = (t for t in to_tasks(read(model, options), options).code.values() if "depthwise" in t)
    assert "conv_2d_nhwc_hwcf" in text
    return text


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fuse_chains", FUSE_CHAINS)
def test_one_task_or_two_compute_the_same(shape: str, fuse_chains: str) -> None:
    model, x = separable(*SHAPES[shape])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, {"x": x})[0])
    result = compile_model(model, Options(fuse_chains=fuse_chains, use_cache=False)).run({"x": x})["y"]
    assert abs(result - expected).max() <= 3e-6 * abs(expected).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_random_candidates_compute_their_task(shape: str) -> None:
    text = fused_task(separable(*SHAPES[shape])[0])
    plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET, unscheduled=True)))
    arguments = plain.random_arguments(np.random.default_rng(0))
    expected = plain.run(arguments)
    (space,) = (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "chain")
    generator = random.Random(0)
    drawn = {c for _ in range(6) if (c := space.sample(generator)) is not None}
    assert len(drawn) > 3
    for candidate in drawn:
        assert from_json(candidate.to_json()) == candidate
        made = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET, candidate=candidate)))
        assert abs(made.run(arguments) - expected).max() <= 1e-5 * abs(expected).max(), candidate.to_json()


def test_what_is_between_is_not_written() -> None:
    text = fused_task(separable(*SHAPES["plain"])[0])
    (space,) = (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "chain")
    choice = space.choose()
    assert choice is not None
    code = compile_task(TaskJob(text, "linalg", "object", TARGET, candidate=choice.candidate))
    assert code.facts.scratch == ()
    assert len(code.facts.sections) == 1


def test_where_others_read_what_is_between_there_are_two_tasks() -> None:
    model, _ = separable(*SHAPES["plain"])
    model.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, None))
    options = Options(fuse_chains="always")
    tasks = to_tasks(read(model, options), options).code.values()
    assert not any("depthwise" in t and "conv_2d_nhwc_hwcf" in t for t in tasks)


def test_a_wide_window_makes_no_long_code() -> None:
    text = fused_task(separable(24, 16, 16, 21, 1, False)[0])
    (space,) = (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "chain")
    choice = space.choose()
    assert choice is not None
    code = compile_task(TaskJob(text, "linalg", "object", TARGET, candidate=choice.candidate))
    assert code.report is not None
    assert code.report.text_bytes < LARGEST_CODE
    assert "factor = 21" not in code.transform
