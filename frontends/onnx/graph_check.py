"""Checks a graph against ONNX's rules and its input shapes, without copying its weights."""

import re
from typing import Any

import onnx
import onnx.checker
import onnx.defs
import onnx.shape_inference

from ansorc.frontends.errors import InvalidModelError, ShapeDoesNotFitError, UnsupportedOpsetError
from ansorc.frontends.onnx.graph_order import label

LOWEST_OPSET, HIGHEST_OPSET = 7, 24
SMALL = 1024
"""Bytes; a smaller initializer may hold a shape that inference needs to read."""


def opset_of(model: onnx.ModelProto) -> int:
    """Of the operators of ONNX itself, within the supported range."""
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions:
        raise InvalidModelError("opset_import has no version for the domain ai.onnx")
    opset = max(versions)
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise UnsupportedOpsetError(opset, LOWEST_OPSET, HIGHEST_OPSET)
    return opset


def check_nodes(model: onnx.ModelProto, opset: int) -> None:
    """Attributes and numbers of inputs and outputs; unknown operators are the importer's."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = max(model.ir_version, 3)
    context.opset_imports = {o.domain: o.version for o in model.opset_import} | {"": opset}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
            continue
        if any(a.HasField("g") or a.graphs or a.HasField("t") for a in node.attribute):
            continue
        try:
            onnx.defs.get_schema(node.op_type, opset)
        except onnx.defs.SchemaError:
            continue
        try:
            onnx.checker.check_node(node, context)
        except onnx.checker.ValidationError as error:
            raise InvalidModelError(f"node '{label(node)}': {first_line(error)}") from error


def check_shapes(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], bound: bool) -> None:
    """bound: the user chose sizes, so a clash is about them."""
    try:
        onnx.shape_inference.infer_shapes(skeleton(model), check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        if is_about_a_function(str(error), opset_of(model)):
            return
        if bound:
            raise ShapeDoesNotFitError(first_line(error), shapes) from error
        raise InvalidModelError(f"shape inference found {first_line(error)}") from error


def is_about_a_function(message: str, opset: int) -> bool:
    """Inference inside ONNX's function bodies fails for valid models; the importer checks those."""
    found = re.search(r"op_type:(\w+)", message)
    try:
        schema: Any = onnx.defs.get_schema(found.group(1), opset) if found else None
    except onnx.defs.SchemaError:
        return True
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def first_line(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:2])


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large initializers as inputs and without shapes of what nodes produce."""
    thin = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    thin.opset_import.extend(model.opset_import)
    graph, source = thin.graph, model.graph
    graph.name = source.name
    graph.node.extend(source.node)
    constants = {t.name for t in source.initializer}
    graph.input.extend(i for i in source.input if i.name not in constants)
    for tensor in source.initializer:
        if size_of(tensor) <= SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    for output in source.output:
        info = graph.output.add(name=output.name)
        if output.type.HasField("tensor_type"):
            info.type.tensor_type.elem_type = output.type.tensor_type.elem_type
    return thin


def size_of(tensor: onnx.TensorProto) -> int:
    """Bytes, at eight an element at most."""
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count * 8
