"""`ansorc-records`: look into files of trials, share them, and put them together."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ansorc.compiler.records import exchange
from ansorc.compiler.records.database import Record, Records
from ansorc.tools import ansor_workloads
from ansorc.tools.command_line import run

FILE = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look into files of trials, share them, and put them together."""


def _line(record: Record) -> str:
    seconds = "" if record.seconds is None else f"{1e3 * record.seconds:.4f} ms"
    decided = " ".join(f"{k}={v}" for k, v in record.candidate.decisions)
    sketch = record.candidate.sketch
    shape = " / ".join("x".join(map(str, side)) for side in (sketch.parallel, sketch.reductions) if side)
    why = f" ({record.trial.reason})" if record.trial.reason else ""
    where = f"{record.target} {record.threads} threads"
    return f"{record.task} {shape} {where}: {seconds}{record.trial.fate * (not seconds)}{why} {sketch.kind} {decided}"


@command.command()
@click.argument("file", type=FILE)
@click.option("--task", default="", help="Only this task.")
def best(file: Path, task: str) -> None:
    """Print the fastest trial of every task, target and number of threads."""
    with Records(file, create=False) as records:
        for record in exchange.best_of_each(records):
            if task in ("", record.task):
                click.echo(_line(record))


@command.command()
@click.argument("file", type=FILE)
@click.option("--task", default="", help="Only this task.")
@click.option("--fate", default="", help="Only trials of this fate, such as `wrong answer`.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
def query(file: Path, task: str, fate: str, limit: int) -> None:
    """Print trials, the latest first."""
    where = [(f"{name} = ?", value) for name, value in (("task", task), ("fate", fate)) if value]
    conditions = " AND ".join(c for c, _ in where) or "1"
    arguments = [value for _, value in where]
    with Records(file, create=False) as records:
        newest = f"id IN (SELECT id FROM trials WHERE {conditions} ORDER BY id DESC LIMIT {limit})"
        for record in reversed(list(records.every(newest, arguments))):
            click.echo(_line(record))


@command.command()
@click.argument("file", type=FILE)
def stats(file: Path) -> None:
    """Count trials by target, fate and kind."""
    with Records(file, create=False) as records:
        ((trials, tasks, runs),) = records.query(
            "SELECT count(*), count(DISTINCT task), count(DISTINCT run) FROM trials"
        )
        click.echo(f"{trials} trials of {tasks} tasks in {runs} runs")
        for column in ("target", "fate", "kind"):
            counts = records.query(f"SELECT {column}, count(*) FROM trials GROUP BY 1 ORDER BY 2 DESC")
            click.echo(f"by {column}: " + ", ".join(f"{value} {count}" for value, count in counts))
        fusions = records.fusions()
        click.echo(f"{len(fusions)} chains of tasks, {sum(f.fuse for f in fusions)} of them one task")


@command.command("export")
@click.argument("file", type=FILE)
@click.argument("lines", type=FILE)
def export_lines(file: Path, lines: Path) -> None:
    """Write all of FILE as JSON lines."""
    with Records(file, create=False) as records:
        click.echo(f"{exchange.export(exchange.everything(records), lines)} records written to {lines}")


@command.command("import")
@click.argument("lines", type=FILE)
@click.argument("file", type=FILE)
@click.option("--target", help="Of a log of Ansor: the processor it was measured on [default: what a line says].")
@click.option("--threads", type=click.IntRange(min=1), help="Of a log of Ansor: threads that its programs ran on.")
def import_lines(lines: Path, file: Path, target: str | None, threads: int | None) -> None:
    """Add the trials of a file of JSON lines to FILE.

    A log of the original Ansor (TVM's auto_scheduler, v0.2 to v0.6) is read, too, as data to train a cost model on:
    each program as the candidate of ours that is most like it. Its times never choose a schedule.
    """
    if ansor_workloads.is_log(lines):
        _import_log(lines, file, target, threads)
        return
    with Records(file) as records:
        click.echo(f"{exchange.take(records, exchange.lines_of(lines), lines.name)} new records in {file}")


def _import_log(log: Path, file: Path, target: str | None, threads: int | None) -> None:
    found = ansor_workloads.import_log(log, target, threads)
    for reason, count in found.left_out.most_common():
        click.echo(f"left out: {count} {reason}")
    with Records(file) as records:
        for task in found.tasks.values():
            records.add_task(task.name, task.shape, task.flops, task.text)
        new = exchange.take(records, found.records, log.name)
    click.echo(f"{new} new programs of {len(found.tasks)} tasks in {file}, for `ansorc-tune train`")


@command.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, required=True, help="File to add them to.")
def merge(files: tuple[Path, ...], output: Path) -> None:
    """Put several files into one; what it has already is left out."""
    with Records(output) as into:
        for path in files:
            with Records(path, create=False) as records:
                click.echo(f"{exchange.take(into, exchange.everything(records), path.name)} new records from {path}")


@command.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True)
@click.option("--most", default=1, show_default=True, type=click.IntRange(min=1), help="Of each task.")
def distill(file: Path, output: Path, most: int) -> None:
    """Keep the fastest trials of every task in a new, small file."""
    with Records(file, create=False) as records, Records(output) as into:
        best = [*exchange.best_of_each(records, most), *records.fusions()]
        click.echo(f"{exchange.take(into, best, file.name)} records in {output}")


@command.command()
@click.argument("file", type=FILE)
@click.option("--recover", "into", type=FILE, help="Copy what can be read into a new file.")
def check(file: Path, into: Path | None) -> None:
    """Read a whole file; exit code 1 if something is wrong with it."""
    health = exchange.check(file)
    for problem in health.problems:
        click.echo(problem)
    click.echo(f"{health.trials} trials are readable")
    if into is not None:
        found, lost = exchange.recover(file, into)
        click.echo(f"{found} trials copied to {into}, {lost} lost")
    if health.problems:
        sys.exit(1)


def main() -> None:
    """Run the command."""
    run(command, "ansorc-records")


if __name__ == "__main__":
    main()
