"""Products that are summed along vectors: few channels, few rows; against plain loops and onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from random_candidates import MACHINE, OPTIONS, compared

import ansorc
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.sketch.dot import registers
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.compiler.task_spaces import spaces_of_task

GENERATOR = np.random.default_rng(0)
ROUNDING = 1e-5
"""Of sums of some hundred f32 in another order, to the largest."""


def numbers(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape, dtype=np.float32)


def model(
    nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], weights: dict[str, np.ndarray]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in inputs.items()],
        [helper.make_empty_tensor_value_info("y")], [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made), inputs


def convolution(channels: int, filters: int, window: int, size: int, **attributes: Any):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], **attributes),
        helper.make_node("LeakyRelu", ["c"], ["y"]),
    ]
    weights = {"w": numbers(filters, channels, *[window] * 2) / 10, "b": numbers(filters)}
    return model(nodes, {"x": numbers(2, channels, size, size + 4)}, weights)


def scores(batch: int, rows: int, keys: int, size: int):
    """Of attention: keys lie row by row."""
    nodes = [
        helper.make_node("Transpose", ["k"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    return model(nodes, {"x": numbers(batch, rows, size), "k": numbers(batch, keys, size)}, {})


def heads(rows: int, keys: int, size: int):
    """Of attention, with keys as a cache has them: [position, head, size]."""
    nodes = [
        helper.make_node("Transpose", ["k"], ["t"], perm=[1, 2, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    return model(nodes, {"x": numbers(3, rows, size), "k": numbers(keys, 3, size)}, {})


def product(rows: int, size: int, columns: int):
    return model([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], {"x": numbers(rows, size)},
                 {"w": numbers(size, columns), "b": numbers(columns)})  # fmt: skip


CASES = {
    "a picture": lambda: convolution(32, 3, 3, 17, pads=[1] * 4),
    "a mask": lambda: convolution(64, 1, 1, 9),
    "strides and dilations": lambda: convolution(16, 2, 3, 13, strides=[2, 1], dilations=[1, 2], pads=[0, 2, 1, 2]),
    "a window of a prime size": lambda: convolution(48, 5, 7, 11, pads=[3] * 4),
    "one row": lambda: scores(3, 1, 101, 64),
    "rows of a cache": lambda: heads(1, 37, 32),
    "few rows": lambda: scores(2, 4, 23, 24),
    "lanes that are not whole": lambda: product(41, 20, 3),
    "a column": lambda: product(129, 64, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_random_candidates_compute_what_plain_loops_do(case: str) -> None:
    assert compared(CASES[case]()[0], "dot", draws=6, tolerance=ROUNDING) >= 3


@pytest.mark.parametrize("case", CASES)
def test_the_default_against_onnxruntime(case: str) -> None:
    made, inputs = CASES[case]()
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(["y"], inputs)[0])
    actual = ansorc.compile(made).run(inputs)["y"]
    assert abs(actual - expected).max() <= ROUNDING * abs(expected).max()


@pytest.mark.parametrize("case", ["a picture", "a mask", "one row", "rows of a cache"])
def test_it_is_the_default(case: str) -> None:
    codes = to_tasks(read(CASES[case]()[0], OPTIONS), OPTIONS).code.values()
    kinds = {compile_task(TaskJob(text, "linalg", "object", OPTIONS.target)).facts.kind for text in codes}
    assert "dot" in kinds


@pytest.mark.parametrize(
    "made",
    [
        lambda: product(16, 64, 64),  # used by many columns
        lambda: scores(2, 64, 64, 64),  # and by many rows
        lambda: convolution(3, 3, 3, 9),  # 3 fill no vector
        lambda: model([helper.make_node("ReduceSum", ["x"], ["y"])], {"x": numbers(64, 64)}, {}),
        lambda: model([helper.make_node("MatMul", ["x", "k"], ["y"])],
                      {"x": numbers(2, 1, 64), "k": numbers(2, 64, 48)}, {}),  # rows lie across the sum
    ],
)  # fmt: skip
def test_what_it_does_not_fit(made: Any) -> None:
    for text in to_tasks(read(made()[0], OPTIONS), OPTIONS).code.values():
        assert "dot" not in [space.kind.name for space in spaces_of_task(text, MACHINE) if space.choose() is not None]


def test_products_of_integers_are_left_as_they_are() -> None:
    nodes = [
        helper.make_node("Transpose", ["k"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    arrays = {n: GENERATOR.integers(-9, 9, s).astype(np.int32) for n, s in (("x", (2, 1, 64)), ("k", (2, 48, 64)))}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, TensorProto.INT32, a.shape) for n, a in arrays.items()],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (2, 1, 48))],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    codes = to_tasks(read(made, OPTIONS), OPTIONS).code.values()
    kinds = {compile_task(TaskJob(text, "linalg", "object", OPTIONS.target)).facts.kind for text in codes}
    assert kinds == {"transpose", "register-tile"}
    assert np.array_equal(ansorc.compile(made).run(arrays)["y"], arrays["x"] @ arrays["k"].transpose(0, 2, 1))


def test_sums_stay_in_registers() -> None:
    """Default register tiles spill nothing: their sums, a step of one operand and one of the other are registers."""
    for text in to_tasks(read(CASES["a picture"]()[0], OPTIONS), OPTIONS).code.values():
        for space in (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "dot"):
            choice = space.choose()
            assert choice is not None
            tile = [v for n, v in choice.candidate.values.items() if n.startswith("tile_")]
            assert registers(tile) <= MACHINE.vector_registers
            code = compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, candidate=choice.candidate))
            assert code.report is not None
            assert code.report.vector_spills == 0
