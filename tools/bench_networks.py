"""`ansorc-bench networks`: whole models beside other runtimes, with what compiling them costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

from ansorc.runtime.module import CompiledModel
from ansorc.tools.limits import STEPS, empty_steps
from ansorc.tools.measure import (
    OtherLoad,
    geometric_mean,
    interleave,
    missing,
    processor,
    random_inputs,
    relative_error,
)
from ansorc.tools.network_engines import ENGINES, prepared, require
from ansorc.tools.networks import network_file

SAMPLE_SECONDS = 0.02
MEGABYTE = 1e6
REFERENCE = "onnxruntime"
DIFFERENT = 1e-3
"""A peer whose outputs differ by more computes something else: its time says nothing."""
BUSY = 0.1
"""Cores that others may keep busy on a quiet machine."""


@dataclass(frozen=True)
class NetworkFigures:
    """What was measured of one model."""

    network: str
    batch: int
    error: float
    """Largest difference from onnxruntime, relative to the largest magnitude of the output."""
    ours_ms: float
    peers_ms: Mapping[str, float]
    speedup: float
    """The fastest peer's time over ours."""
    cold_s: float
    """Wall time of `ansorc` with --no-cache."""
    cached_s: float
    peak_mb: float
    """Memory of `ansorc` and its workers together (proportional set size), cold."""
    model_mb: float
    library_mb: float
    load_ms: float
    busy_cores: float
    """What other processes used meanwhile."""
    step_ns: float | None
    """Of an empty parallel step, in turn with the engines: how far apart the cores lie."""


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--network", "names", multiple=True, help="A network by name, such as resnet-50; repeatable.")
@click.option("--batch", "batches", multiple=True, type=int, help="Of the networks by name; repeatable [default: 1].")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    type=click.Choice(list(ENGINES)),
    default=[REFERENCE],
    show_default=True,
    help="Repeatable.",
)
@click.option("--threads", default=0, help="Threads of all engines [default: all cores].")
@click.option("--records", metavar="FILE", help="Compile with the best schedules of these records.")
@click.option("--cost-model", metavar="FILE", help="What chooses schedules without a record; or none.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the speeds of all engines; needs matplotlib.")
def networks(
    models: tuple[Path, ...], names: tuple[str, ...], batches: tuple[int, ...], peers: tuple[str, ...], threads: int,
    records: str | None, cost_model: str | None, as_json: bool, picture: Path | None,
) -> None:  # fmt: skip
    """Compile each of MODELS by the command line, load it without the compiler, compare with other runtimes.

    Inputs are standard normal numbers, and 0 or 1 for integers. Runs of all engines alternate:
    a pause, two untimed runs, eight timed ones, five times; the figures are medians.
    """
    require((REFERENCE, *peers))
    if picture is not None and missing("matplotlib"):
        raise click.BadParameter("needs matplotlib: pip install 'ansorc[bench]'", param_hint="--picture")
    models = (*models, *(network_file(name, batch) for name in names for batch in batches or (1,)))
    if not models:
        raise click.UsageError("no MODELS, and no --network")
    flags = [
        f for name, value in (("--records", records), ("--cost-model", cost_model)) if value for f in (name, value)
    ]
    width = max(len(model.name.split(".")[0]) for model in models)
    if not as_json:
        click.echo(processor())
        click.echo(heading(peers, width))
    found: list[NetworkFigures] = []
    for model in models:
        found.append(measure_network(model, threads or len(psutil.Process().cpu_affinity() or [0]), peers, flags))
        click.echo(json.dumps(asdict(found[-1])) if as_json else line(found[-1], width))
    if not as_json:
        mean = geometric_mean([f.speedup for f in found])
        click.echo(f"geometric mean of the best peer over ours: {mean:.2f}, least {min(f.speedup for f in found):.2f}")
    if picture is not None:
        draw(found, picture)


def heading(peers: Sequence[str], width: int) -> str:
    """Return the titles of `line`."""
    columns = " ".join(f"{f'{p} ms':>{max(8, len(p) + 3)}}" for p in ("ours", *peers))
    return (
        f"{'network':{width}} {'batch':>5} {'error':>8} {columns} {'speed-up':>8} {'cold s':>7} {'cached s':>9}"
        f" {'peak MB':>8} {'onnx MB':>8} {'lib MB':>7} {'load ms':>8} {'step ns':>8}"
    )


