"""`ansorc-bench search`: what parts of the search are worth (OSDI'20, 7.1 to 7.3): policies and task schedulers."""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import click

from ansorc.compiler import tuning
from ansorc.compiler.cost_model.boosted_trees import Trees, starting_model
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.measuring.measurer import LocalPools, PoolMeasurer
from ansorc.compiler.options import NO_RECORDS, Options
from ansorc.compiler.search.final_ranking import FINALISTS
from ansorc.compiler.search.policy import POLICIES, SearchSettings
from ansorc.compiler.search.sample import default_points
from ansorc.compiler.search.scheduler import STRATEGIES
from ansorc.compiler.search.task import SearchTask, weights_between_calls
from ansorc.compiler.search.tuner import Event
from ansorc.compiler.search.zero_trials import promised
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import usable_cores
from ansorc.tools.measure import missing, processor
from ansorc.tools.tune_workloads import named

MODEL = ".onnx"
PLACES = 60
"""Of a curve in the picture."""
COMPARISONS = 4
"""In the end, each in new processes: in one of them a kernel's memory may lie badly."""


@dataclass
class Curve:
    """How good the best was, over one search."""

    trials: list[int] = field(default_factory=list[int])
    elapsed: list[float] = field(default_factory=list[float])
    """Seconds."""
    best: list[float] = field(default_factory=list[float])
    """Seconds of all tasks together, once each has a result."""
    tried: list[tuple[str, Candidate, float]] = field(default_factory=list[tuple[str, Candidate, float]])
    """All trials in order: task, candidate, seconds."""

    def watch(self, event: Event) -> None:
        """Take a batch into account."""
        pairs = zip(event.candidates, event.trials, strict=True)
        self.tried += [(event.task.name, c, inf if t.seconds is None else t.seconds) for c, t in pairs]
        known = [p.task.weight * p.best for p in event.progress if p.best is not None]
        if len(known) == sum(not p.dead or p.best is not None for p in event.progress):
            self.trials.append(event.done)
            self.elapsed.append(event.seconds)
            self.best.append(sum(known))

    def at(self, place: float, *, of: str) -> float | None:
        """Return the best at a number of `trials` or of seconds (`elapsed`)."""
        k = bisect_right(getattr(self, of), place)
        return self.best[k - 1] if k else None

    def fastest(self, task: str, first: int) -> list[Candidate]:
        """Return the fastest candidates of a task among the `first` trials, the best first."""
        mine = [(seconds, k, c) for k, (name, c, seconds) in enumerate(self.tried[:first]) if name == task]
        return [c for seconds, _, c in sorted(mine)[:FINALISTS] if seconds < inf]

    def reaches(self, seconds: float) -> float | None:
        """Return when the best was so good, in seconds of search."""
        return next((e for e, b in zip(self.elapsed, self.best, strict=True) if b <= seconds), None)


@dataclass(frozen=True)
class Searched:
    """A workload, or a network, as it was searched in several ways."""

    name: str
    seconds: Mapping[str, float]
    """Of what each found, and of what its first trials found, measured in turn at the end."""
    curves: Mapping[str, Curve]

    def relative(self, way: str) -> float:
        """Return the speed of what a way found, over the best of all ways."""
        return min(self.seconds.values()) / self.seconds[way]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD|MODEL.onnx...")
