"""Walks an ONNX graph node by node and writes linalg on tensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from ansorc.frontends.errors import RefusedNode, UnsupportedNodesError
from ansorc.frontends.model import Model, TensorSpec
from ansorc.frontends.onnx.element_types import ELEMENT_TYPES
from ansorc.frontends.onnx.emitter import Emitter, Value, quoted, tensor_type
from ansorc.frontends.onnx.evaluation import evaluated
from ansorc.frontends.onnx.function_bodies import function_body
from ansorc.frontends.onnx.node import Node, Operand, Operator, RefusedError
from ansorc.frontends.onnx.ops_convolution import CONVOLUTION
from ansorc.frontends.onnx.ops_elementwise import ELEMENTWISE
from ansorc.frontends.onnx.ops_gather import GATHER
from ansorc.frontends.onnx.ops_matrix import MATRIX
from ansorc.frontends.onnx.ops_normalization import NORMALIZATION
from ansorc.frontends.onnx.ops_pooling import POOLING
from ansorc.frontends.onnx.ops_reduction import REDUCTION
from ansorc.frontends.onnx.ops_resize import RESIZE
from ansorc.frontends.onnx.ops_shape import SHAPE

OPERATORS: dict[str, Operator] = {
    **ELEMENTWISE,
    **CONVOLUTION,
    **POOLING,
    **MATRIX,
    **NORMALIZATION,
    **REDUCTION,
    **SHAPE,
    **GATHER,
    **RESIZE,
}

Environment = dict[str, Operand | None]
"""Name of an ONNX value -> its tensor; None where a refused node should have made it."""


def import_model(proto: onnx.ModelProto, name: str) -> Model:
    """`proto` comes from `reader.read`: sorted, static, with its data inside."""
    graph, emitter = proto.graph, Emitter()
    known = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    inputs = tuple(spec_of(i) for i in graph.input if i.name not in known)
    values: Environment = dict(known)
    arguments: list[str] = []
    for number, spec in enumerate(inputs):
        emitter.at(spec.name)
        argument, entry = received(emitter, spec, f"%arg{number}")
        arguments.append(argument)
        values[spec.name] = entry
    walk = Walk(emitter, {o.domain: o.version for o in proto.opset_import})
    for node in graph.node:
        walk.visit(node, values, walk.opsets, "")
    if walk.refused:
        raise UnsupportedNodesError(tuple(walk.refused))
    outputs: list[TensorSpec] = []
    returned: list[Value] = []
    for output in graph.output:
        emitter.at(output.name)
        operand = values[output.name]
        assert operand is not None
        value = operand if isinstance(operand, Value) else emitter.weight(operand, output.name)
        outputs.append(TensorSpec(output.name, value.dtype, value.shape))
        returned.append(value)
    text = module_text(name, emitter, arguments, tuple(outputs), returned)
    return Model(name, text, emitter.weights, inputs, tuple(outputs))


def spec_of(info: onnx.ValueInfoProto) -> TensorSpec:
    kind = info.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    if dtype not in ELEMENT_TYPES:
        reason = f"the element type {dtype} of an input"
        raise UnsupportedNodesError((RefusedNode(info.name, "(input)", "", 0, reason),))
    return TensorSpec(info.name, dtype, tuple(d.dim_value for d in kind.shape.dim))


def received(emitter: Emitter, spec: TensorSpec, name: str) -> tuple[str, Value]:
    """The argument's text and the tensor it stands for."""
    value = Value(name, spec.shape, spec.dtype)
    return f"{name}: {value.type} {{ansorc.name = {quoted(spec.name)}}}", value


def module_text(
    name: str, emitter: Emitter, arguments: list[str], outputs: tuple[TensorSpec, ...], returned: list[Value]
) -> str:
    kinds = ", ".join(f"{v.type} {{ansorc.name = {quoted(o.name)}}}" for v, o in zip(returned, outputs, strict=True))
    types = ", ".join(tensor_type(v.shape, v.dtype) for v in returned)
    return "\n".join(
        [
            *emitter.locations,
            f'module attributes {{ansorc.stage = "imported", ansorc.model = {quoted(name)}}} {{',
            *emitter.globals,
            f"  func.func @main({', '.join(arguments)}) -> ({kinds}) {{",
            *emitter.lines,
            f"    return {', '.join(v.name for v in returned)} : {types}",
            "  }",
            "}",
            "",
        ]
    )


