"""Transposes through registers: every candidate moves every element to its place, and what is fused is computed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from random_candidates import MACHINE, OPTIONS, compared

import ansorc
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.compiler.task_spaces import spaces_of_task

SHAPES = [
    ((64, 49), (1, 0)), ((37, 4), (1, 0)), ((5, 33, 17), (2, 0, 1)), ((2, 7, 9, 20), (0, 3, 1, 2)),
    ((1, 24, 13, 13), (0, 2, 3, 1)), ((6, 5, 4, 18), (3, 1, 0, 2)),
]  # fmt: skip


def model_of(shape: tuple[int, ...], perm: tuple[int, ...], behind: str) -> onnx.ModelProto:
    out = [shape[p] for p in perm]
    nodes = [helper.make_node("Transpose", ["x"], ["t" if behind else "y"], perm=list(perm))]
    inputs, weights = {"x": list(shape)}, dict[str, np.ndarray]()
    if behind == "a sum":
        nodes += [helper.make_node("Relu", ["t"], ["r"]), helper.make_node("Add", ["r", "z"], ["y"])]
        inputs["z"] = out
    if behind == "a border":
        nodes.append(helper.make_node("Pad", ["t", "pads"], ["y"]))
        weights["pads"] = np.array([1] * len(out) + [2] * len(out))
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("behind", ["", "a sum", "a border"])
@pytest.mark.parametrize(("shape", "perm"), SHAPES)
def test_random_candidates_move_everything(shape: tuple[int, ...], perm: tuple[int, ...], behind: str) -> None:
    assert compared(model_of(shape, perm, behind), "transpose") >= 3


NORM = """
#whole = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#across = affine_map<(d0, d1, d2) -> (d2, d1)>
func.func @task(%x: tensor<24x16x4xf32>, %mean: tensor<4x16xf32>) -> tensor<24x16x4xf32> attributes {ansorc.task} {
  %e = tensor.empty() : tensor<24x16x4xf32>
  %half = arith.constant 0.5 : f32
  %r = linalg.generic {indexing_maps = [#whole, #across, #whole], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x, %mean : tensor<24x16x4xf32>, tensor<4x16xf32>) outs(%e : tensor<24x16x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %b, %half : f32
    %s = arith.subf %a, %m : f32
    linalg.yield %s : f32
  } -> tensor<24x16x4xf32>
  return %r : tensor<24x16x4xf32>
}"""


def test_what_is_read_across_may_be_the_same_in_other_dims() -> None:
    """Of a norm over the first dim: patterns that lower a transposed broadcast with a unit dim make others forever."""
    (space,) = (s for s in spaces_of_task(NORM, MACHINE) if s.kind.name == "transpose")
    choice = space.choose()
    assert choice is not None
    made = runnable(NORM, compile_task(TaskJob(NORM, "linalg", "object", OPTIONS.target, candidate=choice.candidate)))
    x, mean = made.random_arguments(np.random.default_rng(0))
    assert np.array_equal(made.run([x, mean]), x - mean.T * np.float32(0.5))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.int64, np.bool_])
def test_elements_of_every_size_are_moved(dtype: type) -> None:
    x = (30 * np.random.default_rng(0).standard_normal((2, 37, 49))).astype(dtype)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])], "g",
        [helper.make_tensor_value_info("x", element, x.shape)],
        [helper.make_tensor_value_info("y", element, (2, 49, 37))],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert np.array_equal(ansorc.compile(model).run({"x": x})["y"], x.transpose(0, 2, 1))


def test_a_number_for_each_row_is_no_transpose() -> None:
    """x / s, where s is read by the rows of x alone: vectors of x are divided by one number."""
    nodes = [helper.make_node("Div", ["x", "s"], ["y"])]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [64, 48]), ("s", [64, 1]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for text in to_tasks(read(model, OPTIONS), OPTIONS).code.values():
        assert "transpose" not in [space.kind.name for space in spaces_of_task(text, MACHINE)]


def test_channels_are_shuffled_by_one_transpose() -> None:
    """As in ShuffleNet, which exporters write with channels first."""
    generator = np.random.default_rng(0)
    weights = {n: generator.standard_normal(s, np.float32) for n, s in (("a", (24, 24, 1, 1)), ("b", (24, 1, 3, 3)))}
    split, back = np.array([1, 4, 6, 9, 9]), np.array([1, 24, 9, 9])
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]), helper.make_node("Reshape", ["c", "split"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["t", "back"], ["s"]),
        helper.make_node("Conv", ["s", "b"], ["y"], group=24, pads=[1, 1, 1, 1]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 24, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in {**weights, "split": split, "back": back}.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    texts = list(to_tasks(read(model, OPTIONS), OPTIONS).code.values())
    assert sum("linalg.transpose" in text for text in texts) == 3  # at both ends, and the shuffle
    assert not any("tensor.pad" in text and "linalg" not in text for text in texts)
