"""`ansorc-bench profile`: what each task takes inside the running network, beside its bound, and what lies between."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
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
from ansorc.tools.limits import measure_limits
from ansorc.tools.measure import processor
from ansorc.tools.networks import NetworkFile

Array = NDArray[Any]
RUNS, WARM_UP_RUNS = 30, 5
MOVING = {
    "linalg": ("generic", "yield", "index", "transpose", "copy", "broadcast", "fill", "iterator_type"),
    "arith": ("constant", "index_cast"),
}
"""Operations that compute nothing by themselves, by dialect."""


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
    moved_bytes: int = 0
    """What it reads and writes, if it computes nothing: transposes, borders, concatenations."""


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
    whichever takes longer; both are measured first.
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
    touched = {name: _touched_bytes(text) for name, text in source.code.items()}
    known = {t.name: t for t in tasks_of(source, machine_of(options.target), exact=options.exact)}
    figures = tuple(
        CallFigures(
            c.task,
            tasks[c.task].facts.kind,
            known[c.task].shape,
            ns / 1e6,
            limits.least_ms(int(known[c.task].flops), touched[c.task]),
            share,
            0 if computes(source.code[c.task]) else touched[c.task],
        )
        for c, ns, share in zip(assembly.memory.calls, took.tolist(), shares.tolist(), strict=True)
    )
    whole = statistics.median(float(r[:, 1].max() - r[:, 0].min()) for r in rows)
    said = f"FMA {limits.fma_all_cores:.0f} GFLOP/s, memory {limits.levels[-1].all_cores:.0f} GB/s, {threads} threads"
    return NetworkProfile(source.name, threads, figures, whole / 1e6, 1e3 * statistics.median(totals), said)


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
    made += [
        f"{len(calls)} calls {inside:.3f} ms, their bounds {bound:.3f} ms ({100 * bound / inside:.0f}%)",
        f"moved only to be moved: {sum(c.moved_bytes for c in moving) / 1e6:.2f} MB by {len(moving)} calls, "
        f"{sum(c.ms for c in moving):.3f} ms ({100 * sum(c.ms for c in moving) / total:.1f}%)",
        f"between them {total - inside:.3f} ms ({100 * (total - inside) / total:.1f}%)",
        f"{measured.network}: {total:.3f} ms; without clocks {measured.plain_ms:.3f} ms",
    ]
    return made


def computes(task: str) -> bool:
    """Whether a task, as text of the stage `linalg`, does more than move what it reads."""
    operations = re.findall(r"\b(linalg|arith|math)\.(\w+)", task)
    return any(name not in MOVING.get(dialect, ()) for dialect, name in operations)


def _touched_bytes(task: str) -> int:
    return sum(int(np.prod(t.shape)) * np.dtype(t.dtype).itemsize for t in types_of_task(task))
