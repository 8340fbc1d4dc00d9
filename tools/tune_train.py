"""`ansorc-tune train`: a cost model of records, and how well it orders what it has not seen."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from ansorc.compiler.cost_model import training
from ansorc.compiler.errors import UnusableRecordsError
from ansorc.compiler.target import parse_target, target_key, warm_keys
from ansorc.compiler.task_job import machine_of


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Cost model to write.")
@click.option("--target", "targets", multiple=True, default=["native"], show_default=True, help="Whose; repeatable.")
@click.option("--hold-out", default=0.2, show_default=True, type=click.FloatRange(0, 0.9), help="Share to test on.")
@click.option("--test", type=click.Path(path_type=Path), help="Records to test on, too: none of them is trained on.")
@click.option("--seed", type=int, default=0, show_default=True)
def train(
    files: tuple[Path, ...], output: Path, targets: tuple[str, ...], hold_out: float, test: Path | None, seed: int
) -> None:
    """Train a cost model on records, and say how well it orders programs, and tasks, that it has not seen."""
    named = list(map(parse_target, targets))
    machines = {key: machine_of(t) for t in named for key in warm_keys(t)}
    imported = {target_key(t, imported=True): machine_of(t) for t in named}
    programs = training.programs_of(files, machines | imported, imported)
    if not len(programs.seconds):
        raise UnusableRecordsError(files[0], f"nothing in it was measured for {' or '.join(targets)}")
    click.echo(f"{len(programs.seconds)} programs of {len(set(programs.groups))} tasks")
    for title, whole in (("programs", False), ("tasks", True)):
        mask = training.held_out(programs, hold_out, seed, whole_tasks=whole)
        if mask.any() and not mask.all():
            _tested(f"held-out {title}", programs.some(mask), programs.some(~mask), seed)
    if test is not None:
        others = training.programs_of([test], machines | imported)
        if not len(others.seconds):
            raise UnusableRecordsError(test, f"nothing in it was measured for {' or '.join(targets)}")
        _tested(test.name, others, programs, seed)
    training.fit(programs, seed).save(output)
    click.echo(f"{output} written")


def _tested(title: str, test: training.Programs, known: training.Programs, seed: int) -> None:
    learned = test.cycles * np.exp2(training.fit(known, seed).predict(test.rows))
    click.echo(f"{title}: {training.accuracy(test, learned)}")
    scale = np.median(known.seconds / known.cycles)
    click.echo(f"    the analytic models: {training.accuracy(test, test.cycles * scale)}")
