"""Schedules for the tasks of a program: searched now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from statistics import median

from ansorc.compiler.cost_model.boosted_trees import Trees, starting_model
from ansorc.compiler.errors import InvalidOptionError, NothingToTuneError
from ansorc.compiler.measuring.measurer import LocalPools, PoolMeasurer, Pools
from ansorc.compiler.network_variants import Variant, run_variants
from ansorc.compiler.options import NO_RECORDS, Options
from ansorc.compiler.program import Program
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.records.shipped import ShippedSchedules
from ansorc.compiler.search.policy import SearchSettings
from ansorc.compiler.search.scheduler import Goal
from ansorc.compiler.search.task import SearchTask, calls_of, tasks_of, weights_between_calls
from ansorc.compiler.search.tuner import Budget, Event, Settings, Tuned, Watch, tune
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import runs_here, target_key, usable_cores, warm_keys
from ansorc.compiler.task_job import machine_of

WINS = 0.98
"""Of the default's time: what two runs of one schedule differ by is no gain."""
MOST_BATCH, LEAST_BATCH, TRIALS_A_SECOND = 32, 4, 4


def records_file(options: Options) -> Path | None:
    """Return where a search keeps trials; None where it is to keep none."""
    if options.records == NO_RECORDS:
        return None
    return Path(options.records or options.cache_dir / "records.db")


def search(
    sources: Sequence[Program],
    options: Options,
    watch: Watch | None = None,
    settings: SearchSettings | None = None,
    *,
    strategy: str = "gradient",
    patience: int | None = None,
    least_gain: float = 0.0,
    objective: str = "latency",
    required: Sequence[float] = (),
    began: float | None = None,
) -> Tuned:
    """Tune programs of the stage `linalg` together on this machine; trials go to the records.

    `objective` is one of OBJECTIVES; `required` has seconds of each program, for the objective of that name. Seconds
    of the options count from `began` (time.perf_counter), or from now.

    Raises NothingToTuneError, InvalidOptionError for another machine's target, UnusableRecordsError, ClusterError.
    """
    if options.cluster is None and not runs_here(options.target):
        expected = "native, or a level of x86-64 that this machine has: a search measures on it"
        raise InvalidOptionError("target", options.target.cpu, expected)
    each = [tasks_of(s, machine_of(options.target), exact=options.exact) for s in sources]
    calls = Counter[str]()
    for t in (t for tasks in each for t in tasks):
        calls[t.name] += t.weight
    threads = options.threads or usable_cores()
    with nullcontext() if options.records == NO_RECORDS else ShippedSchedules(options.target, threads) as shipped:
        tasks = [
            replace(t, weight=calls[n], known=() if (p := shipped and shipped.best(t)) is None else (p,))
            for n, t in {t.name: t for tasks in each for t in tasks}.items()
        ]
    count = sum(bool(t.spaces) for t in tasks)
    if not count:
        raise NothingToTuneError(sources[0].name, len(tasks))
    goal = Goal(tuple({t.name: t.weight for t in tasks} for tasks in each), objective, tuple(required))
    if settings is None:
        settings = SearchSettings(batch=batch_size(options, count))
    budget = Budget(options.trials or None, options.seconds, began, patience, least_gain)
    model = starting_model(options)
    trees = None if model is None else Trees.load(model)
    # Elsewhere, or with empty caches, this machine's running network tells nothing.
    inside = None if options.cluster or options.cold else partial(inside_networks, sources, options)
    between = 0 if options.cold else max(weights_between_calls(s, options.target) for s in sources)
    pools = _pools(options)
    measurer = PoolMeasurer(
        options.target, threads, pools, options.seed, exact=options.exact, between_calls=between, cold=options.cold
    )
    try:
        key = target_key(options.target, network=between > 0, cold=options.cold)
        environment = json.dumps(pools.environment())
        known = Settings(key, threads, options.seed, settings, strategy, environment)
        path = records_file(options)
        with nullcontext() if path is None else Records(path) as records:
            return tune(tasks, measurer, known, budget, records, watch or _reporting(options), trees, goal, inside)
    finally:
        measurer.close()


