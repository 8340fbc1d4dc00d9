"""Tuning: the scheduler picks a task, its search proposes candidates, they are tried, and everybody learns."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansorc.compiler.cost_model.boosted_trees import CostModel, Trees
from ansorc.compiler.errors import TaskFailedError
from ansorc.compiler.measuring.measurer import Measurer
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.records.database import Record, Records, Run
from ansorc.compiler.search.policy import SearchSettings, TaskSearch
from ansorc.compiler.search.scheduler import Goal, Progress, Scheduler
from ansorc.compiler.search.task import Point, SearchTask
from ansorc.compiler.sketch.candidate import Candidate

FINALISTS = 4
"""How many of a task's fastest are measured once more, in another process, before one is chosen."""
CONFIRMATIONS = 4
"""How often others may take the place of finalists that were not as fast as they looked."""
CONFIRM_SECONDS = 0.8
"""What that takes for a task, about: it is part of a time budget."""
BEHIND = 1.001
"""What looks faster than the fastest that was measured again, but was not itself, ranks so far behind that."""
CONTENDERS = 3
"""How many of a task's fastest are timed inside the network, beside its default; or in more processes, without one."""
INSIDE_SECONDS = 0.6
"""What it takes inside the network for a task, about."""
SETTLEMENTS = 2
"""How often they are measured again without a network: of a kernel whose time depends on where its memory lies, two
processes tell little, and of many such kernels some are lucky twice."""
SETTLE_SECONDS = 3.0
"""What that takes for all tasks, about."""


@dataclass(frozen=True)
class Budget:
    """When tuning ends: whatever comes first."""

    trials: int | None = None
    seconds: float | None = None
    patience: int | None = None
    """Trials of a task without a better one, after which it gets no more."""
    least_gain: float = 0.0
    """The share of the objective that the next batch has to promise."""


@dataclass(frozen=True)
class Settings:
    """What a run depends on besides its tasks and the machine."""

    target: str
    """Names processor and features, for records."""
    threads: int
    seed: int = 0
    search: SearchSettings = field(default_factory=SearchSettings)
    strategy: str = "gradient"
    machine: str = "{}"
    """JSON for the records: processor, versions."""


@dataclass(frozen=True)
class Event:
    """What happened last, for whoever watches."""

    task: SearchTask
    candidates: Sequence[Candidate]
    """What was tried."""
    trials: Sequence[Trial]
    """What became of each."""
    done: int
    """Trials so far, of all tasks."""
    seconds: float
    """Since tuning began."""
    progress: Sequence[Progress]


@dataclass(frozen=True)
class Tuned:
    """The result."""

    best: Mapping[str, Candidate]
    """By task; tasks without a measured candidate are left out."""
    seconds: Mapping[str, float]
    progress: Sequence[Progress]
    trials: int
    interrupted: bool = False


Watch = Callable[[Event], None]
Inside = Callable[[Mapping[str, Sequence[Candidate]]], Mapping[str, Mapping[Candidate, float]]]
"""What times candidates of all tasks where they will run; tasks for which it cannot are left out."""


def tune(
    tasks: Sequence[SearchTask],
    measurer: Measurer,
    settings: Settings,
    budget: Budget,
    records: Records | None = None,
    watch: Watch = lambda _: None,
    trees: Trees | None = None,
    goal: Goal | None = None,
    inside: Inside | None = None,
) -> Tuned:
    """Search all tasks that have a space, until the budget is spent; Ctrl-C ends it with the best so far.

    What was fastest alone is compared `inside` of the network at the end, with the default schedules, too.

    The same seed, settings and records give the same candidates in the same order: a run that was interrupted takes
    its trials from the records, and goes on where it stopped.
    """
    return _Tuning(tasks, measurer, settings, budget, records, watch, trees, goal, inside).run()


