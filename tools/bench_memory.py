"""`ansorc-bench memory`: what engines hold in memory once a network is loaded, and at most while it runs.

Each engine has a process of its own, which loads nothing else. What it held before, with its libraries imported, is
taken off: the figures are those of the network.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from ansorc.runtime.module import CompiledModel
from ansorc.tools.measure import processor, random_inputs
from ansorc.tools.network_engines import ENGINES, PACKAGES, Run, require
from ansorc.tools.networks import NetworkFile

OURS, PEERS = "ansorc", ("onnxruntime", "openvino")
RUNS = 5
MEGABYTE = 1024.0
"""Linux counts in KiB."""


@dataclass(frozen=True)
class Memory:
    """Of one engine with one network, in MB beyond what the process held before."""

    engine: str
    loaded: float
    """After loading and a first run."""
    peak: float
    """At most, while it ran again."""
    before: float
    """What the process held before: the interpreter, and the engine's libraries."""
    building: float
    """At most, while it loaded."""


@click.command()
@click.argument("model", type=NetworkFile())
@click.option("--peer", "peers", multiple=True, type=click.Choice(PEERS), help="Repeatable.")
@click.option("--threads", default=0, help="Threads of all engines [default: all cores].")
@click.option("--records", metavar="FILE", help="Compile with the best schedules of these records.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def memory(model: Path, peers: tuple[str, ...], threads: int, records: str | None, as_json: bool) -> None:
    """Load MODEL, an ONNX file or the name of a network, into each engine in a process of its own, and run it."""
    require(peers)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "model.so"
        flags = ["--records", records] if records is not None else []
        _call(["ansorc", str(model), "-o", str(library), *flags])
        compiled = CompiledModel(library)
        np.savez(library.with_suffix(".npz"), **random_inputs(compiled))  # pyright: ignore[reportArgumentType]
        threads = threads or compiled.threads
        found = [
            Memory(**json.loads(_call(["ansorc.tools.bench_memory", engine, str(model), str(library), str(threads)])))
            for engine in (OURS, *peers)
        ]
    if as_json:
        click.echo(json.dumps({"network": model.stem, "engines": [asdict(m) for m in found]}))
        return
    click.echo(f"{processor()}\n{model.stem}: MB beyond the engine's own")
    for m in found:
        click.echo(
            f"{m.engine:12} loaded {m.loaded:8.1f}  running {m.peak:8.1f}  while loading {m.building:8.1f}"
            f"  (before {m.before:.1f})"
        )


def _call(arguments: Sequence[str]) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr.strip())
    return done.stdout


def measure(engine: str, model: Path, library: Path, threads: int) -> Memory:
    """Measure this process, which has loaded nothing yet but the interpreter and numpy."""
    if engine != OURS:
        importlib.import_module(PACKAGES[engine])
    inputs = dict(np.load(library.with_suffix(".npz")))
    _tidy()
    before = _resident()
    run = _ours(library, inputs, threads) if engine == OURS else ENGINES[engine](model, inputs, threads)
    run()
    building = _peak()
    _tidy()
    loaded = _resident()
    for _ in range(RUNS):
        run()
    return Memory(engine, loaded - before, _peak() - before, before, building - before)


def _ours(library: Path, inputs: dict[str, np.ndarray], threads: int) -> Run:
    compiled = CompiledModel(library)
    compiled.set_threads(threads)
    return lambda: list(compiled.run(inputs).values())


def _tidy() -> None:
    """Give back what is free, and forget the peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def _resident() -> float:
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / MEGABYTE
    raise click.ClickException(f"this system does not say {name} of a process")


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))))
