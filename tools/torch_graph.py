"""An ONNX graph as calls of PyTorch: layers, and the operators of the networks that are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


def channels_last(torch: Any, value: Any) -> Any:
    """Return a tensor of images, or of videos, with its channels innermost in memory; others as they are."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return value.contiguous(memory_format=formats[value.dim()]) if value.dim() in formats else value


def graph_module(torch: Any, model: onnx.ModelProto, *, last: bool) -> Any:
    """Return a torch.nn.Module that computes a graph of its inputs in order; `last`: with channels innermost.

    Raises KeyError for an operator that it does not know.
    """
    weights = {w.name: np.array(numpy_helper.to_array(w)) for w in model.graph.initializer}
    names = [i.name for i in model.graph.input if i.name not in weights]
    outputs = [o.name for o in model.graph.output]
    readers = Counter([*(name for node in model.graph.node for name in node.input), *outputs, *names])
    calls = [
        (
            _call(torch, node, weights, fresh=readers[node.input[0]] == 1),
            [name for name in node.input if name],
            node.output[0],
        )
        for node in model.graph.node
    ]

    class Graph(torch.nn.Module):  # pyright: ignore[reportUntypedBaseClass]
        def __init__(self) -> None:
            super().__init__()
            for k, value in enumerate(weights.values()):
                tensor = torch.from_numpy(value)
                self.register_buffer(f"w{k}", channels_last(torch, tensor) if last else tensor)

        def forward(self, *inputs: Any) -> list[Any]:
            known = {name: getattr(self, f"w{k}") for k, name in enumerate(weights)}
            known.update(zip(names, inputs, strict=True))
            for call, read, written in calls:
                known[written] = call(*[known[name] for name in read])
            return [known[name] for name in outputs]

    return Graph().eval()


def _call(torch: Any, node: onnx.NodeProto, constants: Mapping[str, Array], *, fresh: bool) -> Callable[..., Any]:
    """Return what computes a node; an activation writes over its argument where nobody else reads that (`fresh`)."""
    functional = torch.nn.functional
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kind = node.op_type

    def whole(place: int) -> list[int]:
        """Return the numbers of a constant argument."""
        return [int(n) for n in constants[node.input[place]].ravel()]

    if kind in {"Conv", "ConvTranspose"}:
        rank = len(attributes["kernel_shape"])
        name = f"conv_transpose{rank}d" if kind == "ConvTranspose" else f"conv{rank}d"
        convolve = getattr(functional, name)
        options = {
            "stride": tuple(attributes["strides"]),
            "padding": tuple(attributes["pads"][:rank]),
            "dilation": tuple(attributes.get("dilations", [1] * rank)),
            "groups": attributes.get("group", 1),
        }
        return lambda x, w, b=None: convolve(x, w, b, **options)
    if kind == "Transpose":
        order, moves = list(attributes["perm"]), node.output[0] == "y"  # what is read by others need not lie in order
        return lambda x: x.permute(order).contiguous() if moves else x.permute(order)
    if kind in {"MaxPool", "AveragePool"}:
        name = "max_pool2d" if kind == "MaxPool" else "avg_pool2d"
        pool, more = getattr(functional, name), {} if kind == "MaxPool" else {"count_include_pad": False}
        kernel, strides, pads = (attributes[a] for a in ("kernel_shape", "strides", "pads"))
        return lambda x: pool(x, tuple(kernel), tuple(strides), tuple(pads[:2]), **more)
    if kind == "LayerNormalization":
        return lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b, attributes["epsilon"])
    if kind == "Resize":
        return lambda x, *_: functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    if kind in {"ReduceL2", "ReduceMean", "ReduceMax"}:
        axes, kept = whole(1), bool(attributes.get("keepdims", 1))
        function = {"ReduceL2": torch.linalg.vector_norm, "ReduceMean": torch.mean, "ReduceMax": torch.amax}[kind]
        return lambda x, _: function(x, dim=axes, keepdim=kept)
    if kind == "Clip":
        low, high = (float(constants[name]) for name in node.input[1:])
        return lambda x, *_: x.clamp_(low, high) if fresh else x.clamp(low, high)
    if kind == "Reshape":
        sizes = whole(1)
        return lambda x, _: x.reshape([x.shape[k] if n == 0 else n for k, n in enumerate(sizes)])
    if kind == "Unsqueeze":
        axes = whole(1)
        return lambda x, _: reduce(lambda y, axis: y.unsqueeze(axis), sorted(axes), x)
    if kind == "Slice":
        where = [slice(None)] * (1 + max(whole(3)))
        for start, stop, axis, step in zip(*(whole(k) for k in (1, 2, 3, 4)), strict=True):
            where[axis] = slice(start, stop, step)
        return lambda x, *_: x[tuple(where)]
    if kind == "Gather":
        axis = attributes.get("axis", 0)
        if node.input[1] in constants:
            places = whole(1)
            if constants[node.input[1]].ndim:
                return lambda x, at: x.index_select(axis, at)
            return lambda x, _: x.select(axis, places[0])
        return lambda w, x: functional.embedding(x, w)
    if kind == "Pad":  # reflected, of height and width
        *_, top, left, _, _, bottom, right = whole(1)
        return lambda x, _: functional.pad(x, (left, right, top, bottom), mode="reflect")
    if kind == "ArgMax":
        return lambda x: torch.argmax(x, attributes["axis"], bool(attributes["keepdims"]))
    if kind == "Gemm":  # with transB
        return lambda x, w, b=None: functional.linear(x, w, b)
    table: dict[str, Callable[..., Any]] = {
        "Relu": torch.relu_ if fresh else torch.relu,
        "Tanh": torch.tanh_ if fresh else torch.tanh,
        "Exp": torch.exp,
        "Erf": torch.erf,
        "Sigmoid": torch.sigmoid,
        "Add": torch.add,
        "Sub": torch.sub,
        "Mul": torch.mul,
        "Div": torch.div,
        "Cast": lambda x: x.float(),
        "Concat": lambda *parts: torch.cat(parts, attributes["axis"]),
        "Gelu": functional.gelu,
        "Softplus": functional.softplus,
        "MatMul": torch.matmul,
        "Softmax": lambda x: torch.softmax(x, attributes.get("axis", -1)),
    }
    return table[kind]
