"""`ansorc-bench networks`: whole models beside onnxruntime, with what compiling them costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import numpy as np
import psutil

from ansorc.runtime.module import CompiledModel
from ansorc.tools.measure import interleave, processor, random_inputs, relative_error

SAMPLE_SECONDS = 0.02
MEGABYTE = 1e6


@dataclass(frozen=True)
class NetworkFigures:
    """One line of `ansorc-bench networks`."""

    network: str
    error: float
    """Largest difference from onnxruntime, relative to the largest magnitude of the output."""
    ours_ms: float
    peer_ms: float
    ratio: float
    cold_s: float
    """Wall time of `ansorc` with --no-cache."""
    cached_s: float
    peak_mb: float
    """Memory of `ansorc` and its workers together (proportional set size), cold."""
    model_mb: float
    library_mb: float
    load_ms: float


COLUMNS = {  # title: format, one for each field of NetworkFigures
    "network": "{:<24}",
    "error": "{:>8.1e}",
    "ours ms": "{:>8.2f}",
    "ort ms": "{:>8.2f}",
    "ratio": "{:>6.2f}",
    "cold s": "{:>7.1f}",
    "cached s": "{:>9.1f}",
    "peak MB": "{:>8.0f}",
    "onnx MB": "{:>8.1f}",
    "lib MB": "{:>7.1f}",
    "load ms": "{:>8.2f}",
}


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--threads", default=0, help="Threads of both engines [default: all cores].")
@click.option("--records", metavar="FILE", help="Compile with the best schedules of these records.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def networks(models: tuple[Path, ...], threads: int, records: str | None, as_json: bool) -> None:
    """Compile each of MODELS by the command line, load it without the compiler, compare with onnxruntime.

    Inputs are standard normal numbers, and 0 or 1 for integers. Runs of both engines alternate:
    a pause, two untimed runs, eight timed ones, five times; the figures are medians.
    """
    if not as_json:
        click.echo(processor())
        click.echo(" ".join(re.sub(r"\.\d.", "", form).format(title) for title, form in COLUMNS.items()))
    for model in models:
        figures = measure_network(model, threads or len(psutil.Process().cpu_affinity() or [0]), records)
        if as_json:
            click.echo(json.dumps(asdict(figures)))
        else:
            values = [getattr(figures, f.name) for f in fields(figures)]
            click.echo(" ".join(form.format(value) for form, value in zip(COLUMNS.values(), values, strict=True)))


def measure_network(model: Path, threads: int, records: str | None = None) -> NetworkFigures:
    """Measure one ONNX file; needs onnxruntime."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "model.so"
        environment = {"XDG_CACHE_HOME": folder}
        flags = [] if records is None else ["--records", records]
        cold, peak = _run_compiler(model, library, [*flags, "--no-cache"], environment)
        _run_compiler(model, library, flags, environment)
        cached, _ = _run_compiler(model, library, flags, environment)
        start = time.perf_counter()
        ours = CompiledModel(library)
        load = time.perf_counter() - start
        compiler = {"mlir", "llvmlite", "onnx"} & set(sys.modules)
        if compiler:
            raise RuntimeError(f"the library is to be loaded without the compiler, but {compiler} are imported")
        ours.set_threads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        peer = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        inputs = random_inputs(ours)
        results = ours.run(inputs)
        expected = peer.run(list(results), inputs)
        error = max(relative_error(a, b) for a, b in zip(results.values(), map(np.asarray, expected), strict=True))
        ours_ms, peer_ms = interleave([lambda: ours.run(inputs), lambda: peer.run(None, inputs)])
        return NetworkFigures(
            model.name.split(".")[0], error, ours_ms, peer_ms, ours_ms / peer_ms, cold, cached,
            peak / MEGABYTE, model.stat().st_size / MEGABYTE, library.stat().st_size / MEGABYTE, 1e3 * load,
        )  # fmt: skip


def _run_compiler(model: Path, library: Path, flags: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Run `ansorc`; return seconds, and bytes of memory at most (its own and its workers')."""
    arguments = [sys.executable, "-m", "ansorc", str(model), "-o", str(library), *flags]
    start = time.perf_counter()
    process = psutil.Popen(arguments, env={**psutil.Process().environ(), **environment}, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise click.ClickException(process.stderr.read().decode().strip())
    return seconds, peak


def _memory(process: psutil.Process) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_full_info().pss
    except psutil.Error:
        pass  # it ended in the meantime
    return total