def line(f: NetworkFigures, width: int) -> str:
    """Return a network's figures; the speed-up is over the fastest peer."""
    columns = " ".join(f"{ms:>{max(8, len(p) + 3)}.2f}" for p, ms in {"ours": f.ours_ms, **f.peers_ms}.items())
    disturbed = f"  disturbed: others kept {f.busy_cores:.1f} cores busy" if f.busy_cores > BUSY else ""
    return (
        f"{f.network:{width}} {f.batch:>5} {f.error:>8.1e} {columns} {f.speedup:>8.2f} {f.cold_s:>7.1f}"
        f" {f.cached_s:>9.1f} {f.peak_mb:>8.0f} {f.model_mb:>8.1f} {f.library_mb:>7.1f} {f.load_ms:>8.2f}"
        f" {f.step_ns or 0:>8.0f}{disturbed}"
    )


def measure_network(
    model: Path, threads: int, peers: Sequence[str] = (REFERENCE,), flags: Sequence[str] = ()
) -> NetworkFigures:
    """Measure one ONNX file; `flags` are given to `ansorc`. Needs onnxruntime."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "model.so"
        environment = {"XDG_CACHE_HOME": folder}
        cold, peak = _run_compiler(model, library, [*flags, "--no-cache"], environment)
        _run_compiler(model, library, flags, environment)
        cached, _ = _run_compiler(model, library, flags, environment)
        before = set(sys.modules)
        start = time.perf_counter()
        ours = CompiledModel(library)
        load = time.perf_counter() - start
        compiler = {"mlir", "llvmlite", "onnx"} & (set(sys.modules) - before)
        if compiler:
            raise RuntimeError(f"a library loads without the compiler, but {compiler} were imported for it")
        ours.set_threads(threads)
        inputs = random_inputs(ours)
        results = ours.run(inputs)
        runs = {name: prepared(name, model, inputs, threads) for name in dict.fromkeys((REFERENCE, *peers))}
        expected = [np.asarray(x) for x in runs[REFERENCE]()]
        error = _error(list(results.values()), expected)
        for name in (n for n in peers if (off := _error(runs[n](), expected)) > DIFFERENT):
            raise click.ClickException(f"{name} computes something else of {model}: off by {off:.1g}")
        batch = next((t.shape[0] for t in ours.inputs if t.shape), 1)
        load_of_others = OtherLoad()
        steps = empty_steps(threads)
        engines = [lambda: ours.run(inputs), *(runs[name] for name in peers)]
        ours_ms, *times = interleave([*engines, *([steps] if steps else [])])
        step_ns = times.pop() / STEPS * 1e6 if steps else None
        peers_ms = dict(zip(peers, times, strict=True))
        return NetworkFigures(
            model.name.split(".")[0], batch, error, ours_ms, peers_ms,
            min(times) / ours_ms, cold, cached, peak / MEGABYTE, model.stat().st_size / MEGABYTE,
            library.stat().st_size / MEGABYTE, 1e3 * load, load_of_others.cores(), step_ns,
        )  # fmt: skip


def _error(found: Sequence[Any], expected: Sequence[Any]) -> float:
    return max(relative_error(np.asarray(a), b) for a, b in zip(found, expected, strict=True))


def draw(found: Sequence[NetworkFigures], path: Path) -> None:
    """Draw each engine's speed over that of the fastest peer."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    engines = [*found[0].peers_ms, "ansorc"]
    figure, axes = plt.subplots(figsize=(max(6, 1.4 * len(found)), 4), layout="constrained")
    for k, engine in enumerate(engines):
        times = [{**f.peers_ms, "ansorc": f.ours_ms}[engine] for f in found]
        speeds = [min(f.peers_ms.values()) / ms for f, ms in zip(found, times, strict=True)]
        axes.bar([n + 0.8 * k / len(engines) for n in range(len(found))], speeds, 0.8 / len(engines), label=engine)
    axes.axhline(1.0, color="0.4", linewidth=0.8)
    axes.set_xticks([n + 0.4 - 0.4 / len(engines) for n in range(len(found))], [f.network for f in found], rotation=20)
    axes.set_ylabel("speed over the fastest peer's")
    axes.legend(ncols=len(engines), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.savefig(path)
    plt.close(figure)


def _run_compiler(model: Path, library: Path, flags: Sequence[str], environment: dict[str, str]) -> tuple[float, int]:
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
