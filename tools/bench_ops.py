"""`ansorc-bench ops`: single layers beside PyTorch and onnxruntime, and beside what the machine can do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from ansorc.compiler.errors import AnsorcError
from ansorc.compiler.target import usable_cores
from ansorc.frontends.errors import ModelError
from ansorc.runtime.errors import RuntimeFailure
from ansorc.tools import sampled
from ansorc.tools.bench_peak import limits_text, too_low
from ansorc.tools.engines import Run, prepare_onnxruntime, prepare_ours, prepare_torch, version
from ansorc.tools.limits import Limits, measure_limits
from ansorc.tools.measure import (
    BUSY_CORES,
    geometric_mean,
    interleave,
    missing,
    processor,
    relative_error,
    seconds,
    undisturbed,
)
from ansorc.tools.roofline_picture import draw
from ansorc.tools.suites import SUITES
from ansorc.tools.workloads import Array, Case, Workload

TOLERANCE = 1e-4
ROUNDS, BLOCK_SECONDS = 4, 0.05
WARM_UP_SECONDS = 0.1
"""After a pause, the first runs wait for threads to wake up and to spread over the cores."""
CHEAP_FLOPS = 2 * 10**8
"""Up to here, results are compared with numpy in float64; beyond, with the first peer while all engines agree."""
OURS, TORCH, ONNXRUNTIME = "ansorc", "torch", "onnxruntime"
DEFAULT = "ansorc untuned"
PEERS = (TORCH, ONNXRUNTIME)
BATCHES = {"1": (1,), "16": (16,), "both": (1, 16)}


@dataclass(frozen=True)
class OpFigures:
    """One line of `ansorc-bench ops`."""

    suite: str
    operator: str
    name: str
    batch: int
    gflop: float
    touched: int
    """Bytes of inputs, weights and output."""
    least_ms: float
    """What the machine's limits allow."""
    ms: dict[str, float]
    """Times by engine; an engine that failed or was wrong has none."""
    errors: dict[str, float]
    """Largest difference from what should come out, relative to the largest magnitude, by engine."""
    failures: dict[str, str]
    """Why an engine has no time."""
    default_ms: float | None = None
    """Our time with default schedules, where candidates were sampled."""
    others: float = 0.0
    """Cores that other processes kept busy in the meantime."""
    sampled: tuple[str, ...] = ()
    """Of each task whose candidates were sampled, which was the best, and what code they have."""

    def gflops(self, engine: str) -> float | None:
        """Return the GFLOP/s of an engine."""
        return 1e3 * self.gflop / self.ms[engine] if engine in self.ms else None

    @property
    def intensity(self) -> float:
        """Floating-point operations for each byte of inputs, weights and output."""
        return 1e9 * self.gflop / self.touched

    @property
    def disturbed(self) -> bool:
        """Whether others kept the machine so busy that the times count for nothing."""
        return self.others > BUSY_CORES

    @property
    def best_peer(self) -> str | None:
        """The fastest peer that was right."""
        return min((p for p in PEERS if p in self.ms), key=lambda p: self.ms[p], default=None)

    def ratio(self, peer: str | None) -> float | None:
        """Return our time over a peer's; None where either has none."""
        return self.ms[OURS] / self.ms[peer] if OURS in self.ms and peer in self.ms else None

    @property
    def utilisation(self) -> float | None:
        """Percent of the bound that ours reaches."""
        return 100 * self.least_ms / self.ms[OURS] if OURS in self.ms else None

    @property
    def bandwidth(self) -> float | None:
        """The GB/s at which ours passes the bytes that have to be touched."""
        return 1e-6 * self.touched / self.ms[OURS] if OURS in self.ms else None


