"""`ansorc-bench candidates`: random schedules of random layers, each compared with float64."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict

import click
import numpy as np

from ansorc.compiler.target import usable_cores
from ansorc.compiler.workers import Job, JobResult, run_jobs
from ansorc.tools.candidate_pairs import OPERATORS, Compiled, Outcome, Pair, draw, draw_layers
from ansorc.tools.measure import processor
from ansorc.tools.progress import ProgressLine
from ansorc.tools.suites import SUITES

ENTRY = "ansorc.tools.candidate_pairs:check"
POISON = "85"
"""What glibc fills fresh memory with, so that what is not written shows."""


@click.command()
@click.option(
    "--pairs",
    default=2000,
    type=click.IntRange(min=1),
    show_default=True,
    help="How many layers with candidates for all their tasks.",
)
@click.option("--seed", default=0, show_default=True, help="Of sizes, data and candidates.")
@click.option("--suite", type=click.Choice(list(SUITES)), help="The layers of a suite instead of random ones.")
@click.option(
    "--only",
    metavar="REGEX",
    default="",
    help=f"Of the operators {', '.join(OPERATORS)}, or of a suite's layers, which it matches.",
)
@click.option("--jobs", default=0, type=click.IntRange(min=0), help="Processes [default: all cores].")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each pair.")
def candidates(pairs: int, seed: int, suite: str | None, only: str, jobs: int, as_json: bool) -> None:
    """Check that random candidates compute what their task says; exit code 1 if one does not.

    Sizes are small, odd and prime ones included, unless a suite is named. Each task of a layer gets a candidate of a
    random one of its kinds; the layer runs on two threads and memory that is filled with garbage, and is compared
    with numpy in float64.
    """
    try:
        operators = [o for o in OPERATORS if re.search(only, o)]
        layers = [w for w in SUITES[suite] if re.search(only, f"{w.operator} {w.name}")] if suite else []
    except re.error as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    if not (layers if suite else operators):
        raise click.BadParameter(f"no {'layer' if suite else 'operator'} matches", param_hint="--only")
    os.environ["MALLOC_PERTURB_"] = POISON
    drawn = draw_layers(pairs, seed, layers) if suite else draw(pairs, seed, operators)
    with ProgressLine(False) as progress:
        done = 0

        def count(_: JobResult) -> None:
            nonlocal done
            done += 1
            progress.show("checking pairs", done, len(drawn))

        results = run_jobs(ENTRY, [Job(str(k), pair) for k, pair in enumerate(drawn)], jobs or usable_cores(), count)
    if as_json:
        for pair, result in zip(drawn, results, strict=True):
            outcome = asdict(result.value) if result.failure is None else {"failure": result.failure.reason}
            click.echo(json.dumps({"operator": pair.operator, "name": pair.workload.name, "batch": pair.batch,
                                   "seed": pair.seed, **outcome}))  # fmt: skip
    else:
        click.echo("\n".join([processor(), *table(drawn, results)]))
    if any(r.failure is not None or not r.value.error <= 1 for r in results):
        sys.exit(1)


def table(drawn: list[Pair], results: list[JobResult]) -> list[str]:
    """Return counts by operator, what went wrong, and what compiling took."""
    lines = [f"{'operator':<9} {'pairs':>6} {'tasks':>6} {'wrong':>6} {'failed':>7} {'worst error / tolerance':>24}"]
    remarks: list[str] = []
    right: list[Outcome] = []
    for operator in dict.fromkeys(pair.operator for pair in drawn):
        mine = [(p, r) for p, r in zip(drawn, results, strict=True) if p.operator == operator]
        outcomes: list[Outcome] = [r.value for _, r in mine if r.failure is None]
        wrong = [o for o in outcomes if not o.error <= 1]
        worst = max((o.error for o in outcomes), default=0.0)
        tasks = sum(len(o.candidates) for o in outcomes)
        lines.append(
            f"{operator:<9} {len(mine):>6} {tasks:>6} {len(wrong):>6} {len(mine) - len(outcomes):>7} {worst:>24.3f}"
        )
        right += outcomes
        for pair, result in mine:
            name = f"{pair.operator} {pair.workload.name} batch {pair.batch} seed {pair.seed}"
            if result.failure is not None:
                remarks.append(f"{name}: failed: {result.failure.reason}")
            elif not result.value.error <= 1:
                remarks.append(f"{name}: wrong by {result.value.error:.2g} tolerances: {result.value.candidates}")
    return [*lines, *code_lines([c for o in right for c in o.compiled]), *remarks]


def code_lines(compiled: list[Compiled]) -> list[str]:
    """Return what compiling took, stage by stage, and how large the code is."""
    if not compiled:
        return []
    seconds, sizes = [c.seconds for c in compiled], [c.text_bytes for c in compiled]
    middle, high = np.percentile(seconds, [50, 95])
    stages = {name: 1e3 * float(np.median([c.stages[name] for c in compiled])) for name in compiled[0].stages}
    ratios = np.percentile([c.predicted_bytes / c.text_bytes for c in compiled], [5, 50, 95])
    spilled = [c.vector_spills for c in compiled if c.vector_spills]
    return [
        f"a candidate compiles in {1e3 * middle:.0f} ms (median), {1e3 * high:.0f} ms (95th percentile), "
        f"{max(seconds):.1f} s (longest); medians to {', '.join(f'{n} {ms:.0f} ms' for n, ms in stages.items())}",
        f"its code has {np.median(sizes) / 1024:.1f} KiB (median), {max(sizes) / 1024:.1f} KiB (largest); "
        f"predicted over real size: {ratios[1]:.2f} (median), {ratios[0]:.2f} to {ratios[2]:.2f} (5th to 95th)",
        f"{len(spilled)} of {len(compiled)} spill vectors, up to {max(spilled, default=0)} times in their code",
    ]
