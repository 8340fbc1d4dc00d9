"""Schedules for the tasks of a program that were found before: in a file of records, or shipped with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ansorc.compiler.options import NO_RECORDS, Options
from ansorc.compiler.program import Program
from ansorc.compiler.records.database import Records
from ansorc.compiler.records.shipped import ShippedSchedules
from ansorc.compiler.records.similar import SimilarTasks
from ansorc.compiler.search.task import SearchTask, fitting_spaces, tasks_of, weights_between_calls
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import target_key, usable_cores, warm_keys
from ansorc.compiler.task_job import machine_of

RECORDS, SHIPPED, ADAPTED = "records", "shipped", "adapted"


@dataclass(frozen=True)
class Coverage:
    """Where the schedule of a task comes from."""

    task: SearchTask
    source: str
    """RECORDS, SHIPPED, or where else it comes from, and why."""
    seconds: float | None = None

    @property
    def adapted(self) -> bool:
        """Whether it is another task's, brought to what is legal here."""
        return self.source.startswith(ADAPTED)


def recorded(source: Program, options: Options) -> tuple[Mapping[str, Candidate], list[Coverage]]:
    """Return the best schedules that are known for a program's tasks, and where each comes from.

    The file of `options.records` comes before what is shipped, and both before what is adapted from another task.
    Without a file, tasks that nothing is shipped for are not looked at.
    """
    threads = options.threads or usable_cores()
    found: dict[str, Candidate] = {}
    coverage: list[Coverage] = []
    machine = machine_of(options.target)
    if options.records is None:
        return _shipped(source, options, threads)
    with (
        Records(Path(options.records), create=False) as records,
        ShippedSchedules(options.target, threads) as shipped,
    ):
        keys = _keys(source, options)
        similar = SimilarTasks(records, keys, threads, machine)
        for task in tasks_of(source, machine, exact=options.exact):
            best = records.best(task.name, *keys, threads=threads) if task.spaces else None
            if best is not None and task.point(best.candidate) is not None:
                found[task.name] = best.candidate
                coverage.append(Coverage(task, RECORDS, best.seconds))
            elif (point := shipped.best(task)) is not None:
                found[task.name] = task.candidate(point)
                coverage.append(Coverage(task, SHIPPED))
            elif task.spaces and (adapted := similar.adapted(task)) is not None:
                found[task.name] = adapted.candidate
                coverage.append(Coverage(task, f"{ADAPTED} from records of the same operators on {adapted.origin}"))
            elif best is not None:
                coverage.append(Coverage(task, "default: its record is a schedule that this version does not have"))
            else:
                coverage.append(Coverage(task, _missing(task, records)))
    return found, coverage


def _keys(source: Program, options: Options) -> Sequence[str]:
    """Return what records of times are named that tell of a program's calls, those that tell most first."""
    if options.cold:
        return (target_key(options.target, cold=True),)
    return warm_keys(options.target, network=weights_between_calls(source, options.target) > 0)


def _shipped(source: Program, options: Options, threads: int) -> tuple[Mapping[str, Candidate], list[Coverage]]:
    """Look at the tasks that something is shipped for; nothing is estimated, as every compilation comes by here."""
    machine = machine_of(options.target)
    found: dict[str, Candidate] = {}
    coverage: list[Coverage] = []
    with ShippedSchedules(options.target, threads) as shipped:
        for name in shipped.known(source.code):
            text = source.code[name]
            task = SearchTask(name, text, 1, fitting_spaces(text, machine, exact=options.exact), 0.0)
            if (point := shipped.best(task)) is not None:
                found[name] = task.candidate(point)
                coverage.append(Coverage(task, SHIPPED))
    return found, coverage


def coverage_lines(coverage: Sequence[Coverage]) -> list[str]:
    """Return a line for every task: where its schedule comes from."""
    used, shipped = (sum(c.source == source for c in coverage) for source in (RECORDS, SHIPPED))
    adapted = sum(c.adapted for c in coverage)
    lines = [
        f"{used} of {len(coverage)} tasks have schedules from records"
        + (f", {shipped} such that are shipped" if shipped else "")
        + (f", {adapted} adapted from those of similar tasks" if adapted else "")
    ]
    for c in coverage:
        time = f", {1e3 * c.seconds:.4f} ms" if c.seconds is not None else ""
        lines.append(f"  {c.task.name} {c.task.shape} x{c.task.weight}: {c.source}{time}")
    return lines


def _missing(task: SearchTask, records: Records) -> str:
    if not task.spaces:
        return "default: nothing to tune"
    others = records.targets(task.name)
    return f"default: records are of {', '.join(others)} only" if others else "default: no records"


def with_schedules(options: Options, candidates: Mapping[str, Candidate], coverage: Sequence[Coverage] = ()) -> Options:
    """Return options that compile with these schedules, and search nothing."""
    given = options.candidates.keys()
    shipped = frozenset(c.task.name for c in coverage if c.source == SHIPPED) - given
    untried = options.untried | shipped | frozenset(c.task.name for c in coverage if c.adapted) - given
    return replace(
        options, candidates={**candidates, **options.candidates}, untried=untried, shipped=options.shipped | shipped,
        trials=0, seconds=None, records=NO_RECORDS,
    )  # fmt: skip
