"""Products of activations whose columns fill no vector, and what stands behind them, against float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import ansorc
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.options import Options
from ansorc.compiler.task_job import TaskJob, compile_task

Array = np.ndarray
node = helper.make_node


def model_of(nodes: list[onnx.NodeProto], inputs: dict[str, Array]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "columns",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


BEHIND: dict[str, tuple[list[onnx.NodeProto], Callable[[Array, Array], Array]]] = {
    "nothing": ([node("Identity", ["s"], ["y"])], lambda s, _: s),
    "a residual": ([node("Add", ["s", "r"], ["y"])], lambda s, r: s + r),
    "a sum of rows": ([node("ReduceSum", ["s"], ["y"], keepdims=0, noop_with_empty_axes=0)], lambda s, _: s.sum()),
    "the greatest": ([node("ReduceMax", ["s"], ["y"], axes=[-1], keepdims=0)], lambda s, _: s.max(axis=-1)),
    "softmax": ([node("Softmax", ["s"], ["y"], axis=-1)], lambda s, _: softmax(s)),
    "the mean along another dim": (
        [node("ReduceMean", ["s"], ["y"], axes=[0], keepdims=0)], lambda s, _: s.mean(axis=0)
    ),
    "a sum of squares": (
        [node("Sub", ["s", "r"], ["d"]), node("ReduceSumSquare", ["d"], ["y"], axes=[-1], keepdims=1)],
        lambda s, r: ((s - r) ** 2).sum(axis=-1, keepdims=True),
    ),
    "a transpose": ([node("Transpose", ["s"], ["y"], perm=[1, 0])], lambda s, _: s.T),
    "both itself and a function": (
        [node("Tanh", ["s"], ["t"]), node("Concat", ["s", "t"], ["y"], axis=0)],
        lambda s, _: np.concatenate([s, np.tanh(s)]),
    ),
    "another product": (
        [node("Relu", ["s"], ["t"]), node("MatMul", ["t", "r2"], ["y"])], lambda s, r: np.maximum(s, 0) @ r.T
    ),
}  # fmt: skip


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("columns", [9, 37, 100, 333])
def test_what_stands_behind_sees_the_real_columns_alone(behind: str, columns: int) -> None:
    nodes, expected_of = BEHIND[behind]
    generator = np.random.default_rng(columns)
    inputs = {n: generator.standard_normal(s, np.float32)
              for n, s in (("a", (13, 24)), ("b", (24, columns)), ("r", (13, columns)))}  # fmt: skip
    inputs["r2"] = np.ascontiguousarray(inputs["r"].T)
    used = {name for n in nodes for name in n.input}
    given = {n: a for n, a in inputs.items() if n in {"a", "b", *used}}
    model = model_of([node("MatMul", ["a", "b"], ["s"]), *nodes], given)
    expected = expected_of(inputs["a"].astype(np.float64) @ inputs["b"], inputs["r"].astype(np.float64))
    result = ansorc.compile(model).run(given)["y"]
    assert result.reshape(expected.shape).shape == expected.shape
    assert abs(result.reshape(expected.shape) - expected).max() <= 3e-6 * max(1.0, abs(expected).max())


def test_infinite_and_missing_numbers_stay_where_they_are() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((6, 16), np.float32), generator.standard_normal((16, 21), np.float32)
    a[1, 3], a[2, 5] = np.inf, np.nan
    model = model_of([node("MatMul", ["a", "b"], ["s"]), node("Softmax", ["s"], ["y"], axis=-1)], {"a": a, "b": b})
    result = ansorc.compile(model).run({"a": a, "b": b})["y"]
    with np.errstate(all="ignore"):
        expected = softmax(a.astype(np.float64) @ b)
    assert np.array_equal(np.isnan(result), np.isnan(expected))
    assert abs(result - expected)[~np.isnan(expected)].max() <= 1e-6


def test_columns_of_a_prime_number_are_no_plain_loops() -> None:
    generator = np.random.default_rng(0)
    inputs = {
        "a": generator.standard_normal((97, 64), np.float32),
        "b": generator.standard_normal((64, 333), np.float32),
    }
    options = Options(use_cache=False)
    code = to_tasks(read(model_of([node("MatMul", ["a", "b"], ["y"])], inputs), options), options).code
    kinds = [compile_task(TaskJob(text, "linalg", "llvm", options.target)).facts.kind for text in code.values()]
    assert "register-tile" in kinds


@pytest.mark.parametrize(
    ("element", "dtype", "tolerance"),
    [(TensorProto.DOUBLE, np.float64, 1e-14), (TensorProto.FLOAT16, np.float16, 4e-3),
     (TensorProto.INT32, np.int32, 0), (TensorProto.INT64, np.int64, 0)],
)  # fmt: skip
def test_masks_and_zeros_are_right_for_every_element_type(element: int, dtype: type, tolerance: float) -> None:
    generator = np.random.default_rng(0)
    sizes = {"a": (13, 24), "b": (24, 37), "c": (37, 21)}
    whole = np.issubdtype(dtype, np.integer)
    scale = 3.0 if whole else 0.45  # scores of about 1: softmax makes the rounding of large ones larger still
    inputs = {n: (scale * generator.standard_normal(s)).astype(dtype) for n, s in sizes.items()}
    nodes = [node("MatMul", ["a", "b"], ["s"]), node("MatMul", ["s" if whole else "p", "c"], ["y"])]
    if not whole:
        nodes.insert(1, node("Softmax", ["s"], ["p"], axis=-1))
    graph = helper.make_graph(
        nodes, "columns",
        [helper.make_tensor_value_info(n, element, s) for n, s in sizes.items()],
        [helper.make_tensor_value_info("y", element, (13, 21))],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    wide = {n: a.astype(dtype if whole else np.float64) for n, a in inputs.items()}
    scores = wide["a"] @ wide["b"]
    expected = (scores if whole else softmax(scores)) @ wide["c"]
    result = ansorc.compile(model).run(inputs)["y"]
    assert result.dtype == dtype
    assert abs(result - expected).max() <= tolerance * abs(expected).max()
