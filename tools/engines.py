"""The engines that workloads are given to: each is prepared once, and then called without arguments."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import numpy as np

from ansorc.compiler.driver import compile_model
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.tools.torch_graph import channels_last, graph_module
from ansorc.tools.workloads import Case

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
    kinds = {node.op_type for node in case.peer_model.graph.node}
    has_channels = bool(kinds & {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "Resize"})
    layouts = (False, True) if has_channels and any(x.ndim in (4, 5) for x in case.peer_inputs.values()) else (False,)
    runs = [_torch_run(torch, case, last=last) for last in layouts]
    return runs[faster(runs)]


def _torch_run(torch: Any, case: Case, *, last: bool) -> Run:
    module = graph_module(torch, case.peer_model, last=last)
    values = [torch.from_numpy(np.array(x)) for x in case.peer_inputs.values()]
    if last:
        values = [channels_last(torch, v) for v in values]

    def run() -> Any:
        with torch.inference_mode():
            return module(*values)[0]

    return run


def version(package: str) -> str:
    """Return a peer's version."""
    return metadata.version(package)
