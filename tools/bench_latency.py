"""`ansorc-bench latency`: a network as it is deployed: percentiles of many calls, what threads gain, and throughput."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import numpy as np

from ansorc.compiler.target import parse_target
from ansorc.runtime.module import CompiledModel
from ansorc.tools.limit_kernels import LimitKernels
from ansorc.tools.limits import STEPS, empty_steps
from ansorc.tools.measure import (
    PAUSE_SECONDS,
    WARM_UP_RUNS,
    Array,
    OtherLoad,
    interleave,
    processor,
    random_inputs,
    seconds,
)
from ansorc.tools.network_engines import ENGINES, Run, prepared, require
from ansorc.tools.networks import NetworkFile

CALLS, WARM_UP_CALLS = 10_000, 20
THROUGHPUT_SECONDS = 3.0
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
BLOCK_CALLS = 100
"""Calls of an engine before the next one's turn."""
ARITHMETIC_CALLS = 25
SCRATCH_BYTES = 1 << 14


@dataclass(frozen=True)
class Latency:
    """How a network's calls are distributed, and how it uses its threads."""

    network: str
    threads: int
    calls: int
    percentiles_ms: dict[str, float]
    one_thread_ms: float
    """The median with one thread, in turn with `all_threads_ms`."""
    all_threads_ms: float
    instances_a_second: float
    """Calls a second of as many instances as there are threads, each on one."""
    other_cores: float
    """What other processes kept busy meanwhile."""
    arithmetic_tail: float
    """The `tail` of arithmetic in registers alone that takes as long, on as many threads, in turn with the calls."""
    step_ns: float | None
    """Of an empty parallel step, in turn with `one_thread_ms`: how far apart the cores lie."""
    peers_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, dict[str, float]])
    """The percentiles of other runtimes, in turn with the calls."""

    @property
    def speed_up(self) -> float:
        """Of all threads over one."""
        return self.one_thread_ms / self.all_threads_ms


