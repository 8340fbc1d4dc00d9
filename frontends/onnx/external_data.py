"""Tensors whose numbers lie in files beside the model."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
import onnx.helper

from ansorc.frontends.errors import ExternalDataMissingError, ExternalDataOutsideError

PACKED = {"INT4": 2, "UINT4": 2, "FLOAT4E2M1": 2, "INT2": 4, "UINT2": 4}
"""Elements a byte, by the name of the element type."""


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initializers and attributes, those of subgraphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from tensors_of(attribute.g)
            for inner in attribute.graphs:
                yield from tensors_of(inner)


def is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def load_external_data(model: onnx.ModelProto, folder: Path | None) -> None:
    """Move the data into `model`; without a folder any external tensor is an error."""
    for tensor in tensors_of(model.graph):
        if is_external(tensor):
            load_tensor(tensor, folder)


def load_tensor(tensor: onnx.TensorProto, folder: Path | None) -> None:
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ExternalDataMissingError(
            tensor.name, Path(location), "the model was given in memory; give its path instead"
        )
    path = inside(tensor.name, location, folder)
    if not path.is_file():
        raise ExternalDataMissingError(tensor.name, path, "no such file")
    size, expected = path.stat().st_size, byte_count(tensor)
    offset = number(tensor.name, path, entries.get("offset", "0"))
    length = number(tensor.name, path, entries.get("length", str(expected)))
    if length != expected:
        raise ExternalDataMissingError(tensor.name, path, f"it has {length} bytes, its type and shape need {expected}")
    if offset + length > size:
        raise ExternalDataMissingError(tensor.name, path, f"bytes {offset} to {offset + length} of a file of {size}")
    try:
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
    except OSError as error:
        raise ExternalDataMissingError(tensor.name, path, str(error)) from error
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def inside(tensor: str, location: str, folder: Path) -> Path:
    """The file with links followed; refused outside `folder`."""
    home = folder.resolve()
    if not location or "\0" in location:
        raise ExternalDataOutsideError(tensor, location, home)
    path = (home / location).resolve()
    if not path.is_relative_to(home):
        raise ExternalDataOutsideError(tensor, location, home)
    return path


def number(tensor: str, path: Path, text: str) -> int:
    if not text.isdecimal():
        raise ExternalDataMissingError(tensor, path, f"'{text}' is not an offset or a length")
    return int(text)


def byte_count(tensor: onnx.TensorProto) -> int:
    count = prod(tensor.dims)
    each = PACKED.get(onnx.TensorProto.DataType.Name(tensor.data_type))
    if each:
        return -(-count // each)
    return count * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
