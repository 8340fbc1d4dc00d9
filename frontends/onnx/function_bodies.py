"""Bodies of the operators that ONNX defines as functions of simpler ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.helper

from ansorc.frontends.onnx.element_types import numpy_dtype
from ansorc.frontends.onnx.emitter import Value


def function_body(
    proto: onnx.NodeProto,
    opset: int,
    inputs: Sequence[object],
) -> onnx.FunctionProto | None:
    """The body with the node's attributes put in; None when ONNX defines none."""
    try:
        # onnx's type stubs leave out what a schema knows of functions.
        schema: Any = onnx.defs.get_schema(proto.op_type, opset, proto.domain)
    except onnx.defs.SchemaError:
        return None
    body = onnx.FunctionProto()
    if schema.has_context_dependent_function:
        version = newest(schema.context_dependent_function_opset_versions, opset)
        types = [type_of(i) for i in inputs]
        body.ParseFromString(
            schema.get_context_dependent_function_with_opset_version(
                version, proto.SerializeToString(), [t.SerializeToString() for t in types]
            )
        )
    elif schema.has_function:
        version = newest(schema.function_opset_versions, opset)
        body.ParseFromString(schema.get_function_with_opset_version(version))
    else:
        return None
    if not body.opset_import:
        body.opset_import.append(onnx.helper.make_opsetid("", opset))
    given = {a.name: a for a in proto.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.name:
            given[name] = attribute.default_value
    for node in body.node:
        bind(node, given)
    return body


def newest(versions: Sequence[int], opset: int) -> int:
    return max((v for v in versions if v <= opset), default=min(versions))


def bind(node: onnx.NodeProto, given: dict[str, onnx.AttributeProto]) -> None:
    """Replace references to the function's attributes."""
    kept: list[onnx.AttributeProto] = []
    for attribute in node.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is not None:
            copy = onnx.AttributeProto()
            copy.CopyFrom(source)
            copy.name = attribute.name
            kept.append(copy)
    del node.attribute[:]
    node.attribute.extend(kept)


def type_of(operand: object) -> onnx.TypeProto:
    if operand is None:
        return onnx.TypeProto()
    assert isinstance(operand, Value | np.ndarray)
    dtype = numpy_dtype(operand.dtype) if isinstance(operand, Value) else operand.dtype
    element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    return onnx.helper.make_tensor_type_proto(element, tuple(operand.shape))
