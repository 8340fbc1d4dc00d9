"""Reductions of few long rows in parts, against numpy in float64."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ansorc.compiler.driver import compile_model, read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import from_json
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task

TARGET = parse_target("native")
MACHINE = machine_of(TARGET)
REDUCE = {
    "ReduceSum": lambda x, axes: x.sum(axis=axes),
    "ReduceMean": lambda x, axes: x.mean(axis=axes),
    "ReduceMax": lambda x, axes: x.max(axis=axes),
    "ReduceMin": lambda x, axes: x.min(axis=axes),
    "ReduceL2": lambda x, axes: np.sqrt((x**2).sum(axis=axes)),
    "ReduceL1": lambda x, axes: abs(x).sum(axis=axes),
}


def model_of(operator: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "axes"], ["y"], keepdims=0)], "reduction",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(axes), "axes")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def kind_of(model: onnx.ModelProto) -> str:
    (text,) = to_tasks(read(model, Options()), Options()).code.values()
    return compile_task(TaskJob(text, "linalg", "llvm", TARGET)).facts.kind


@pytest.mark.parametrize("operator", REDUCE)
@pytest.mark.parametrize(
    ("shape", "axes"), [((300, 512), (0, 1)), ((3, 7, 1332), (1, 2)), ((2, 5, 4096), (2,)), ((1, 16), (0, 1))]
)
def test_rows_are_reduced_in_parts(operator: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    model = model_of(operator, shape, axes)
    assert kind_of(model) == "split-reduction"
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    compiled = compile_model(model, Options(use_cache=False))
    compiled.set_threads(2)
    expected = np.asarray(REDUCE[operator](x.astype(np.float64), axes))
    size = max(
        np.asarray(REDUCE["ReduceL1" if operator in ("ReduceSum", "ReduceMean") else operator](x, axes)).max(), 1
    )
    result = compiled.run({"x": x})["y"]
    assert abs(result - expected).max() <= 1e-6 * size


def test_infinities_and_nan_are_kept() -> None:
    compiled = compile_model(model_of("ReduceMax", (4096,), (0,)), Options(use_cache=False))
    x = np.full(4096, -np.inf, np.float32)
    assert compiled.run({"x": x})["y"] == -np.inf
    x[77] = np.nan
    assert np.isnan(compiled.run({"x": x})["y"])


def test_many_rows_and_rows_that_fill_no_vector_are_left_to_others() -> None:
    assert kind_of(model_of("ReduceSum", (100, 512), (1,))) != "split-reduction"
    assert kind_of(model_of("ReduceSum", (2, 333), (1,))) != "split-reduction"


def test_random_candidates_compute_their_task_with_any_number_of_threads() -> None:
    model, generator = model_of("ReduceL2", (3, 1440), (1,)), random.Random(0)
    (text,) = to_tasks(read(model, Options()), Options()).code.values()
    (space,) = spaces_of_task(text, MACHINE)
    x = np.random.default_rng(1).standard_normal((3, 1440), np.float32)
    expected = np.sqrt((x.astype(np.float64) ** 2).sum(axis=1))
    drawn = {space.sample(generator) for _ in range(12)}
    assert len(drawn) > 6
    for candidate in drawn:
        assert candidate is not None
        assert from_json(candidate.to_json()) == candidate
        assert space.illegal(candidate) is None
        task = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET, candidate=candidate)))
        one, two = (task.run([x], threads) for threads in (1, 2))
        assert np.array_equal(one, two)
        assert abs(one - expected).max() <= 1e-6 * expected.max()