def inside_networks(
    sources: Sequence[Program], options: Options, contenders: Mapping[str, Sequence[Candidate]]
) -> Mapping[str, Mapping[Candidate, float]]:
    """Return what candidates take inside of the networks: seconds of all calls of a task together.

    Networks of a single call are left out, and those that do not fit into the memory several times.
    """
    found: dict[str, dict[Candidate, float]] = {}
    for source in sources:
        mine = {name: each for name, each in contenders.items() if name in source.code}
        count = max(map(len, mine.values()), default=0)
        if count < 2 or sum(calls_of(source.main).values()) < 2:
            continue
        variants = [{name: each[min(k, len(each) - 1)] for name, each in mine.items()} for k in range(count)]
        timed = run_variants([Variant(source, v) for v in variants], options)
        for name in mine if timed else ():
            each = [(variant[name], times.tasks[name]) for variant, times in zip(variants, timed, strict=True)]
            together = found.setdefault(name, {})
            for candidate in mine[name]:
                seconds = median(s for c, s in each if c == candidate)
                together[candidate] = together.get(candidate, 0.0) + seconds
    return found


def winners(source: Program, options: Options) -> list[tuple[SearchTask, Record]]:
    """Return those of the recorded schedules that are faster than the defaults inside of the running network."""
    threads = options.threads or usable_cores()
    keys = warm_keys(options.target, network=weights_between_calls(source, options.target) > 0)
    found: dict[str, tuple[SearchTask, Record]] = {}
    with Records(Path(str(options.records)), create=False) as records:
        for task in tasks_of(source, machine_of(options.target), exact=options.exact):
            best = records.best(task.name, *keys, threads=threads)
            if best is not None and task.point(best.candidate) is not None:
                found[task.name] = task, best
    recorded = {name: r.candidate for name, (_, r) in found.items()}
    timed = run_variants([Variant(source), Variant(source, recorded)], options)
    if not timed:
        return []
    default, given = timed
    return [tr for name, tr in found.items() if given.tasks[name] < WINS * default.tasks[name]]


def _pools(options: Options) -> Pools:
    if options.cluster is None:
        return LocalPools(options.jobs)
    from ansorc.compiler.measuring.cluster import ClusterPools

    return ClusterPools(options.cluster, target_key(options.target))


def tunable(sources: Sequence[Program], options: Options) -> int:
    """Count the tasks of programs that have a choice of schedules."""
    machine = machine_of(options.target)
    return len({t.name for s in sources for t in tasks_of(s, machine, exact=options.exact) if t.spaces})


def batch_size(options: Options, tasks: int) -> int:
    """Return how many candidates to try together, so that every task has its turn within the budget.

    The first batches of all tasks may take a third of the time.
    """
    shares = [MOST_BATCH]
    if options.trials:
        shares.append(options.trials // tasks)
    if options.seconds is not None:
        shares.append(int(options.seconds * TRIALS_A_SECOND / (3 * tasks)))
    return max(LEAST_BATCH, min(shares))


def expected_seconds(options: Options) -> float:
    """Return what a search takes, about."""
    trials = options.trials / TRIALS_A_SECOND if options.trials else inf
    return min(trials, options.seconds or inf)


def _reporting(options: Options) -> Watch:
    """Return a watcher that tells of each batch in the words of progress lines."""

    def watch(event: Event) -> None:
        left = options.trials or 0
        options.report(f"searching: {network_line(event)}", event.done, left)

    return watch


def network_line(event: Event) -> str:
    """Return what the tasks together are estimated to take."""
    known = [p for p in event.progress if p.best is not None]
    together = sum(p.task.weight * p.best for p in known if p.best is not None)
    missing = f", {len(event.progress) - len(known)} tasks to come" if len(known) < len(event.progress) else ""
    return f"tasks together {1e3 * together:.3f} ms{missing}"