@click.command()
@click.argument("model", type=NetworkFile())
@click.option("--calls", default=CALLS, show_default=True, type=click.IntRange(min=100), help="Calls that are timed.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of a call [default: all cores].")
@click.option("--records", metavar="FILE", help="Compile with the best schedules of these records.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(list(ENGINES)), help="Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def latency(
    model: Path, calls: int, threads: int | None, records: str | None, peers: tuple[str, ...], as_json: bool
) -> None:
    """Call MODEL, an ONNX file, a network's name or a compiled library, many times: percentiles, and throughput.

    Other runtimes have their turns between a hundred calls and the next. Throughput is that of several instances in one
    process, each on one thread, beside one that uses all.
    """
    require(peers)
    if model.suffix == ".so":
        for option in [name for name, given in (("--records", records), ("--peer", peers)) if given]:
            raise click.UsageError(f"{option}: {model} is compiled already; give its ONNX file")
        compiled = CompiledModel(model)
    else:
        from ansorc.compiler.driver import compile_model
        from ansorc.compiler.options import Options

        compiled = compile_model(model, Options(records=records))
    if threads is not None:
        compiled.set_threads(threads)
    inputs = random_inputs(compiled)
    runs = {name: prepared(name, model, inputs, compiled.threads) for name in peers}
    measured = measure(model.stem, compiled, inputs, calls, runs)
    click.echo(json.dumps(asdict(measured)) if as_json else "\n".join([processor(), *lines(measured)]))


def measure(
    name: str, model: CompiledModel, inputs: Mapping[str, Array], calls: int, peers: Mapping[str, Run]
) -> Latency:
    """Time calls of a model and of other runtimes; then the model on one thread, and as several instances."""
    threads, load = model.threads, OtherLoad()
    runs = [lambda: model.run(inputs), *peers.values()]
    wanted, *_ = [statistics.median(seconds(run) for _ in range(WARM_UP_CALLS)) for run in runs]
    arithmetic = _Arithmetic(threads, wanted)
    times: list[list[float]] = [[] for _ in runs]
    while len(times[0]) < calls:
        for run, mine in zip(runs, times, strict=True):
            _wait_for_peers(peers)
            for _ in range(WARM_UP_RUNS):
                run()
            mine += [seconds(run) for _ in range(min(BLOCK_CALLS, calls - len(mine)))]
        _wait_for_peers(peers)
        arithmetic.call(ARITHMETIC_CALLS)
    ours, *others = ({f"{p:g}": 1e3 * float(np.percentile(t, p)) for p in PERCENTILES} for t in times)

    def on(count: int) -> None:
        if model.threads != count:
            model.set_threads(count)
        model.run(inputs)

    steps = empty_steps(threads)
    together, alone, *step_ms = interleave([lambda: on(threads), lambda: on(1), *([steps] if steps else [])])
    step_ns = step_ms[0] / STEPS * 1e6 if steps else None
    model.set_threads(1)
    rate = _instances(model, threads)
    model.set_threads(threads)
    return Latency(
        name, threads, calls, ours, alone, together, rate, load.cores(), arithmetic.tail(), step_ns,
        dict(zip(peers, others, strict=True)),
    )  # fmt: skip


def _wait_for_peers(peers: Mapping[str, Run]) -> None:
    if peers:
        time.sleep(PAUSE_SECONDS)  # their threads spin for a while after a run


class _Arithmetic:
    """Multiply-adds in registers: what takes longer than usual of them, the machine made slow."""

    def __init__(self, threads: int, wanted: float) -> None:
        self._kernels = LimitKernels(parse_target("native"))
        self._scratch = [self._kernels.buffer(SCRATCH_BYTES) for _ in range(threads)]
        self._repeats = 1
        while (took := seconds(lambda: self._kernels.fma(self._scratch[0], self._repeats))) < wanted / 2:
            self._repeats *= 2
        self._repeats = max(1, round(self._repeats * wanted / took))
        self._times: list[list[float]] = [[] for _ in self._scratch]

    def call(self, count: int) -> None:
        """Time so many calls on every thread at once."""

        def work(scratch: Array, times: list[float]) -> None:
            found = [seconds(lambda: self._kernels.fma(scratch, self._repeats)) for _ in range(WARM_UP_RUNS + count)]
            times += found[WARM_UP_RUNS:]

        workers = [threading.Thread(target=work, args=pair) for pair in zip(self._scratch, self._times, strict=True)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def tail(self) -> float:
        """Return the 99th percentile over the median."""
        return tail_of(self._times)


def tail_of(times: Sequence[Sequence[float]]) -> float:
    """Return the 99th percentile over the median of calls, [thread][call], that are as slow as their slowest thread."""
    slowest = np.max(times, axis=0)
    return float(np.percentile(slowest, 99) / np.median(slowest))


def _instances(model: CompiledModel, count: int) -> float:
    """Return the calls a second of so many threads, each of which has an instance."""
    done = [0] * count
    begin = threading.Barrier(count + 1)
    stop = threading.Event()

    def work(k: int) -> None:
        inputs = random_inputs(model, k)
        model.run(inputs)
        begin.wait()
        while not stop.is_set():
            model.run(inputs)
            done[k] += 1

    workers = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for worker in workers:
        worker.start()
    begin.wait()
    start = time.perf_counter()
    time.sleep(THROUGHPUT_SECONDS)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(done) / (time.perf_counter() - start)


def tail(percentiles: Mapping[str, float]) -> float:
    """Return how much longer than the median one call of a hundred takes."""
    return percentiles["99"] / percentiles["50"]


def lines(measured: Latency) -> list[str]:
    """Return what was measured, a line for each question."""
    network, ours, threads = measured.network, measured.percentiles_ms, measured.threads
    return [
        f"{network}, {measured.calls} calls, {threads} threads: {_line(ours)}",
        *(f"{peer}: {_line(percentiles)}" for peer, percentiles in measured.peers_ms.items()),
        f"arithmetic alone that takes as long: p99 {measured.arithmetic_tail:.2f} times the median; "
        f"an empty parallel step takes {measured.step_ns or 0:.0f} ns; "
        f"others kept {measured.other_cores:.2f} cores busy",
        f"one thread {measured.one_thread_ms:.3f} ms, {threads} threads {measured.all_threads_ms:.3f} ms: "
        f"{measured.speed_up:.2f} times as fast",
        f"{threads} instances of one thread: {measured.instances_a_second:.1f} calls a second; "
        f"one of {threads} threads: {1e3 / measured.all_threads_ms:.1f}",
    ]


def _line(percentiles: Mapping[str, float]) -> str:
    times = ", ".join(f"p{name} {ms:.3f}" for name, ms in percentiles.items() if name != "50")
    return f"median {percentiles['50']:.3f} ms, {times} ms; p99 {tail(percentiles):.2f} times the median"
