"""`ansorc-bench profile`: what each task takes inside the running network, beside its bound, and what lies between."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from mlir import ir
from numpy.typing import NDArray

from ansorc.compiler.assemble import assemble
from ansorc.compiler.driver import read, to_tasks, with_schedules
from ansorc.compiler.measure import types_of_task
from ansorc.compiler.measuring.running_network import RunningNetwork
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.search.task import tasks_of
from ansorc.compiler.target import usable_cores
from ansorc.compiler.task_job import machine_of
from ansorc.compiler.tasks import compile_tasks
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.schedule.block_channels import constant_arguments
from ansorc.tools.limits import measure_limits
from ansorc.tools.measure import processor
from ansorc.tools.moved_bytes import computes, copied_bytes
from ansorc.tools.networks import NetworkFile

Array = NDArray[Any]
RUNS, WARM_UP_RUNS = 30, 5


@dataclass(frozen=True)
class CallFigures:
    """One call of a task; times are medians over runs."""

    task: str
    kind: str
    """The kind of its schedule."""
    shape: str
    """The extents of its loops; empty where it has no schedule."""
    ms: float
    """From its first chunk's begin to its last one's end."""
    bound_ms: float
    """What the machine takes at least, for so much arithmetic on so many bytes."""
    busy: float
    """The share of the threads' time that chunks ran in."""
    fma_ms: float = 0.0
    """What its arithmetic alone takes at least."""
    moved_bytes: int = 0
    """What it reads and writes, if it computes nothing: transposes, borders, concatenations."""
    copied_bytes: int = 0
    """What it writes as it read it, if it computes something: panels, borders, columns."""


@dataclass(frozen=True)
class NetworkProfile:
    """A network, call by call."""

    network: str
    threads: int
    calls: tuple[CallFigures, ...]
    total_ms: float
    """From the first call's begin to the last one's end."""
    plain_ms: float
    """A whole run, without clocks."""
    between_ms: float
    """What of a run is in none of its calls. Medians of all calls together are less than a run without that: in each
    run some call or other takes longer than it mostly does."""
    limits: str

    @property
    def inside_ms(self) -> float:
        """What the calls take together."""
        return sum(c.ms for c in self.calls)


