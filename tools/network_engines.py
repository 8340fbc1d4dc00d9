"""Other engines that run whole networks: each reads an ONNX file once, and is then called without arguments."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from numpy.typing import NDArray

from ansorc.tools.measure import interleave, missing

Array = NDArray[Any]
Run = Callable[[], Sequence[Any]]
"""Computes; `numpy.asarray` makes arrays of the outputs, which are in the model's order."""
Prepare = Callable[[Path, Mapping[str, Array], int], Run]
"""Of a model, its inputs in the model's order, and a number of threads."""


def onnxruntime(model: Path, inputs: Mapping[str, Array], threads: int) -> Run:
    """Open a session."""
    library: Any = importlib.import_module("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = library.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def openvino(model: Path, inputs: Mapping[str, Array], threads: int) -> Run:
    """Compile for the least latency, in f32: by itself it takes bf16 where the processor has it."""
    library: Any = importlib.import_module("openvino")
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = library.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda: list(request.infer(inputs).values())


def torch(model: Path, inputs: Mapping[str, Array], threads: int) -> Run:
    """Return eager PyTorch, in its own layout or channels last, whichever is faster."""
    return _fastest([_eager(model, inputs, threads, last) for last in (False, True)])


def inductor(model: Path, inputs: Mapping[str, Array], threads: int) -> Run:
    """Return what torch.compile makes, with its weights frozen, in either layout, whichever is faster."""
    compiler, dynamo = (importlib.import_module(f"torch._{name}") for name in ("inductor.config", "dynamo"))
    compiler.freezing = True  # pyright: ignore[reportAttributeAccessIssue]
    dynamo.reset()  # the last network's graph is computed by the same code: shapes would count as dynamic
    return _fastest([_eager(model, inputs, threads, last, compiled=True) for last in (False, True)])


ENGINES: Mapping[str, Prepare] = {f.__name__: f for f in (onnxruntime, openvino, torch, inductor)}
PACKAGES: Mapping[str, str] = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "torch": "torch",
    "inductor": "torch",
}
"""What they need."""


def require(engines: Iterable[str]) -> None:
    """Raise BadParameter where an engine is not installed."""
    for package in {PACKAGES[name] for name in engines}:
        if missing(package):
            raise click.BadParameter(f"{package} is missing: pip install 'ansorc[bench]'", param_hint="--peer")


def prepared(engine: str, model: Path, inputs: Mapping[str, Array], threads: int) -> Run:
    """Let an engine read an ONNX file; raises ClickException where it cannot."""
    try:
        return ENGINES[engine](model, inputs, threads)
    except Exception as error:  # whatever another engine raises
        raise click.ClickException(f"{engine} cannot run {model}: {type(error).__name__}: {error}") from error


def _eager(model: Path, inputs: Mapping[str, Array], threads: int, last: bool, *, compiled: bool = False) -> Run:
    torch_library: Any = importlib.import_module("torch")
    torch_library.set_num_threads(threads)
    graphs = importlib.import_module("ansorc.tools.torch_graph")
    module = graphs.graph_module(torch_library, importlib.import_module("onnx").load(model), last=last)
    values = [torch_library.from_numpy(x.copy()) for x in inputs.values()]
    if last:
        values = [graphs.channels_last(torch_library, v) for v in values]
    call = torch_library.compile(module, dynamic=False) if compiled else module

    def run() -> Sequence[Any]:
        with torch_library.no_grad():  # torch.compile freezes weights in this mode only
            return call(*values)

    return run


def _fastest(runs: Sequence[Run]) -> Run:
    times = interleave(runs, rounds=2)
    return runs[times.index(min(times))]