class _Tuning:
    def __init__(
        self,
        tasks: Sequence[SearchTask],
        measurer: Measurer,
        settings: Settings,
        budget: Budget,
        records: Records | None,
        watch: Watch,
        trees: Trees | None,
        goal: Goal | None,
        inside: Inside | None,
    ) -> None:
        self._measurer, self._settings, self._budget = measurer, settings, budget
        self._records, self._watch, self._inside = records, watch, inside
        self._start = time.monotonic()
        self._done = 0
        tunable = [t for t in tasks if t.spaces]
        model = CostModel(settings.seed, trees)
        self._model = model
        self._searches = [
            TaskSearch(t, model, settings.threads, settings.search, random.Random(f"{settings.seed} {t.name}"))
            for t in tunable
        ]
        self._goal = goal or Goal(({t.name: t.weight for t in tunable},))
        self._scheduler = Scheduler(
            [Progress(t) for t in tunable], self._goal.objective(tunable), random.Random(settings.seed),
            settings.strategy,
        )  # fmt: skip
        self._run: Run | None = None
        self._replayed: dict[tuple[str, Candidate], Trial] = {}
        if records is not None:
            self._recall(records, tunable)

    def _recall(self, records: Records, tasks: Sequence[SearchTask]) -> None:
        """Take the trials of this run, if it was interrupted, and what was measured before it began."""
        s = self._settings
        model = self._model.pretrained.digest if self._model.pretrained is not None else ""
        names = [t.name for t in tasks]
        parts = (s.target, s.threads, s.seed, repr(s.search), s.strategy, s.machine, model, names, repr(self._goal))
        run = self._run = records.begin(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32], s.machine)
        self._replayed = {(r.task, r.candidate): r.trial for r in records.of_run(run)}
        for search in self._searches:
            task = search.task
            records.add_task(task.name, task.shape, task.flops, task.text)
            for record in records.prior(run, task.name, s.target, s.threads):
                point = task.point(record.candidate)
                if point is not None and record.seconds is not None and point not in search.prior:
                    search.prior[point] = record.seconds
                    search.learn(point, record.seconds)
        self._model.update()

    def run(self) -> Tuned:
        interrupted = False
        try:
            while self._left() > 0 and (k := self._scheduler.choose()) is not None:
                if self._scheduler.promise() < self._budget.least_gain:
                    break
                self._batch(k)
            self._confirm()
            self._settle(self._compare_inside())
        except KeyboardInterrupt:
            interrupted = True
        best = [(s.task, found) for s in self._searches if (found := s.best) is not None]
        candidates = {task.name: task.candidate(point) for task, (point, _) in best}
        seconds = {task.name: s for task, (_, s) in best}
        return Tuned(candidates, seconds, self._scheduler.tasks, self._done, interrupted)

    def _left(self) -> int:
        """Return how many trials the budget still allows (for a time budget: at least one, until it is over)."""
        trials = self._budget.trials
        if self._budget.seconds is not None:
            each = CONFIRM_SECONDS + (INSIDE_SECONDS if self._inside is not None else 0)
            searched = sum(p.trials > 0 for p in self._scheduler.tasks)
            kept = searched * each + (SETTLE_SECONDS if searched else 0)
            if time.monotonic() - self._start >= self._budget.seconds - kept:
                return 0
        return self._settings.search.batch if trials is None else trials - self._done

    def _batch(self, k: int) -> None:
        search, progress = self._searches[k], self._scheduler.tasks[k]
        points = search.propose(min(self._left(), self._settings.search.batch))
        if not points:
            progress.dead = "all its candidates are measured"
            progress.curve = progress.curve or [float("inf")]
            return
        best = search.best
        try:
            trials = self._try(search.task, points, None if best is None else best[1])
        except TaskFailedError as error:
            progress.dead = error.reason
            return
        search.absorb(points, trials)
        self._model.update()
        self._done += len(trials)
        progress.trials += len(trials)
        found = search.best
        progress.curve.append(found[1] if found is not None else float("inf"))
        if found is None and len(progress.curve) > 1:
            progress.dead = "none of its candidates could be measured"
        patience = self._budget.patience
        if patience is not None and found is not None and len(search.trials) - _place(search, found[0]) > patience:
            progress.dead = f"no better candidate in {patience} trials"
        candidates = [search.task.candidate(p) for p in points]
        seconds = time.monotonic() - self._start
        self._watch(Event(search.task, candidates, trials, self._done, seconds, self._scheduler.tasks))

    def _try(self, task: SearchTask, points: Sequence[Point], best: float | None) -> list[Trial]:
        """Return the fates of points: from the records of this run, where it was interrupted, else measured now."""
        candidates = [task.candidate(p) for p in points]
        known = {c: self._replayed[task.name, c] for c in candidates if (task.name, c) in self._replayed}
        fresh = [c for c in candidates if c not in known]
        if fresh:
            made = dict(zip(fresh, self._measurer.measure(task, fresh, best), strict=True))
            if self._records is not None and self._run is not None:
                now, s = time.time(), self._settings
                self._records.add(
                    self._run, [Record(task.name, s.target, s.threads, c, t, now, t.seconds) for c, t in made.items()]
                )
            known.update(made)
        return [known[c] for c in candidates]

    def _confirm(self) -> None:
        """Measure the fastest of each task once more: the least of many times is too good to be true.

        So are those of the next ones, where they look faster than what the first really take: they have their turn. Of
        thousands there are more than have a turn; only what had one can be the best.
        """
        confirmed = self._measure_fastest()
        for search in self._searches:
            self._rank_behind(search, [p for p in search.trials if (search.task.name, p) in confirmed])

    def _rank_behind(self, search: TaskSearch, first: Collection[Point]) -> None:
        """Let no point be faster than the fastest of the `first`."""
        timed = {p: s for p, t in search.trials.items() if (s := t.seconds) is not None}
        least = BEHIND * min((timed[p] for p in first if p in timed), default=0.0)
        lucky = [p for p, s in timed.items() if s < least and p not in first]
        search.trials.update({p: replace(search.trials[p], times=(least,)) for p in lucky})
        self._note(search.task, {search.task.candidate(p): least for p in lucky})

    def _measure_fastest(self) -> set[tuple[str, Point]]:
        """Give the fastest their turns; return who had one, by task."""
        confirmed: set[tuple[str, Point]] = set()
        for _ in range(CONFIRMATIONS):
            chosen: list[tuple[TaskSearch, list[Point]]] = []
            for search in self._searches:
                fastest = [p for p in search.fastest(1.0) if p in search.trials]
                first = next((k for k, p in enumerate(fastest) if (search.task.name, p) in confirmed), len(fastest))
                chosen.append((search, fastest[: min(first, FINALISTS)]))
            chosen = [(search, points) for search, points in chosen if points]
            if not chosen:
                break
            confirmed |= {(search.task.name, p) for search, points in chosen for p in points}
            self._measure_again(chosen)
        return confirmed

    def _measure_again(self, chosen: Sequence[tuple[TaskSearch, Sequence[Point]]], *, keep: bool = False) -> None:
        """Measure points again, beside or instead of what was measured before; those that fail now have no times."""
        finalists = [(s.task, [s.task.candidate(p) for p in points]) for s, points in chosen]
        for (search, points), (_, candidates), times in zip(
            chosen, finalists, self._measurer.confirm(finalists), strict=True
        ):
            for point, again in zip(points, times, strict=True):
                before = search.trials[point].times if keep and again else ()
                search.trials[point] = replace(search.trials[point], times=before + again)
            self._note(search.task, {c: search.trials[p].seconds for c, p in zip(candidates, points, strict=True)})

    def _compare_inside(self) -> Collection[str]:
        """Rank the fastest of each task, and its default, by what they take inside the network; return which tasks.

        Their times are relative to the fastest one alone: in there, everything takes longer.
        """
        if self._inside is None:
            return ()
        chosen: dict[str, list[Point]] = {}
        for search in self._searches:
            fastest = [p for p in search.fastest(1.0) if p in search.trials]
            points = dict.fromkeys([*fastest[:CONTENDERS], *(p for p in search.defaults()[:1] if p in fastest)])
            if len(points) > 1:
                chosen[search.task.name] = list(points)
        searches = {s.task.name: s for s in self._searches}
        tasks = {name: s.task for name, s in searches.items()}
        if not chosen:
            return ()
        found = self._inside({name: [tasks[name].candidate(p) for p in points] for name, points in chosen.items()})
        for name, times in found.items():
            alone, least = searches[name].trials[chosen[name][0]].seconds, min(times.values())
            assert alone is not None
            seconds = {c: alone * s / least for c, s in times.items()}
            for point in chosen[name]:
                trials, candidate = searches[name].trials, tasks[name].candidate(point)
                trials[point] = replace(trials[point], times=(seconds[candidate],))
            self._note(tasks[name], seconds)
        return found.keys()

    def _settle(self, compared: Collection[str]) -> None:
        """Rank the fastest of the tasks that no network compared by what they take in more processes."""
        alone = [s for s in self._searches if s.task.name not in compared]
        fastest = [(s, [p for p in s.fastest(1.0) if p in s.trials][:CONTENDERS]) for s in alone]
        chosen = [(s, points) for s, points in fastest if len(points) > 1]
        for _ in range(SETTLEMENTS if chosen else 0):
            self._measure_again(chosen, keep=True)
        for search, points in chosen:
            self._rank_behind(search, points)

    def _note(self, task: SearchTask, seconds: Mapping[Candidate, float | None]) -> None:
        if self._records is not None and self._run is not None:
            self._records.confirm(self._run, task.name, seconds)


def _place(search: TaskSearch, point: Point) -> int:
    return 1 + list(search.trials).index(point) if point in search.trials else 0