class Walk:
    """Visits nodes in order; a refused node is noted and the walk goes on past it."""

    def __init__(self, emitter: Emitter, opsets: dict[str, int]) -> None:
        self.emitter = emitter
        self.opsets = opsets
        self.refused: list[RefusedNode] = []

    def visit(self, proto: onnx.NodeProto, values: Environment, opsets: Mapping[str, int], prefix: str) -> None:
        """Compute the node's outputs into `values`."""
        label = prefix + (proto.name or f"{proto.op_type}:{next(iter(proto.output), '')}")
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        opset = opsets.get(domain, opsets.get("ai.onnx", 0) if not domain else 0)
        inputs = tuple(values[i] if i else None for i in proto.input)
        lost = any(v is None and n for v, n in zip(inputs, proto.input, strict=True))
        try:
            results = self._results(proto, label, domain, opset, inputs, opsets, lost)
        except RefusedError as refusal:
            self.refused.append(RefusedNode(label, proto.op_type, proto.domain, opset, str(refusal)))
            results = []
        for position, output in enumerate(proto.output):
            if output:
                values[output] = results[position] if position < len(results) else None

    def _results(
        self,
        proto: onnx.NodeProto,
        label: str,
        domain: str,
        opset: int,
        inputs: tuple[Operand | None, ...],
        opsets: Mapping[str, int],
        lost: bool,
    ) -> list[Operand | None]:
        operator = OPERATORS.get(proto.op_type) if not domain else None
        if lost:
            if operator is None and not can_expand(proto, opset):
                raise RefusedError("the operator is not implemented")
            return []
        if not domain and all(not isinstance(i, Value) for i in inputs):
            constant = evaluated(proto, inputs, opset)
            if constant is not None:
                return list(constant)
        self.emitter.at(label)
        if operator is not None:
            node = Node(
                label,
                proto.op_type,
                opset,
                inputs,
                tuple(proto.input),
                tuple(proto.output),
                attributes_of(proto),
                self.emitter,
            )
            return as_list(operator(node))
        return self._expand(proto, label, opset, inputs, opsets)

    def _expand(
        self,
        proto: onnx.NodeProto,
        label: str,
        opset: int,
        inputs: tuple[Operand | None, ...],
        opsets: Mapping[str, int],
    ) -> list[Operand | None]:
        """Walk the body that ONNX gives for the operator."""
        body = function_body(proto, opset, inputs)
        if body is None:
            raise RefusedError("the operator is not implemented")
        # An absent optional input reads as an empty name in the body's nodes.
        given = dict(zip(body.input, inputs, strict=False))
        absent = {n for n in body.input if given.get(n) is None}
        values: Environment = {n: given[n] for n in body.input if n not in absent}
        inner = {**opsets, **{o.domain: o.version for o in body.opset_import}}
        refused = len(self.refused)
        for node in body.node:
            part = onnx.NodeProto()
            part.CopyFrom(node)
            for position, name in enumerate(part.input):
                if name in absent:
                    part.input[position] = ""
            self.visit(part, values, inner, f"{label}/")
        if len(self.refused) > refused:
            reasons = "; ".join(f"{r.op}: {r.reason}" for r in self.refused[refused:])
            del self.refused[refused:]
            raise RefusedError(f"inside its function body: {reasons}")
        return [values[o] for o in body.output]


def can_expand(proto: onnx.NodeProto, opset: int) -> bool:
    try:
        schema: Any = onnx.defs.get_schema(proto.op_type, opset, proto.domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def as_list(result: Any) -> list[Operand | None]:
    return [result] if isinstance(result, Value | np.ndarray) else list(result)


def attributes_of(proto: onnx.NodeProto) -> dict[str, Any]:
    """Strings as str, tensors as numpy arrays."""
    found: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        found[attribute.name] = value
    return found
