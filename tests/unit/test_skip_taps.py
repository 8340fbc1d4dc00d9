"""Taps in a border of zeros, which need not be computed: no result depends on it, and nobody reads that border."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ansorc
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable, types_of_task
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.dialect_passes.schedule.skip_taps import Skip

OPTIONS = Options(records="none")
MACHINE = machine_of(parse_target("native"))
CASES: dict[str, dict[str, Any]] = {
    "one dim": {"spatial": (9,), "pads": (2, 1), "taps": (3,)},
    "two dims": {"spatial": (6, 6), "pads": (1, 1, 1, 1)},
    "strides": {"spatial": (9, 7), "pads": (1, 1, 1, 1), "strides": (2, 2)},
    "sides that differ": {"spatial": (7, 6), "pads": (0, 2, 1, 0)},
    "dilated": {"spatial": (6, 5), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
    "strided and dilated": {"spatial": (8, 8), "pads": (4, 3, 4, 3), "strides": (3, 2), "dilations": (2, 3)},
    "windows in nothing but border": {"spatial": (4, 5), "pads": (5, 4, 4, 5)},
    "three dims": {"spatial": (2, 7, 7), "pads": (1, 1, 1, 1, 1, 1), "taps": (3, 3, 3)},
}


def network(
    spatial: tuple[int, ...], pads: tuple[int, ...], taps: tuple[int, ...] = (3, 3), **attributes: Any
) -> onnx.ModelProto:
    """Two convolutions: the first pads the graph's input by itself and writes the border of the second."""
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal((32, c, *taps), np.float32) / 10 for c in (16, 32)]
    same = {"pads": [t // 2 for t in taps] * 2, "kernel_shape": taps}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="first", **same),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], name="second", pads=pads, kernel_shape=taps, **attributes),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "skip",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, *spatial))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(weights)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def second(model: onnx.ModelProto) -> str:
    """The second convolution."""
    (text,) = (t for t in to_tasks(read(model, OPTIONS), OPTIONS).code.values() if "x32xf32> {ansorc.border" in t)
    return text


def skipping(space: TaskSpace[Any], count: int) -> list[Candidate]:
    pick, found = random.Random(0), list[Candidate]()
    for _ in range(400):
        candidate = space.sample(pick)
        if candidate is not None and candidate.values.get("skip") == 1:
            found.append(candidate)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("case", CASES)
def test_results(case: str) -> None:
    model = network(**CASES[case])
    dims = model.graph.input[0].type.tensor_type.shape.dim
    x = np.random.default_rng(1).standard_normal([d.dim_value for d in dims], np.float32)
    expected = np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0])
    found = ansorc.compile(model, records="none").run({"x": x})["y"]
    assert abs(found - expected).max() <= 1e-4 * abs(expected).max()


@pytest.mark.parametrize("case", CASES)
def test_what_is_skipped_is_not_read(case: str) -> None:
    text = second(network(**CASES[case]))
    generator, tested = np.random.default_rng(0), set[str]()
    for space in spaces_of_task(text, MACHINE):
        for candidate in skipping(space, 3):
            tested.add(candidate.sketch.kind)
            with_all = dict(candidate.values) | {"skip": 0}
            plain = Candidate(candidate.sketch, tuple(with_all.items()))
            tasks = [
                runnable(text, compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, candidate=c)))
                for c in (plain, candidate)
            ]
            arguments = tasks[0].random_arguments(generator)
            expected, found = (t.run(arguments, 2).copy() for t in tasks)
            assert (found == expected).all(), candidate.to_json()
            # Borders along one dim that is skipped hold no numbers now.
            skips = [s for s in space.nest.skips if candidate.values.get(f"tile_{s.loop}", 1) == 1]
            border = types_of_task(text)[0].border
            poisoned = arguments[0].copy()
            dim = skips[0].loop
            low, high = border[dim]
            at: list[slice] = [slice(None)] * poisoned.ndim
            for part in (slice(0, low), slice(poisoned.shape[dim] - high, None)):
                at[dim] = part
                poisoned[tuple(at)] = np.nan
            assert (tasks[1].run([poisoned, *arguments[1:]], 2) == expected).all(), candidate.to_json()
    assert "register-tile" in tested
    assert ("winograd" in tested) == (case == "three dims")


def test_only_zeros_are_skipped() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("MaxPool", ["a"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 6, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for text in to_tasks(read(model, OPTIONS), OPTIONS).code.values():
        assert "ansorc.border" not in text
        assert all("skip" not in [d.name for d in s.decisions] for s in spaces_of_task(text, MACHINE))


@pytest.mark.parametrize(("stride", "dilation", "low"), [*product((1, 2, 3), (1, 2), (0, 1, 4))])
def test_the_share_of_taps_that_are_left(stride: int, dilation: int, low: int) -> None:
    outputs, taps, inside = 5, 3, 6
    line = [0] * low + [1] * inside + [0] * 40
    read = [line[stride * o + dilation * t] for o in range(outputs) for t in range(taps)]
    assert Skip(0, 1, outputs, taps, stride, dilation, low, inside).share == pytest.approx(np.mean(read))
