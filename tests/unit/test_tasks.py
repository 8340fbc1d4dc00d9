"""Structural keys: the same computation is the same task, whatever it is called."""

import re
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ansorc.compiler.driver import compile_to_file
from ansorc.compiler.options import Options
from ansorc.compiler.target import parse_target


def _model(
    prefix: str = "", seed: int = 0, stride: int = 1, layers: int = 2, relu: bool = True, pad: int = 1
) -> onnx.ModelProto:
    generator = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    value = f"{prefix}x"
    for k in range(layers):
        weight = generator.standard_normal((16, 16, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"{prefix}w{k}"))
        inputs = [value, f"{prefix}w{k}"]
        attributes = {"pads": [pad] * 4, "strides": [stride, stride]}
        nodes.append(helper.make_node("Conv", inputs, [f"{prefix}c{k}"], name=f"{prefix}conv{k}", **attributes))
        value = f"{prefix}c{k}"
        if relu:
            nodes.append(helper.make_node("Relu", [value], [f"{prefix}r{k}"], name=f"{prefix}relu{k}"))
            value = f"{prefix}r{k}"
    inputs = [helper.make_tensor_value_info(f"{prefix}x", TensorProto.FLOAT, [1, 16, 12, 12])]
    outputs = [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, f"{prefix}g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _tasks(model: onnx.ModelProto, folder: Path) -> dict[str, int]:
    """Return {task: how often it is called}."""
    path = folder / "stage.mlir"
    compile_to_file(model, Options(target=parse_target("native"), use_cache=False), path, "linalg")
    text = path.read_text()
    found = re.findall(r"func\.func private @(task_\w+)\(.*ansorc\.weight = (\d+)", text)
    calls = re.findall(r"call @(task_\w+)\(", text)
    assert {name: int(weight) for name, weight in found} == {name: calls.count(name) for name in set(calls)}
    return {name: int(weight) for name, weight in found}


def test_names_and_numbers_do_not_matter(tmp_path: Path) -> None:
    assert _tasks(_model(), tmp_path) == _tasks(_model("other_", seed=7), tmp_path)


def test_equal_layers_share_a_task(tmp_path: Path) -> None:
    one, three = _tasks(_model(layers=2), tmp_path), _tasks(_model(layers=4), tmp_path)
    assert set(one) == set(three)  # first, last and those between may differ in padding and layout
    assert sum(three.values()) == sum(one.values()) + 2


def test_other_attributes_are_other_tasks(tmp_path: Path) -> None:
    plain = set(_tasks(_model(layers=1), tmp_path))
    strided = set(_tasks(_model(layers=1, stride=2), tmp_path))
    linear = set(_tasks(_model(layers=1, relu=False), tmp_path))
    unpadded = set(_tasks(_model(layers=1, pad=0), tmp_path))
    assert plain != unpadded
    assert plain != strided
    assert plain != linear
    assert strided != linear
