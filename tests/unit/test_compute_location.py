"""Where an epilogue is computed, and where windows become columns; against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import graph_model
from random_candidates import MACHINE, OPTIONS, changed, compared

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.task_spaces import spaces_of_task

ROUNDING = 1e-5
"""Of sums of some hundred f32 in another order, to the largest."""


def convolution(channels: int, filters: int, size: tuple[int, ...], taps: int, **attributes: Any) -> onnx.ModelProto:
    """Convolution, bias and ReLU."""
    generator, group = np.random.default_rng(channels + filters), attributes.get("group", 1)
    x = generator.standard_normal((1, channels, *size), dtype=np.float32)
    w = generator.standard_normal((filters, channels // group, *[taps] * len(size)), dtype=np.float32)
    b = generator.standard_normal(filters, dtype=np.float32)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], **attributes), helper.make_node("Relu", ["c"], ["y"])]
    return graph_model(nodes, {"x": x}, ["y"], {"w": w, "b": b})


MODELS = {
    "5 channels": convolution(5, 32, (13, 13), 3, pads=[1] * 4),
    "stride 2": convolution(16, 48, (15, 15), 3, pads=[1] * 4, strides=[2, 2]),
    "dilation 2": convolution(8, 16, (13, 14), 3, dilations=[2, 2]),
    "groups": convolution(32, 64, (9, 9), 3, pads=[1] * 4, group=2),
    "one dim": convolution(16, 32, (40,), 5, pads=[2, 2]),
    "three dims": convolution(16, 16, (4, 6, 6), 3, pads=[1] * 6),
}
ROWS = {"tile_1": 1, "chunk_1": 1}
"""Chunks of one row."""
DEPTHWISE = convolution(48, 48, (11, 11), 3, pads=[1] * 4, group=48)
POINTWISE = convolution(24, 16, (9, 9), 1)


def spaces(model: onnx.ModelProto) -> list[TaskSpace[Any]]:
    """Return the spaces of register tiles that sum something."""
    found = (s for text in to_tasks(read(model, OPTIONS), OPTIONS).code.values() for s in spaces_of_task(text, MACHINE))
    return [s for s in found if s.kind.name == "register-tile" and s.nest.reductions]


@pytest.mark.parametrize("where", [1, 2])
@pytest.mark.parametrize("name", [*MODELS, "depthwise", "pointwise"])
def test_an_epilogue_is_computed_in_the_chunk_or_after_all(name: str, where: int) -> None:
    model = {**MODELS, "depthwise": DEPTHWISE, "pointwise": POINTWISE}[name]
    assert compared(model, "register-tile", 5, ROUNDING, {"finish": where})


@pytest.mark.parametrize("where", [1, 2])
@pytest.mark.parametrize("name", list(MODELS))
def test_windows_are_copied_in_each_chunk_or_before_all(name: str, where: int) -> None:
    """A border that each chunk makes is copied, too."""
    assert compared(MODELS[name], "register-tile", 5, ROUNDING, {"columns": where})


def test_what_is_computed_apart_is_a_parallel_step_more() -> None:
    (space,) = spaces(MODELS["stride 2"])
    choice = space.choose()
    assert choice is not None
    steps = {
        wanted: space.kind.emit(made).count("tile_using_forall")
        for wanted in (("finish", 0), ("finish", 1), ("finish", 2), ("columns", 1), ("columns", 2))
        if (made := changed(space, choice.candidate, {**ROWS, "columns": 0, **dict([wanted])})) is not None
    }
    usual = steps["finish", 0]
    assert steps == {
        ("finish", 0): usual, ("finish", 1): usual, ("finish", 2): usual + 1, ("columns", 1): usual,
        ("columns", 2): usual + 1,
    }  # fmt: skip


@pytest.mark.parametrize("model", [POINTWISE, DEPTHWISE])
def test_only_products_of_windows_have_columns(model: onnx.ModelProto) -> None:
    (space,) = spaces(model)
    assert "columns" not in {d.name for d in space.decisions}
    (space,) = spaces(MODELS["5 channels"])
    assert "columns" in {d.name for d in space.decisions}
