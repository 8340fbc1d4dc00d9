"""Tuning: the scheduler picks a task, its search proposes candidates, they are tried, and everybody learns."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ansorc.compiler.cost_model.boosted_trees import CostModel, Trees
from ansorc.compiler.errors import TaskFailedError
from ansorc.compiler.measuring.measurer import Measurer
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.records.database import Record, Records, Run
from ansorc.compiler.search.final_ranking import FinalRanking, Inside, seconds_of
from ansorc.compiler.search.policy import SearchSettings, TaskSearch
from ansorc.compiler.search.scheduler import Goal, Progress, Scheduler
from ansorc.compiler.search.task import Point, SearchTask
from ansorc.compiler.sketch.candidate import Candidate


@dataclass(frozen=True)
class Budget:
    """When tuning ends: whatever comes first."""

    trials: int | None = None
    seconds: float | None = None
    began: float | None = None
    """time.perf_counter() when `seconds` began [default: with the first batch]; one batch is tried all the same."""
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
        self._start = time.perf_counter() if budget.began is None else budget.began
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
            FinalRanking(self._searches, self._measurer, self._note).rank(self._inside)
        except KeyboardInterrupt:
            interrupted = True
        best = [(s.task, found) for s in self._searches if (found := s.best) is not None]
        candidates = {task.name: task.candidate(point) for task, (point, _) in best}
        seconds = {task.name: s for task, (_, s) in best}
        return Tuned(candidates, seconds, self._scheduler.tasks, self._done, interrupted)

    def _left(self) -> int:
        """Return how many trials the budget still allows (for a time budget: a batch, until it is over)."""
        trials = self._budget.trials
        if self._budget.seconds is not None and self._done:
            searched = sum(p.trials > 0 for p in self._scheduler.tasks)
            kept = seconds_of(searched, inside=self._inside is not None)
            if time.perf_counter() - self._start >= self._budget.seconds - kept:
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
        seconds = time.perf_counter() - self._start
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

    def _note(self, task: SearchTask, seconds: Mapping[Candidate, float | None]) -> None:
        if self._records is not None and self._run is not None:
            self._records.confirm(self._run, task.name, seconds)


def _place(search: TaskSearch, point: Point) -> int:
    return 1 + list(search.trials).index(point) if point in search.trials else 0