@click.option("--trials", type=click.IntRange(min=1), default=100, show_default=True, help="Of each search.")
@click.option("--policies", default=",".join(POLICIES), show_default=True, help="For workloads.")
@click.option("--schedulers", default=",".join(STRATEGIES), show_default=True, help="For networks.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Candidates tried together, at most."
)
@click.option(
    "--at",
    type=click.IntRange(min=0),
    multiple=True,
    help="Compare what the first so many trials found, too; 0: what the cost model promises without any.",
)
@click.option("--no-defaults", is_flag=True, help="Search without the default schedules to start from.")
@click.option("--threads", type=int, help="Threads that candidates run on [default: all cores].")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the curves; needs matplotlib.")
def search(
    names: tuple[str, ...], trials: int, policies: str, schedulers: str, batch: int, at: tuple[int, ...],
    no_defaults: bool, threads: int | None, seed: int, picture: Path | None,
) -> None:  # fmt: skip
    """Search each WORKLOAD with every policy, and each MODEL with every task scheduler; compare what they found."""
    if picture is not None and missing("matplotlib"):
        raise click.BadParameter("needs matplotlib: pip install 'ansorc[bench]'", param_hint="--picture")
    options = Options(trials=trials, records=NO_RECORDS, threads=threads, seed=seed)
    click.echo(f"{processor()}; {threads or usable_cores()} threads, {trials} trials, seed {seed}")
    settings = SearchSettings(batch=batch, defaults=not no_defaults)
    found = [_search(n, options, schedulers if n.endswith(MODEL) else policies, settings, at) for n in names]
    for networks in (False, True):
        chosen = [s for s in found if s.name.endswith(MODEL) == networks]
        if chosen:
            click.echo("\n".join(table(chosen)))
    for searched in found:
        if {"gradient", "round-robin"} <= set(searched.curves):
            click.echo(_time_to_quality(searched))
    if picture is not None:
        draw(found, picture)


def _search(name: str, options: Options, ways: str, settings: SearchSettings, at: Sequence[int]) -> Searched:
    model = name if name.endswith(MODEL) else named(name).model
    source = to_tasks(read(model, options), options)
    tasks = tuning.tunable([source], options)
    batch = min(settings.batch, tuning.batch_size(options, max(1, tasks)))
    if options.trials < batch * tasks:
        raise InvalidOptionError("--trials", options.trials, f"at least {batch * tasks}: {name} has {tasks} tasks")
    if max(at, default=0) > (options.trials or 0):
        raise InvalidOptionError("--at", max(at), f"at most --trials, {options.trials}")
    curves: dict[str, Curve] = {}
    best: dict[str, Mapping[str, Candidate]] = {}
    searched: Sequence[SearchTask] = ()
    for way in ways.split(","):
        policy, strategy = ("evolution", way) if name.endswith(MODEL) else (way, "gradient")
        curves[way] = Curve()
        chosen = replace(settings, policy=policy, batch=batch)
        tuned = tuning.search([source], options, curves[way].watch, chosen, strategy=strategy)
        best[way], searched = tuned.best, [p.task for p in tuned.progress]
        click.echo(f"{name} {way}: {1e3 * curves[way].best[-1]:.4f} ms after {curves[way].elapsed[-1]:.0f} s", err=True)
    between = weights_between_calls(source, options.target)
    pools = LocalPools(options.jobs)
    with closing(PoolMeasurer(options.target, _threads(options), pools, between_calls=between)) as measurer:
        for n in filter(None, at):
            best |= {f"{way} at {n}": _first(curve, n, searched, measurer) for way, curve in curves.items()}
        if 0 in at:
            best["no trials"] = _promised(searched, options)
        return Searched(name, _compared(searched, best, measurer), curves)


def _threads(options: Options) -> int:
    return options.threads or usable_cores()


def _first(curve: Curve, count: int, tasks: Sequence[SearchTask], measurer: PoolMeasurer) -> dict[str, Candidate]:
    """Return the best of the first trials, chosen as a search does: the fastest of them are measured once more."""
    finalists = [(task, found) for task in tasks if (found := curve.fastest(task.name, count))]
    times = measurer.confirm(finalists)
    ranked = (
        (task.name, min(zip(map(_middle, each), range(len(each)), strict=True))[1], found)
        for (task, found), each in zip(finalists, times, strict=True)
    )
    return {name: found[k] for name, k, found in ranked}


def _promised(tasks: Sequence[SearchTask], options: Options) -> dict[str, Candidate]:
    """Return what the cost model expects to be fastest, where nothing is measured."""
    model = starting_model(options)
    trees = None if model is None else Trees.load(model)
    chosen = {t.name: promised(t, trees, _threads(options)) if trees else None for t in tasks}
    return {t.name: chosen[t.name] or t.candidate(default_points(t)[0]) for t in tasks}


