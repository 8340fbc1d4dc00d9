"""The engines that workloads are given to: each is prepared once, and then called without arguments."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ansorc.compiler.driver import compile_model
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.tools.workloads import Array, Case

Run = Callable[[], Any]
"""Computes; `numpy.asarray` makes an array of its result."""


def prepare_ours(
    case: Case, threads: int, candidates: Mapping[str, Candidate] | None = None, records: str | None = None
) -> Run:
    """Compile with the schedules given, by task, those of `records`, and defaults for the others."""
    model = compile_model(case.model, Options(candidates=candidates or {}, records=records, threads=threads))
    return lambda: model.run(case.inputs)["y"]


def prepare_onnxruntime(case: Case, threads: int) -> Run:
    """Open a session on ONNX's own layout."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    model = case.peer_model.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, case.peer_inputs)[0]


def prepare_torch(case: Case, threads: int, faster: Callable[[list[Run]], int]) -> Run:
    """Return eager PyTorch in inference mode: in its own layout or channels last, whichever `faster` picks."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    formats = {4: [None, torch.channels_last], 5: [None, torch.channels_last_3d]}
    kinds = {node.op_type for node in case.peer_model.graph.node}
    has_channels = bool(kinds & {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "Resize"})
    rank = max(x.ndim for x in case.peer_inputs.values())
    runs = [
        _torch_run(torch, case.peer_model, case.peer_inputs, layout)
        for layout in (formats.get(rank, [None]) if has_channels else [None])
    ]
    return runs[faster(runs)]


def _torch_run(torch: Any, model: onnx.ModelProto, inputs: dict[str, Array], layout: Any) -> Run:
    """Translate a graph into calls of torch, in order."""
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    values: dict[str, Any] = {}
    for name, array in {**inputs, **weights}.items():
        value = torch.from_numpy(np.array(array))
        values[name] = value if layout is None or value.dim() < 4 else value.contiguous(memory_format=layout)
    calls = [
        (_torch_call(torch, node, values), [name for name in node.input if name], node.output[0])
        for node in model.graph.node
    ]

    def run() -> Any:
        with torch.inference_mode():
            known = dict(values)
            for call, names, target in calls:
                known[target] = call(*[known[name] for name in names])
            return known["y"]

    return run


def _torch_call(torch: Any, node: onnx.NodeProto, constants: dict[str, Any]) -> Callable[..., Any]:
    """Return what computes a node. Activations write over their argument, a fresh result."""
    functional = torch.nn.functional
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kind = node.op_type
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
    if kind == "ReduceL2":
        axes = constants[node.input[1]].tolist()
        return lambda x, _: torch.linalg.vector_norm(x, dim=axes)
    if kind == "Clip":
        low, high = (float(constants[name]) for name in node.input[1:])
        return lambda x, *_: x.clamp_(low, high)
    table: dict[str, Callable[..., Any]] = {
        "Relu": torch.relu_,
        "Tanh": torch.tanh_,
        "Exp": torch.exp,
        "Sigmoid": torch.sigmoid,
        "Add": torch.add,
        "Mul": torch.mul,
        "Concat": lambda *parts: torch.cat(parts, attributes["axis"]),
        "Gelu": functional.gelu,
        "MatMul": torch.matmul,
        "Gemm": functional.linear,  # with transB
        "Softmax": lambda x: torch.softmax(x, -1),
    }
    return table[kind]


def version(package: str) -> str:
    """Return a peer's version."""
    return metadata.version(package)