@click.command()
@click.option("--suite", default="paper", type=click.Choice([*SUITES, "all"]), help="Which workloads [default: paper].")
@click.option("--batch", default="1", type=click.Choice(list(BATCHES)), help="Batch size [default: 1].")
@click.option("--only", metavar="REGEX", default="", help="Of those, the ones whose 'SUITE OPERATOR SIZES' it matches.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(PEERS), help="Whom to compare with [default: both].")
@click.option("--untuned", is_flag=True, help="With default schedules; what is done without --sample, too.")
@click.option(
    "--sample",
    "samples",
    default=0,
    type=click.IntRange(min=0),
    metavar="N",
    help="With the best of N random candidates of each task.",
)
@click.option("--seed", default=0, show_default=True, help="Of the random candidates.")
@click.option("--records", metavar="FILE", help="With the best schedules of these records; defaults are timed, too.")
@click.option("--explain", metavar="REGEX", default="", help="No peers: what the model promised for these, and why.")
@click.option("--threads", default=0, help="Threads of every engine [default: all cores].")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, and no means.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a roofline (needs matplotlib).")
def ops(
    suite: str,
    batch: str,
    only: str,
    peers: tuple[str, ...],
    untuned: bool,
    samples: int,
    seed: int,
    records: str | None,
    explain: str,
    threads: int,
    as_json: bool,
    picture: Path | None,
) -> None:
    """Compile single layers, check all results, and time all engines in turn.

    Our graphs and PyTorch's better choice have channels last, onnxruntime's have them first; weights are constant.
    A block is a pause, 100 ms of untimed runs and 50 ms of timed ones, four for each engine; figures are medians.
    The bound is the FMA peak, or the bandwidth of the smallest memory that holds the layer's tensors, whichever is
    less. Ratios are our time over theirs: below 1 we are faster. What other processes disturb is timed again, three
    times at most; if none is undisturbed, the best is shown, and does not count in the means.
    """
    if untuned and samples:
        raise click.BadParameter("with --untuned, no candidates are sampled: leave out one", param_hint="--sample")
    if records and (samples or untuned):
        raise click.BadParameter("records have schedules: leave out one", param_hint="--records")
    useless = {"--only": only, "--peer": peers, "--sample": samples, "--json": as_json, "--picture": picture}
    for name, given in useless.items():
        if explain and given:
            raise click.BadParameter("explanations have no use for it: leave it out", param_hint=name)
    named = "--explain" if explain else "--only"
    try:
        chosen = choose(suite, explain or only)
    except re.error as error:
        raise click.BadParameter(str(error), param_hint=named) from error
    if not chosen:
        raise click.BadParameter("no workload matches", param_hint=named)
    threads = threads or usable_cores()
    asked = peers or PEERS
    present = [peer for peer in asked if not missing(peer)]
    for peer in asked:
        if peer not in present:
            click.echo(f"{peer} is not installed: left out (pip install 'ansorc[bench]')", err=True)
    limits, others = undisturbed(lambda: measure_limits(threads))
    if others > BUSY_CORES:
        click.echo(too_low(limits, others), err=True)
    if explain:
        click.echo("\n".join([processor(), limits_text(limits)]))
        for size in BATCHES[batch]:
            for _, workload in chosen:
                lines = sampled.explain(workload.case(size), limits, threads)
                click.echo("\n".join([f"\n{workload.operator} {workload.name} batch {size}", *lines]))
        return
    if not as_json:
        click.echo(processor())
        click.echo(limits_text(limits))
        click.echo(f"{threads} threads; {', '.join(f'{peer} {version(peer)}' for peer in present) or 'no peers'}\n")
        click.echo(row_text(TITLES))
    figures: list[OpFigures] = []
    for size in BATCHES[batch]:
        for name, workload in chosen:
            figures.append(measure(name, workload, size, present, threads, limits, samples, seed, records))
            lines = [row_text(cells(figures[-1])), *(f"    {line}" for line in figures[-1].sampled)]
            click.echo(json.dumps(asdict(figures[-1])) if as_json else "\n".join(lines))
    if not as_json:
        click.echo("\n" + "\n".join(means_text(figures)))
    if picture is not None:
        draw(figures, limits, picture)


def choose(suite: str, only: str) -> list[tuple[str, Workload]]:
    """Return the workloads that were asked for, each with its suite."""
    names = list(SUITES) if suite == "all" else [suite]
    pattern = re.compile(only)
    return [(s, w) for s in names for w in SUITES[s] if pattern.search(f"{s} {w.operator} {w.name}")]


def measure(
    suite: str,
    workload: Workload,
    batch: int,
    peers: Sequence[str],
    threads: int,
    limits: Limits,
    samples: int = 0,
    seed: int = 0,
    records: str | None = None,
) -> OpFigures:
    """Give one workload to all engines: prepare, compare, time those that are right."""
    case = workload.case(batch)
    flops = workload.flops(batch)
    tasks = sampled.sample(case, samples, seed, threads) if samples else []
    best = {t.task: t.best for t in tasks if t.best is not None}
    prepare: dict[str, Callable[[], Run]] = {OURS: lambda: prepare_ours(case, threads, best, records)}
    if samples or records:
        prepare[DEFAULT] = lambda: prepare_ours(case, threads)
    if TORCH in peers:
        prepare[TORCH] = lambda: prepare_torch(case, threads, faster)
    if ONNXRUNTIME in peers:
        prepare[ONNXRUNTIME] = lambda: prepare_onnxruntime(case, threads)
    runs: dict[str, Run] = {}
    results: dict[str, Array] = {}
    failures: dict[str, str] = {}
    for engine, make in prepare.items():
        try:
            runs[engine] = make()
            result = np.asarray(runs[engine]())
        except Exception as error:  # a failure is a figure, and the rest goes on
            if engine == OURS and not isinstance(error, AnsorcError | ModelError | RuntimeFailure):
                raise
            failures[engine] = f"FAILED: {str(error).strip()}"
            continue
        results[engine] = result if engine in (OURS, DEFAULT) else case.to_ours(result)
    errors = compare(case, results, cheap=flops <= CHEAP_FLOPS)
    failures |= {engine: "WRONG" for engine, error in errors.items() if not error < TOLERANCE}
    del results
    right = [engine for engine in runs if engine in errors and engine not in failures]
    timed = [runs[engine] for engine in right]
    times, others = undisturbed(lambda: interleave(timed, ROUNDS, BLOCK_SECONDS, WARM_UP_SECONDS))
    ms = dict(zip(right, times, strict=True))
    default = ms.pop(DEFAULT, None)
    return OpFigures(
        suite, workload.operator, workload.name, batch, flops / 1e9, case.touched,
        limits.least_ms(flops, case.touched), ms, errors, failures, default, others,
        tuple(t.summary for t in tasks if t.timed),
    )  # fmt: skip


def compare(case: Case, results: dict[str, Array], *, cheap: bool) -> dict[str, float]:
    """Return each engine's error, against float64 where that is cheap, or where engines contradict each other."""
    peer = next((results[p] for p in reversed(PEERS) if p in results), None)
    if not cheap and peer is not None:
        errors = {engine: _error(result, peer) for engine, result in results.items()}
        if all(error < TOLERANCE for error in errors.values()):
            return errors
    expected = case.reference()
    return {engine: _error(result, expected) for engine, result in results.items()}


def _error(result: Array, expected: Array) -> float:
    return relative_error(result, expected) if result.shape == expected.shape else float("inf")


def faster(runs: list[Run]) -> int:
    """Return which run is the fastest, after a few of each."""
    if len(runs) == 1:
        return 0
    times: list[float] = []
    for run in runs:
        run()
        first = seconds(run)
        times.append(min([first, *(seconds(run) for _ in range(min(20, int(BLOCK_SECONDS / first))))]))
    return times.index(min(times))


COLUMNS = {
    "workload": "{:<44}",
    "batch": "{:>5}",
    "GFLOP": "{:>8}",
    "ours ms": "{:>9}",
    "GFLOP/s": "{:>8}",
    "GB/s": "{:>6}",
    "% bound": "{:>7}",
    "torch ms": "{:>9}",
    "ort ms": "{:>9}",
    "/torch": "{:>6}",
    "/best": "{:>6}",
}
TITLES = list(COLUMNS)


def row_text(values: Sequence[str]) -> str:
    """Lay out one line; what follows the columns is a remark."""
    line = " ".join(form.format(value) for form, value in zip(COLUMNS.values(), values, strict=False))
    return "  ".join([line, *values[len(COLUMNS) :]]).rstrip()


def cells(figures: OpFigures) -> list[str]:
    """Return the columns of one case, then remarks."""

    def time_of(engine: str) -> str:
        if engine in figures.failures:
            return figures.failures[engine].split(":")[0]
        return _number(figures.ms.get(engine), ".3f")

    failed = [f"{e}: {text.splitlines()[0]}" for e, text in figures.failures.items() if text != "WRONG"]
    wrong = [f"{e} is off by {figures.errors[e]:.1e}" for e, text in figures.failures.items() if text == "WRONG"]
    return [
        f"{figures.operator} {figures.name}",
        str(figures.batch),
        f"{figures.gflop:.4f}",
        time_of(OURS),
        _number(figures.gflops(OURS), ".1f"),
        _number(figures.bandwidth, ".1f"),
        _number(figures.utilisation, ".0f"),
        time_of(TORCH),
        time_of(ONNXRUNTIME),
        _number(figures.ratio(TORCH), ".2f"),
        _number(figures.ratio(figures.best_peer), ".2f"),
        *([f"default {figures.default_ms:.3f} ms"] if figures.default_ms is not None else []),
        *failed,
        *wrong,
        *([f"others used {figures.others:.1f} cores"] if figures.disturbed else []),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def means_text(figures: Sequence[OpFigures]) -> list[str]:
    """Return geometric means of all, then by operator, and how many cases do not count: disturbed, failed, wrong."""
    lines = [f"{'geometric means':<16} {'cases':>6} {'% bound':>8} {'/torch':>7} {'/best':>7} {'faster than all':>16}"]
    operators = list(dict.fromkeys(f.operator for f in figures))
    for operator in ["all", *operators]:
        mine = [f for f in figures if operator in ("all", f.operator) and not f.disturbed]
        best = [r for f in mine if (r := f.ratio(f.best_peer)) is not None]
        means = (
            geometric_mean(u for f in mine if (u := f.utilisation) is not None),
            geometric_mean(r for f in mine if (r := f.ratio(TORCH)) is not None),
            geometric_mean(best),
        )
        wins = f"{sum(r < 1 for r in best)} of {len(best)}"
        lines.append(f"{operator:<16} {len(mine):>6} {means[0]:>8.0f} {means[1]:>7.2f} {means[2]:>7.2f} {wins:>16}")
    disturbed = sum(f.disturbed for f in figures)
    if disturbed:
        lines.append(f"{disturbed} cases do not count: other processes were busy")
    for engine in (OURS, *PEERS):
        for word in ("FAILED", "WRONG"):
            count = sum(f.failures.get(engine, "").startswith(word) for f in figures)
            if count:
                lines.append(f"{engine}: {count} {word}")
    return lines
