"""Reads ONNX models: checked, sorted, with static input shapes and their data inside."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import onnx
import onnx.inliner

from ansorc.frontends.errors import RefusedNode, UnsupportedNodesError
from ansorc.frontends.model import Model
from ansorc.frontends.onnx.external_data import is_external, load_external_data, tensors_of
from ansorc.frontends.onnx.graph_check import check_nodes, check_shapes, opset_of
from ansorc.frontends.onnx.graph_order import node_order
from ansorc.frontends.onnx.importer import import_model
from ansorc.frontends.onnx.input_shapes import is_static, static_shapes, write_shapes
from ansorc.frontends.onnx.model_files import parse_file

Source = str | PathLike[str] | onnx.ModelProto
Shapes = Mapping[str, Sequence[int]]


def load_model(model: Source, shapes: Shapes | None = None) -> Model:
    """Read and import; the model's name is that of the file or of the graph."""
    proto = read(model, shapes)
    title = proto.graph.name if isinstance(model, onnx.ModelProto) else Path(model).stem
    return import_model(proto, c_identifier(title))


def read(model: Source, shapes: Shapes | None = None) -> onnx.ModelProto:
    """`shapes` gives sizes to symbolic inputs. A ModelProto that is given stays as it is."""
    owned = not isinstance(model, onnx.ModelProto)
    folder = None if isinstance(model, onnx.ModelProto) else Path(model).parent
    proto = model if isinstance(model, onnx.ModelProto) else parse_file(Path(model))
    opset = opset_of(proto)
    refuse_sparse(proto.graph)
    if proto.functions:
        proto, owned = onnx.inliner.inline_local_functions(proto), True
    order = node_order(proto.graph)
    chosen = static_shapes(proto.graph, shapes or {})
    bound = not is_static(proto.graph)
    sorted_already = order == sorted(order)
    if not owned and (bound or not sorted_already or has_external(proto)):
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        proto = copy
    if bound:
        write_shapes(proto.graph, chosen)
    if not sorted_already:
        nodes = list(proto.graph.node)
        rearranged = [onnx.NodeProto.FromString(nodes[p].SerializeToString()) for p in order]
        del proto.graph.node[:]
        proto.graph.node.extend(rearranged)
    load_external_data(proto, folder)
    check_nodes(proto, opset)
    check_shapes(proto, chosen, bound)
    return proto


def has_external(proto: onnx.ModelProto) -> bool:
    return any(is_external(t) for t in tensors_of(proto.graph))


def refuse_sparse(graph: onnx.GraphProto) -> None:
    if graph.sparse_initializer:
        raise UnsupportedNodesError(
            tuple(
                RefusedNode(s.values.name, "(sparse initializer)", "", 0, "only dense ones are")
                for s in graph.sparse_initializer
            )
        )


def c_identifier(title: str) -> str:
    """Letters, digits and underscores, starting with no digit."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", title).strip("_") or "model"
    return name if not name[0].isdigit() else f"model_{name}"
