"""Every mistake a model can hold has its own error, which says what and where."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import graph_model

from ansorc.frontends import errors
from ansorc.frontends.onnx.reader import load_model, read

X = np.zeros((2, 3), "float32")


def relu() -> onnx.ModelProto:
    return graph_model([helper.make_node("Relu", ["x"], ["y"], name="act")], {"x": X}, ["y"])


def with_dims(*dims: int | str) -> onnx.ModelProto:
    model = relu()
    info = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, dims)
    model.graph.input[0].CopyFrom(info)
    return model


def with_external(location: str, **more: str) -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    model = graph_model(nodes, {"x": X}, ["y"], {"w": X})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFileMissingError, match=r"no such model file: .*gone\.onnx"):
        read(tmp_path / "gone.onnx")


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\x89PNG\r\n\x1a\n" * 9, b"PK\3\4zip"])
def test_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(errors.NotOnnxError, match=r"text\.onnx is not an ONNX model"):
        read(path)


def test_a_folder_is_not_onnx(tmp_path: Path) -> None:
    with pytest.raises(errors.NotOnnxError, match="it is a folder"):
        read(tmp_path)


def test_truncated_file(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    path = saved(graph_model(nodes, {"x": X}, ["y"], {"w": X}), tmp_path)
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) - 10):
        path.write_bytes(data[:size])
        with pytest.raises(errors.TruncatedModelError, match=f"after {size} bytes"):
            read(path)


def test_file_over_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31 + 8)
    with pytest.raises(errors.ModelTooLargeError, match="save_as_external_data=True"):
        read(path)


@pytest.mark.parametrize("opset", [6, 25])
def test_opset(opset: int) -> None:
    model = relu()
    model.opset_import[0].version = opset
    with pytest.raises(errors.UnsupportedOpsetError, match=f"opset {opset}; expected 7 to 24"):
        read(model)


def test_invalid_models() -> None:
    model = relu()
    del model.opset_import[:]
    with pytest.raises(errors.InvalidModelError, match="opset_import"):
        read(model)
    twice = [helper.make_node("Relu", ["x"], ["y"], name=n) for n in ("one", "two")]
    with pytest.raises(errors.InvalidModelError, match="node 'two' produces 'y'"):
        read(graph_model(twice, {"x": X}, ["y"]))
    wrong = helper.make_node("Relu", ["x"], ["y"], name="act", slope=1.0)
    with pytest.raises(errors.InvalidModelError, match=r"node 'act': .*slope"):
        read(graph_model([wrong], {"x": X}, ["y"]))
    clash = helper.make_node("Add", ["x", "w"], ["y"], name="sum")
    with pytest.raises(errors.InvalidModelError, match="sum"):
        read(graph_model([clash], {"x": X}, ["y"], {"w": np.zeros((4,), "float32")}))


def test_all_unsupported_nodes_are_listed() -> None:
    nodes = [
        helper.make_node("Foo", ["x"], ["a"], name="first", domain="com.example"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Bar", ["b"], ["c"], name="second"),
        helper.make_node("NonZero", ["x"], ["d"], name="third"),
    ]
    model = graph_model(nodes, {"x": X}, ["c", "d"])
    model.opset_import.append(helper.make_opsetid("com.example", 3))
    with pytest.raises(errors.UnsupportedNodesError) as caught:
        load_model(model)
    assert [(n.name, n.op, n.opset) for n in caught.value.nodes] == [
        ("first", "Foo", 3),
        ("second", "Bar", 22),
        ("third", "NonZero", 22),
    ]
    message = str(caught.value)
    assert "3 node(s)" in message
    assert "node 'first': com.example.Foo, opset 3: the operator is not implemented" in message
    assert "node 'second': ai.onnx.Bar" in message


def test_unsupported_attribute() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y", "i"], name="pool", kernel_shape=[2])
    with pytest.raises(errors.UnsupportedNodesError, match=r"node 'pool': .*Indices"):
        load_model(graph_model([node], {"x": np.zeros((1, 2, 5), "float32")}, ["y", "i"]))


def test_inputs_that_are_no_tensors() -> None:
    model = relu()
    kind = helper.make_sequence_type_proto(model.graph.input[0].type)
    model.graph.input[0].CopyFrom(helper.make_value_info("x", kind))
    with pytest.raises(errors.UnsupportedNodesError, match="sequence"):
        read(model)


def test_unknown_dimension() -> None:
    with pytest.raises(errors.UnknownDimensionError, match=r"\[batch, 3\](.|\n)*--shape x=1x3"):
        read(with_dims("batch", 3))


def test_shape_of_an_unknown_input() -> None:
    with pytest.raises(errors.UnknownShapeInputError, match=r"'z'(.|\n)*its inputs are: x"):
        read(relu(), {"z": (1,)})


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 1), (2,), (0, 3), (-1, 3)])
def test_contradictory_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(errors.ContradictoryShapeError, match="input 'x' contradicts the model"):
        read(with_dims("batch", 3), {"x": shape})


def test_equal_names_with_other_sizes() -> None:
    model = graph_model([helper.make_node("Add", ["a", "b"], ["y"])], {"a": X, "b": X}, ["y"])
    for info in model.graph.input:
        info.type.tensor_type.shape.dim[0].dim_param = "n"
    with pytest.raises(errors.ContradictoryShapeError, match=r"\[5, 3\] given for input 'b'"):
        read(model, {"a": (4, 3), "b": (5, 3)})


def test_shape_that_does_not_fit() -> None:
    node = helper.make_node("Add", ["x", "w"], ["y"], name="sum")
    model = graph_model([node], {"x": X}, ["y"], {"w": np.zeros((5, 3), "float32")})
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    assert load_model(model, {"x": (5, 3)}).outputs[0].shape == (5, 3)
    with pytest.raises(errors.ShapeDoesNotFitError, match=r"x=\[4, 3\](.|\n)*sum"):
        read(model, {"x": (4, 3)})


def test_cyclic_graph() -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="two"),
        helper.make_node("Relu", ["b"], ["y"], name="behind"),
    ]
    with pytest.raises(errors.CyclicGraphError, match=r"one, two|two, one") as caught:
        read(graph_model(nodes, {"x": X}, ["y"]))
    assert "behind" not in str(caught.value)


def test_dangling_values() -> None:
    nodes = [helper.make_node("Add", ["x", "ghost"], ["y"], name="sum")]
    with pytest.raises(errors.DanglingInputError) as caught:
        read(graph_model(nodes, {"x": X}, ["y", "nothing"]))
    assert "node 'sum' reads 'ghost'" in str(caught.value)
    assert "the graph's output reads 'nothing'" in str(caught.value)


def test_missing_external_data(tmp_path: Path) -> None:
    path = saved(with_external("weights.bin"), tmp_path)
    with pytest.raises(errors.ExternalDataMissingError, match=r"weights\.bin: no such file"):
        read(path)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 7)
    with pytest.raises(errors.ExternalDataMissingError, match="bytes 0 to 24 of a file of 7"):
        read(path)
    with pytest.raises(errors.ExternalDataMissingError, match="given in memory"):
        read(with_external("weights.bin"))


@pytest.mark.parametrize("more", [{"length": "4"}, {"offset": "-8"}, {"length": "many"}])
def test_wrong_places_in_external_data(tmp_path: Path, more: dict[str, str]) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0" * 24)
    with pytest.raises(errors.ExternalDataMissingError):
        read(saved(with_external("weights.bin", **more), tmp_path))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "inner/../../secret", "link", ""])
def test_external_data_outside(tmp_path: Path, location: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 24)
    (home / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.ExternalDataOutsideError, match="refused"):
        read(saved(with_external(location), home))