@click.command()
@click.argument("model", type=NetworkFile())
@click.option("--threads", type=int, help="Threads of the network [default: all cores].")
@click.option("--records", metavar="FILE", help="Compile with the best schedules of these records.")
@click.option("--runs", default=RUNS, show_default=True, type=click.IntRange(min=1), help="Timed runs.")
@click.option("--by-time", is_flag=True, help="The longest call first, instead of the program's order.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def profile(model: Path, threads: int | None, records: str | None, runs: int, by_time: bool, as_json: bool) -> None:
    """Time every task of MODEL inside the running network.

    A task's bound is its arithmetic at the FMA peak, or its bytes at the bandwidth of the memory that holds them,
    whichever takes longer; both are measured first. Weights come from memory where the network's exceed the caches.
    """
    options = Options(threads=threads, records=records)
    measured = profile_network(to_tasks(read(model, options), options), options, runs)
    if as_json:
        click.echo(json.dumps(asdict(measured)))
        return
    click.echo(f"{processor()}\n{measured.limits}")
    for line in lines(measured, by_time=by_time):
        click.echo(line)


def profile_network(source: Program, options: Options, runs: int = RUNS) -> NetworkProfile:
    """Compile a program of the stage `linalg`, run it, and time each call."""
    if source.stage != "linalg" or not source.code:
        raise click.ClickException(f"{source.name}: nothing to time: expected an ONNX model that computes something")
    options = with_schedules(source, options)
    tasks = compile_tasks(source, "object", options).tasks
    assembly = assemble(source, {name: t.facts for name, t in tasks.items()}, options.threads)
    threads = options.threads or usable_cores()
    limits = measure_limits(threads)
    plain, clocks = (RunningNetwork(source, tasks, assembly, options.target, clocks=c) for c in (False, True))
    totals: list[float] = []
    rows: list[Array] = []
    for k in range(WARM_UP_RUNS + runs):
        seconds = plain.run(threads)
        clocks.run(threads)
        if k >= WARM_UP_RUNS:
            totals.append(seconds)
            rows.append(clocks.calls())
    began, ended, busy = np.array(rows).transpose(2, 0, 1)
    took = np.median(ended - began, axis=0)
    shares = np.median(busy / (threads * np.maximum(1.0, ended - began)), axis=0)
    buffers = compile_tasks(source, "bufferized", options).tasks
    touched = {name: _bytes(text, buffers[name].code) for name, text in source.code.items()}
    streamed = sum(w.nbytes for w in source.weights.values()) > limits.levels[-2].size
    known = {t.name: t for t in tasks_of(source, machine_of(options.target), exact=options.exact)}

    def figures(task: str, ms: float, busy: float) -> CallFigures:
        flops, its, moves = int(known[task].flops), touched[task], not computes(source.code[task])
        bound = limits.least_ms(flops, its.weights + its.activations)
        if streamed:
            bound = max(bound, limits.memory_ms(its.weights) + limits.least_ms(0, its.activations))
        return CallFigures(
            task, tasks[task].facts.kind, known[task].shape, ms, bound, busy, limits.least_ms(flops, 0),
            its.weights + its.activations if moves else 0, 0 if moves else its.copied,
        )  # fmt: skip

    calls = tuple(
        figures(c.task, ns / 1e6, share)
        for c, ns, share in zip(assembly.memory.calls, took.tolist(), shares.tolist(), strict=True)
    )
    whole_ms = float(np.median(ended.max(axis=1) - began.min(axis=1))) / 1e6
    between_ms = between(began, ended) / 1e6
    said = f"FMA {limits.fma_all_cores:.0f} GFLOP/s, memory {limits.levels[-1].all_cores:.0f} GB/s, {threads} threads"
    return NetworkProfile(source.name, threads, calls, whole_ms, 1e3 * statistics.median(totals), between_ms, said)


def between(began: Array, ended: Array) -> float:
    """Return what of a run is in none of its calls, the median over runs; [run][call]."""
    return float(np.median(ended.max(axis=1) - began.min(axis=1) - (ended - began).sum(axis=1)))


def lines(measured: NetworkProfile, *, by_time: bool = False) -> list[str]:
    """Return the table of a profile, and what lies between its calls."""
    total = measured.total_ms
    made = [f"{'ms':>9} {'%':>5} {'bound':>9} {'of it':>6} {'busy':>5}  task"]
    calls: Sequence[CallFigures] = measured.calls
    if by_time:
        calls = sorted(calls, key=lambda c: -c.ms)
    for c in calls:
        share = f"{100 * c.bound_ms / c.ms:5.0f}%" if c.ms else ""
        what = " ".join(part for part in (c.task, c.kind, c.shape) if part)
        made.append(f"{c.ms:9.4f} {100 * c.ms / total:5.1f} {c.bound_ms:9.4f} {share:>6} {100 * c.busy:4.0f}%  {what}")
    inside, bound = measured.inside_ms, sum(c.bound_ms for c in measured.calls)
    moving = [c for c in calls if c.moved_bytes]
    copying = [c for c in calls if c.copied_bytes]
    made += [
        f"{len(calls)} calls {inside:.3f} ms, their bounds {bound:.3f} ms ({100 * bound / inside:.0f}%), "
        f"their arithmetic {sum(c.fma_ms for c in calls):.3f} ms",
        f"moved only to be moved: {sum(c.moved_bytes for c in moving) / 1e6:.2f} MB by {len(moving)} calls, "
        f"{sum(c.ms for c in moving):.3f} ms ({100 * sum(c.ms for c in moving) / total:.1f}%); "
        f"copied within others: {sum(c.copied_bytes for c in copying) / 1e6:.2f} MB by {len(copying)}",
        f"between them {measured.between_ms:.3f} ms ({100 * measured.between_ms / total:.1f}%)",
        f"{measured.network}: {total:.3f} ms; without clocks {measured.plain_ms:.3f} ms",
    ]
    return made


@dataclass(frozen=True)
class _Bytes:
    """What a task touches, by where it comes from, and what it copies within."""

    weights: int
    activations: int
    copied: int


def _bytes(task: str, bufferized: bytes) -> _Bytes:
    sizes = [int(np.prod(t.shape)) * np.dtype(t.dtype).itemsize for t in types_of_task(task)]
    with context(), ir.Location.unknown():
        constants = constant_arguments(next(functions(ir.Module.parse(task))))
        copied = copied_bytes(ir.Module.parse(bufferized.decode()))
    weights = sum(sizes[k] for k in constants)
    return _Bytes(weights, sum(sizes) - weights, copied)