def _compared(
    tasks: Sequence[SearchTask], best: Mapping[str, Mapping[str, Candidate]], measurer: PoolMeasurer
) -> dict[str, float]:
    """Measure what each way found once more, those of a task in turn; return the seconds of all tasks together."""
    known = [task for task in tasks if all(task.name in each for each in best.values())]
    chosen = [(task, [each[task.name] for each in best.values()]) for task in known]
    times = [measurer.confirm(chosen) for _ in range(COMPARISONS)]
    middle = [[_middle([_middle(t[j][k]) for t in times]) for k in range(len(best))] for j in range(len(known))]
    return {
        way: sum(task.weight * each[k] for task, each in zip(known, middle, strict=True)) for k, way in enumerate(best)
    }


def _middle(times: Sequence[float]) -> float:
    return median(times) if times else inf


def table(found: Sequence[Searched]) -> list[str]:
    """Return a line for each search: the time of the best, and the speed of each way over it."""
    ways = list(found[0].seconds)
    width = max(len(s.name) for s in found)
    head = f"{'':{width}}  {'best ms':>9}  " + "  ".join(f"{w:>{max(6, len(w))}}" for w in ways)
    lines = [head]
    for s in found:
        speeds = "  ".join(f"{s.relative(w):>{max(6, len(w))}.2f}" for w in ways)
        lines.append(f"{s.name:{width}}  {1e3 * min(s.seconds.values()):>9.4f}  {speeds}")
    means = "  ".join(f"{geometric_mean([s.relative(w) for s in found]):>{max(6, len(w))}.3f}" for w in ways)
    return [*lines, f"{'geometric mean':{width}}  {'':>9}  {means}"]


def _time_to_quality(searched: Searched) -> str:
    """Return how long each scheduler took for what the worse of both reached in the end."""
    curves = searched.curves
    worse = max(curves[w].best[-1] for w in ("gradient", "round-robin"))
    times = {w: curves[w].reaches(worse) for w in ("gradient", "round-robin")}
    said = ", ".join(f"{w} after {t:.0f} s" for w, t in times.items() if t is not None)
    return f"{searched.name}: {1e3 * worse:.3f} ms is reached by {said}"


def draw(found: Sequence[Searched], path: Path) -> None:
    """Draw the mean speed of each way over the best of all: policies by trials, schedulers by seconds."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    groups = [
        (title, of, chosen)
        for title, of, networks in (("policies", "trials", False), ("task schedulers", "elapsed", True))
        if (chosen := [s for s in found if s.name.endswith(MODEL) == networks])
    ]
    figure, panels = plt.subplots(1, len(groups), figsize=(8 * len(groups), 5), layout="constrained", squeeze=False)
    for axes, (title, of, chosen) in zip(panels[0], groups, strict=True):
        last = min(getattr(c, of)[-1] for s in chosen for c in s.curves.values())
        places = [last * (k + 1) / PLACES for k in range(PLACES)]
        for way in chosen[0].curves:
            points = [(p, speed) for p in places if (speed := _mean_speed(chosen, way, p, of)) is not None]
            axes.step([p for p, _ in points], [v for _, v in points], where="post", label=way)
        axes.set(
            title=f"{title}: {', '.join(s.name.rpartition('/')[2] for s in chosen)}",
            xlabel="trials" if of == "trials" else "seconds",
            ylabel="speed over the best found",
        )
        axes.legend(loc="lower right")
    figure.savefig(path)
    plt.close(figure)


def _mean_speed(found: Sequence[Searched], way: str, place: float, of: str) -> float | None:
    speeds: list[float] = []
    for s in found:
        now = s.curves[way].at(place, of=of)
        if now is None:
            return None
        speeds.append(min(c.best[-1] for c in s.curves.values()) / now)
    return geometric_mean(speeds)
