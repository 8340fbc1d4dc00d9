"""Reading: order, shapes, external data, names; the caller's model stays as it is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_cases import compare, graph_model
from reference import run_with_loops

from ansorc.frontends.onnx.reader import c_identifier, load_model, read

X = np.random.default_rng(0).standard_normal((2, 3)).astype("float32")
BIG = np.random.default_rng(1).standard_normal((3, 500)).astype("float32")


def symbolic(first: list[int | str | None], second: list[int | str | None]) -> onnx.ModelProto:
    node = helper.make_node("Add", ["a", "b"], ["y"], name="sum")
    model = graph_model([node], {"a": X, "b": X}, ["y"])
    for info, dims in zip(model.graph.input, (first, second), strict=True):
        info.CopyFrom(helper.make_tensor_value_info(info.name, onnx.TensorProto.FLOAT, dims))
    return model


def matmul_model() -> onnx.ModelProto:
    return graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": X}, ["y"], {"w": BIG})


def input_dims(model: onnx.ModelProto) -> list[list[int]]:
    return [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input]


def test_nodes_are_sorted_and_the_given_model_is_kept() -> None:
    nodes = [helper.make_node("Relu", ["b"], ["y"], name="second"), helper.make_node("Neg", ["x"], ["b"], name="first")]
    model = graph_model(nodes, {"x": X}, ["y"])
    before = model.SerializeToString(deterministic=True)
    assert [n.name for n in read(model).graph.node] == ["first", "second"]
    assert model.SerializeToString(deterministic=True) == before
    np.testing.assert_array_equal(run_with_loops(load_model(model), {"x": X})["y"], np.maximum(-X, 0))


def test_equal_names_get_equal_sizes() -> None:
    model = symbolic(["batch", 3], ["batch", 3])
    before = model.SerializeToString(deterministic=True)
    assert input_dims(read(model, {"a": (4, 3)})) == [[4, 3], [4, 3]]
    assert model.SerializeToString(deterministic=True) == before


def test_nameless_dimensions_are_given_one_by_one() -> None:
    model = symbolic([None, 3], [None, 3])
    assert input_dims(read(model, {"a": (4, 3), "b": (1, 3)})) == [[4, 3], [1, 3]]
    assert load_model(model, {"a": (4, 3), "b": (1, 3)}).outputs[0].shape == (4, 3)


def test_an_input_without_a_rank_takes_any_shape() -> None:
    model = symbolic([2, 3], [2, 3])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert input_dims(read(model, {"a": (2, 3)})) == [[2, 3], [2, 3]]


def test_initializers_listed_as_inputs_are_constants() -> None:
    model = matmul_model()
    model.graph.input.append(helper.make_tensor_value_info("w", 1, BIG.shape))
    assert [i.name for i in load_model(model).inputs] == ["x"]


def test_computed_shapes_are_constants() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Mul", ["n", "two"], ["m"]),
        helper.make_node("Concat", ["m", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    constants = {"zero": np.int64([0]), "two": np.int64([2]), "rest": np.int64([-1])}
    x = np.zeros((2, 6), "float32")
    compare(graph_model(nodes, {"x": x}, ["y"], constants), {"x": x})


def test_functions_of_the_model_are_inlined() -> None:
    model = graph_model([helper.make_node("Twice", ["x"], ["y"], domain="mine")], {"x": X}, ["y"])
    opsets = [helper.make_opsetid("", 22)]
    body = [helper.make_node("Add", ["v", "v"], ["r"])]
    model.functions.append(helper.make_function("mine", "Twice", ["v"], ["r"], body, opsets))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    np.testing.assert_array_equal(run_with_loops(load_model(model), {"x": X})["y"], X + X)


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "net-1.onnx"
    onnx.save(matmul_model(), path, save_as_external_data=True, location="net.data", size_threshold=16)
    model = load_model(path)
    assert model.name == "net_1"
    np.testing.assert_array_equal(next(iter(model.weights.values())), BIG)


def test_external_data_of_a_subfolder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w").write_bytes(b"\0" * 8 + BIG.tobytes())
    model = matmul_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "data/w", "offset": "8", "length": str(BIG.nbytes)}.items():
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    np.testing.assert_array_equal(numpy_helper.to_array(read(str(path)).graph.initializer[0]), BIG)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("resnet50", "resnet50"),
        ("my-net.v2", "my_net_v2"),
        ("3d", "model_3d"),
        ("", "model"),
        ("größe", "gr_e"),
    ],
)
def test_names_are_c_identifiers(title: str, name: str) -> None:
    assert c_identifier(title) == name
