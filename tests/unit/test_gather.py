"""Reads at computed places: rows begin where a table says, or every element of a row is elsewhere."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from random_candidates import OPTIONS, compared

import ansorc
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.task_job import TaskJob, compile_task

GENERATOR = np.random.default_rng(0)


def model(nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], weights: dict[str, np.ndarray]):
    """A model of f32 and i64 inputs with one result, y."""
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, kinds[a.dtype], a.shape) for n, a in inputs.items()],
        [helper.make_empty_tensor_value_info("y")], [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


def numbers(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape, dtype=np.float32)


def places(size: int, *shape: int) -> np.ndarray:
    return GENERATOR.integers(-size, size, shape)


def gather(shape: tuple[int, ...], axis: int, known: bool) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs, at = {"x": numbers(*shape)}, {"at": places(shape[axis], 3, 7)}
    nodes = [helper.make_node("Gather", ["x", "at"], ["y"], axis=axis)]
    return model(nodes, inputs if known else inputs | at, at if known else {}), inputs if known else inputs | at


def resize(shape: tuple[int, ...], sizes: tuple[int, ...], mode: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs = {"x": numbers(*shape)}
    nodes = [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode)]
    return model(nodes, inputs, {"sizes": np.array(sizes)}), inputs


def pad(shape: tuple[int, ...], mode: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs, amounts = {"x": numbers(*shape)}, np.array([0, 0, 3, 2, 0, 0, 1, 3])
    return model([helper.make_node("Pad", ["x", "amounts"], ["y"], mode=mode)], inputs, {"amounts": amounts}), inputs


def gather_nd() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs = {"x": numbers(9, 11, 37), "at": places(9, 13, 2)}
    return model([helper.make_node("GatherND", ["x", "at"], ["y"])], inputs, {}), inputs


def gather_elements(axis: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    inputs = {"x": numbers(21, 35), "at": places(21, 19, 33)}
    return model([helper.make_node("GatherElements", ["x", "at"], ["y"], axis=axis)], inputs, {}), inputs


CASES = {
    "rows of a table": lambda: gather((50, 37), 0, False),
    "rows of several dims": lambda: gather((20, 5, 24), 0, True),
    "the middle": lambda: gather((6, 20, 33), 1, False),
    "the last dim": lambda: gather((6, 4, 40), 2, True),
    "the last dim, computed": lambda: gather((6, 4, 40), 2, False),
    "places of two dims": gather_nd,
    "elements of rows": lambda: gather_elements(1),
    "elements of columns": lambda: gather_elements(0),
    "interpolation": lambda: resize((1, 19, 9, 11), (1, 19, 20, 17), "linear"),
    "of images": lambda: resize((2, 3, 40, 30), (2, 3, 21, 47), "linear"),
    "cubic": lambda: resize((1, 16, 8, 9), (1, 16, 13, 20), "cubic"),
    "a reflected border": lambda: pad((2, 5, 17, 33), "reflect"),
    "a repeated border": lambda: pad((2, 5, 17, 33), "edge"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_gathered_is_what_onnxruntime_gathers(case: str) -> None:
    made, inputs = CASES[case]()
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, inputs)[0])
    found = ansorc.compile(made).run(inputs)["y"]
    if case in ("interpolation", "of images", "cubic"):
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c != "elements of columns"])  # whose rows are all elsewhere
def test_random_candidates_gather_the_same(case: str) -> None:
    assert compared(CASES[case]()[0], "gather", draws=6) >= 2


def test_rows_are_read_as_vectors_and_elements_are_gathered() -> None:
    for axis, instruction in ((0, "vector.transfer_read"), (1, "vector.gather")):
        made = gather((50, 64), axis, False)[0]
        (text,) = to_tasks(read(made, OPTIONS), OPTIONS).code.values()
        code = compile_task(TaskJob(text, "linalg", "bufferized", OPTIONS.target))
        assert code.facts.kind == "gather"
        assert instruction in code.code.decode()
        assert ("vector.gather" in code.code.decode()) == (axis == 1)


def test_what_follows_a_gather_is_computed_with_it() -> None:
    inputs = {"x": numbers(50, 32), "at": places(50, 40), "z": numbers(40, 32)}
    nodes = [helper.make_node("Gather", ["x", "at"], ["g"]), helper.make_node("Add", ["g", "z"], ["s"]),
             helper.make_node("Relu", ["s"], ["y"])]  # fmt: skip
    made = model(nodes, inputs, {})
    tasks = to_tasks(read(made, OPTIONS), OPTIONS).code
    expected = np.maximum(inputs["x"][inputs["at"]] + inputs["z"], 0)
    assert len(tasks) == 1
    assert np.array_equal(ansorc.compile(made).run(inputs)["y"], expected)


@pytest.mark.parametrize("axis", [1, 3])
def test_numbers_of_reduced_loops_are_known_to_register_tiles(axis: int) -> None:
    """ArgMax: the maximum, then the number of the step where it is."""
    x = numbers(2, 21, 13, 32)
    x[0, 3, 5] = x[0, 9, 5]  # the first of equal ones
    inputs = {"x": x}
    made = model([helper.make_node("ArgMax", ["x"], ["y"], axis=axis, keepdims=0)], inputs, {})
    assert np.array_equal(ansorc.compile(made).run(inputs)["y"], x.argmax(axis))
    if axis == 1:
        assert compared(made, "register-tile", draws=3) >= 4
