"""`ansorc-tune`: search the fastest schedules of a layer, a suite or a network, and keep every trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
from onnx import ModelProto

from ansorc.compiler import tuning
from ansorc.compiler.driver import link_tasks, read, to_tasks
from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.measuring.measurer import LocalPools, PoolMeasurer
from ansorc.compiler.options import Options
from ansorc.compiler.output import check_writable, whole_file
from ansorc.compiler.program import Program
from ansorc.compiler.recorded import with_schedules
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.evolution import Evolution
from ansorc.compiler.search.policy import POLICIES, SearchSettings
from ansorc.compiler.search.scheduler import OBJECTIVES, STRATEGIES
from ansorc.compiler.search.task import SearchTask
from ansorc.compiler.search.tuner import Event, Tuned
from ansorc.compiler.target import Target, parse_target, target_key, usable_cores, warm_keys
from ansorc.compiler.task_job import machine_of
from ansorc.compiler.tasks import compile_tasks
from ansorc.tools import report_analysis, tune_report
from ansorc.tools.command_line import run
from ansorc.tools.limits import Limits, measure_limits
from ansorc.tools.networks import NetworkFile, network_file
from ansorc.tools.suites import PAPER
from ansorc.tools.tune_progress import Watcher
from ansorc.tools.tune_report import Here
from ansorc.tools.tune_results import network_lines, result_lines
from ansorc.tools.tune_train import train
from ansorc.tools.tune_workloads import FAMILIES, examples, named

SUBGRAPHS = ("ConvLayer", "TBS")
SHOWN = ("scheduled", "bufferized", "llvm-mlir")


def options_of_a_search(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all subcommands have."""
    for option in reversed((
        click.option("--trials", type=int, help="Candidates to try in all [default: 1000, unless --seconds]."),
        click.option("--seconds", type=float, help="Search for so long."),
        click.option("--records", metavar="FILE", help="File of trials, or none [default: records.db in the cache]."),
        click.option("--target", default="native", show_default=True,
                     help="Or a level of x86-64 that this machine has, such as x86-64-v3."),
        click.option("--threads", type=int, help="Threads that candidates run on [default: all cores]."),
        click.option("--policy", type=click.Choice(list(POLICIES)), default="evolution", show_default=True),
        click.option("--scheduler", type=click.Choice(list(STRATEGIES)), default="gradient", show_default=True),
        click.option("--batch", type=int, help="Candidates that are tried together [default: by the budget]."),
        click.option("--population", type=int, default=Evolution().population, show_default=True),
        click.option("--generations", type=int, default=Evolution().generations, show_default=True),
        click.option("--early-stopping", type=int, help="Give up a task after so many trials without a better one."),
        click.option("--least-gain", type=click.FloatRange(0, 1), default=0.0, show_default=True,
                     help="End when the next batch promises less than this share."),
        click.option("--exact", is_flag=True, help="Leave out algorithms that round more (Winograd's, Strassen's)."),
        click.option("--cold", is_flag=True, help="Empty the caches before every run that is timed."),
        click.option("--cluster", metavar="ADDRESS", help="Search on a Dask cluster: tcp://HOST:PORT."),
        click.option("--local-cluster", type=click.IntRange(min=1), metavar="N", help="Start one of N workers here."),
        click.option("--cost-model", metavar="FILE",
                     help="What `ansorc-tune train` wrote, to start from; or none [default: shipped]."),
        click.option("--jobs", type=int, help="Processes that compile [default: all cores]."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--show", type=click.Choice(SHOWN), help="Print the tuned tasks at this stage, too."),
        click.option("-v", "--verbose", is_flag=True, help="Say more; show tracebacks."),
    )):  # fmt: skip
        function = option(function)
    return function


class Search:
    """What the options of a search say."""

    def __init__(self, **raw: object) -> None:
        self.raw = raw
        trials, seconds = raw["trials"], raw["seconds"]
        if trials is not None and not int(str(trials)) > 0:
            raise InvalidOptionError("--trials", trials, "at least 1")
        jobs = {"jobs": raw["jobs"]} if raw["jobs"] else {}
        self.options = Options(
            target=parse_target(str(raw["target"])),
            trials=int(str(trials)) if trials is not None else (0 if seconds is not None else 1000),
            seconds=None if seconds is None else float(str(seconds)),
            records=None if raw["records"] is None else str(raw["records"]),
            cost_model=None if raw["cost_model"] is None else str(raw["cost_model"]),
            threads=None if raw["threads"] is None else int(str(raw["threads"])),
            exact=bool(raw["exact"]), cold=bool(raw["cold"]), seed=int(str(raw["seed"])),
            cluster=_cluster(raw["cluster"], raw["local_cluster"]), **jobs,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip

    def settings(self, tasks: int) -> SearchSettings:
        """Return the settings for a program with so many tasks."""
        batch = self.raw["batch"]
        evolution = Evolution(int(str(self.raw["population"])), int(str(self.raw["generations"])))
        size = tuning.batch_size(self.options, max(1, tasks)) if batch is None else int(str(batch))
        return SearchSettings(evolution, batch=size, policy=str(self.raw["policy"]))

    def run(
        self,
        sources: Sequence[Program],
        watch: Callable[[Event], None],
        objective: str,
        required: Sequence[float],
        began: float,
    ) -> Tuned:
        """Search; the budget's seconds began then (time.perf_counter)."""
        early = self.raw["early_stopping"]
        return tuning.search(
            sources, self.options, watch, self.settings(tuning.tunable(sources, self.options)),
            strategy=str(self.raw["scheduler"]), patience=None if early is None else int(str(early)),
            least_gain=float(str(self.raw["least_gain"])), objective=objective, required=required, began=began,
        )  # fmt: skip


def _cluster(address: object, workers: object) -> str | None:
    if address is not None and workers is not None:
        raise InvalidOptionError("--local-cluster", workers, "none beside --cluster")
    return str(address) if address is not None else None if workers is None else f"local:{workers}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Search the fastest schedules, measuring on this machine; every trial is kept in a file of records."""


@command.command()
@click.argument("name", required=False)
@click.option("--list", "list_names", is_flag=True, help="List the names.")
@options_of_a_search
def op(name: str | None, list_names: bool, **raw: object) -> None:
    """Tune one workload, such as matmul-512, nhwc-resnet-50.C2.B16, softmax-4096 or conv2d-bn-relu."""
    if list_names or name is None:
        click.echo("\n".join(examples()))
        return
    search, workload = Search(**raw), named(name)
    limits = _limits(search)
    _tune_one(search, workload.name, workload.model, limits)


@command.command()
@click.argument("which", type=click.Choice(["op", "subgraph", *FAMILIES]))
@click.option("--batch-size", type=int, default=1, show_default=True)
@options_of_a_search
def suite(which: str, batch_size: int, **raw: object) -> None:
    """Tune every layer of the paper's operators or subgraphs, or of a family, one after another.

    `--trials` and `--seconds` are for each layer.
    """
    search = Search(**raw)
    limits = _limits(search)
    if which in FAMILIES:
        layers = FAMILIES[which]
    else:
        layers = tuple(w for w in PAPER if (w.operator in SUBGRAPHS) == (which == "subgraph"))
    for workload in layers:
        title = f"{workload.operator} {workload.name} batch {batch_size}"
        _tune_one(search, title, workload.case(batch_size).model, limits)


@command.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--batch-size", type=int, help="Of networks by name [default: 1].")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the tuned library of one MODEL, too.")
@click.option(
    "--objective",
    type=click.Choice(list(OBJECTIVES)),
    default="latency",
    show_default=True,
    help="Of several: the sum of their latencies, what exceeds the `required` ones, or their mean speed.",
)
@click.option(
    "--required",
    "required_ms",
    type=float,
    multiple=True,
    metavar="MS",
    help="A latency that is good enough, for each MODEL.",
)
@options_of_a_search
def network(
    models: tuple[str, ...], batch_size: int | None, output: Path | None, objective: str,
    required_ms: tuple[float, ...], **raw: object,
) -> None:  # fmt: skip
    """Tune all tasks of each MODEL, an ONNX file or a network such as resnet-50; a scheduler gives trials to those that
    gain most."""
    search = Search(**raw)
    files = [network_file(model, batch_size) for model in models]
    if output is not None and len(models) > 1:
        raise InvalidOptionError("--output", output, "one MODEL: compile the others with `ansorc --records`")
    limits = _limits(search)
    began = time.perf_counter()
    sources = [to_tasks(read(file, search.options), search.options) for file in files]
    required = [ms / 1e3 for ms in required_ms]
    title = " + ".join(s.name for s in sources)
    tuned = _tune_together(search, title, sources, limits, began, objective, required)
    for line in network_lines(sources, tuned, search.options):
        click.echo(line)
    if output is not None:
        (source,) = sources
        options = with_schedules(search.options, tuned.best)
        link_tasks(source, compile_tasks(source, "object", options).tasks, options, output)
        click.echo(f"{output} written", err=True)


@command.command()
@click.argument("models", nargs=-1, required=True, type=NetworkFile())
@click.option("--records", metavar="FILE", required=True, help="File of trials of these networks.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Small file to write.")
@click.option("--target", "targets", multiple=True, default=["native"], show_default=True, help="Whose; repeatable.")
@click.option("--threads", type=int, help="Threads of the trials [default: all cores].")
def ship(models: tuple[Path, ...], records: str, output: Path, targets: tuple[str, ...], threads: int | None) -> None:
    """Keep what wins in each MODEL: schedules that beat the default inside of the running network."""
    check_writable(output)
    found: dict[tuple[str, str], tuple[SearchTask, Record]] = {}
    for target in map(parse_target, targets):
        options = Options(target=target, records=records, threads=threads, use_cache=False)
        for model in models:
            source = to_tasks(read(model, options), options)
            won = tuning.winners(source, options)
            click.echo(f"{source.name}, {target.cpu}: {len(won)} of {len(source.code)} tasks")
            key = target_key(target)
            found |= {(r.task, key): (task, replace(r, target=key)) for task, r in won}
    with Records(Path(records), create=False) as given:
        fusions = [f for f in given.fusions() if f.target in {target_key(parse_target(t)) for t in targets}]
    with whole_file(output) as temporary, Records(temporary) as into:
        for task, _ in found.values():
            into.add_task(task.name, task.shape, task.flops, task.text)
        into.add(into.begin("shipped", "{}"), [record for _, record in found.values()])
        into.add_fusions(fusions)
        into.freeze()
    click.echo(f"{len(found)} schedules in {output}, {output.stat().st_size / 1024:.0f} KiB")


@command.command()
@click.argument("records", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True)
@click.option("--undo", is_flag=True, help="Measure what each decision of a winner is worth, by taking it back.")
def report(records: Path, output: Path, undo: bool) -> None:
    """Write a page about RECORDS: curves of all tasks, a roofline, and each winner beside the default."""
    target = parse_target("native")
    with Records(records, create=False) as opened:
        here = Here(warm_keys(target), machine_of(target), measure_limits(usable_cores()))
        if undo:
            here = replace(here, undone=_undone(opened, here, target))
        text = tune_report.page(opened, here)
    with whole_file(output) as temporary:
        temporary.write_text(text)
    click.echo(f"{output} written")


def _undone(records: Records, here: Here, target: Target) -> dict[str, dict[str, float]]:
    tasks = [t for t in report_analysis.tasks_of(records) if t.first.target in here.targets]
    found: dict[str, dict[str, float]] = {}
    for threads in sorted({t.first.threads for t in tasks}):
        measurer = PoolMeasurer(target, threads, LocalPools(usable_cores()))
        mine = [t for t in tasks if t.first.threads == threads]
        try:
            found |= report_analysis.undone(mine, here.machine, measurer, lambda line: click.echo(line, err=True))
        finally:
            measurer.close()
    return found


def _limits(search: Search) -> Limits:
    return measure_limits(search.options.threads or usable_cores())


def _tune_one(search: Search, title: str, model: ModelProto, limits: Limits) -> Tuned:
    began = time.perf_counter()
    source = to_tasks(read(model, search.options), search.options)
    return _tune_together(search, title, [source], limits, began)


def _tune_together(
    search: Search,
    title: str,
    sources: Sequence[Program],
    limits: Limits,
    began: float,
    objective: str = "latency",
    required: Sequence[float] = (),
) -> Tuned:
    path = tuning.records_file(search.options)
    with Watcher(title, search.options, limits) as watcher:
        tuned = search.run(sources, watcher.show, objective, required, began)
    took = time.perf_counter() - began
    click.echo("\n".join(result_lines(title, tuned, limits, search.options)))
    rate = tuned.trials / took if took else 0.0
    ended = "interrupted; " if tuned.interrupted else ""
    click.echo(
        f"{ended}{tuned.trials} trials in {took:.1f} s ({rate:.1f} a second){f', kept in {path}' * (path is not None)}"
    )
    show = search.raw["show"]
    if show is not None:
        options = with_schedules(search.options, tuned.best)
        for source in sources:
            chosen = {n: text for n, text in source.code.items() if n in tuned.best}
            for task in compile_tasks(replace(source, code=chosen), str(show), options).tasks.values():
                click.echo(task.code.decode())
    return tuned


command.add_command(train)


def main() -> None:
    """Run the command."""
    run(command, "ansorc-tune")


if __name__ == "__main__":
    main()
