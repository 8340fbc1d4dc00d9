"""The search of one task: which candidates to try next, given all that were tried."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.cost_model.boosted_trees import CostModel
from ansorc.compiler.cost_model.features import NAMES, compile_seconds, features
from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.search.evolution import Evolution, evolve
from ansorc.compiler.search.sample import default_points, sample_points
from ansorc.compiler.search.task import Point, SearchTask

Array = NDArray[Any]
SURCHARGE = 0.1
"""A candidate that takes a second longer to compile has to promise to be so much faster: meanwhile others are tried."""


@dataclass(frozen=True)
class SearchSettings:
    """What can be set of a search."""

    evolution: Evolution = field(default_factory=Evolution)
    eps_greedy: float = 0.05
    """The share of a batch that is drawn at random."""
    batch: int = 32
    """Candidates that are tried together."""
    policy: str = "evolution"
    """One of POLICIES."""
    defaults: bool = True
    """Whether the default schedules are tried first, and evolved from; an ablation."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InvalidOptionError("batch", self.batch, "at least 1")
        if not 0 <= self.eps_greedy <= 1:
            raise InvalidOptionError("eps_greedy", self.eps_greedy, "0 to 1")
        if self.policy not in POLICIES:
            raise InvalidOptionError("policy", self.policy, f"one of {', '.join(POLICIES)}")


@dataclass
class TaskSearch:
    """One task, what was tried of it, and the random numbers that its next candidates come from."""

    task: SearchTask
    model: CostModel
    threads: int
    settings: SearchSettings
    generator: random.Random
    trials: dict[Point, Trial] = field(default_factory=dict[Point, Trial])
    prior: dict[Point, float] = field(default_factory=dict[Point, float])
    """Seconds of points that were measured before this search."""

    @property
    def best(self) -> tuple[Point, float] | None:
        """The fastest point and its seconds."""
        timed = [(t.seconds, k, p) for k, (p, t) in enumerate(self.trials.items()) if t.seconds is not None]
        known = [*timed, *((s, -1, p) for p, s in self.prior.items())]
        return min(((p, s) for s, _, p in known), key=lambda ps: ps[1], default=None)

    def propose(self, count: int) -> list[Point]:
        """Return up to `count` points that were not tried; none where the space has no more.

        The first batch begins with the default schedules.
        """
        tried = {*self.trials, *self.prior}
        first = [p for p in self.defaults() if p not in tried] if not self.trials else []
        rest = POLICIES[self.settings.policy](self, count - len(first), {*tried, *first})
        return [*first, *rest][:count]

    def defaults(self) -> list[Point]:
        """Return the candidates that analytic models like best, and what is known of elsewhere, unless the search is to
        do without."""
        return list(dict.fromkeys([*default_points(self.task), *self.task.known])) if self.settings.defaults else []

    def absorb(self, points: Sequence[Point], trials: Sequence[Trial]) -> None:
        """Remember what became of points, and let the cost model learn of those that were measured."""
        for point, trial in zip(points, trials, strict=True):
            self.trials[point] = trial
            if trial.seconds is not None:
                self.learn(point, trial.seconds)

    def learn(self, point: Point, seconds: float) -> None:
        """Let the cost model learn of a measured point."""
        rows, cycles = self.describe([point])
        self.model.add(self.task.name, rows[0], cycles[0], seconds)

    def score(self, points: Sequence[Point]) -> Sequence[float]:
        """Return predicted seconds of points, with a surcharge for what takes long to compile."""
        rows, cycles = self.describe(points)
        return (self.model.predict(rows, cycles) * (1 + SURCHARGE * compile_seconds(rows))).tolist()

    def describe(self, points: Sequence[Point]) -> tuple[Array, Array]:
        """Return the features of points, and the cycles that analytic models estimate."""
        rows, cycles = np.empty((len(points), len(NAMES))), np.empty(len(points))
        for k, space in enumerate(self.task.spaces):
            mine = [n for n, p in enumerate(points) if p.space == k]
            rows[mine], cycles[mine] = features(space, [points[n].values for n in mine], self.threads)
        return rows, cycles

    def fastest(self, share: float) -> list[Point]:
        """Return the fastest measured points: at most `share` of a population."""
        timed = [(s, p) for p, t in self.trials.items() if (s := t.seconds) is not None]
        ranked = sorted([*timed, *((s, p) for p, s in self.prior.items())], key=lambda sp: sp[0])
        return [p for _, p in ranked[: int(share * self.settings.evolution.population)]]


def evolution(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return what evolution likes best, and a few random points (epsilon greedy)."""
    settings, task = search.settings, search.task
    if count < 1:
        return []
    sampled = sample_points(task, settings.evolution.population, search.generator, tried)
    measured = search.fastest(settings.evolution.measured_ratio)
    first = [*measured, *search.defaults(), *sampled]
    ranked = evolve(task, first, search.score, count, search.generator, settings.evolution, tried)
    random_ones = round(settings.eps_greedy * count)
    greedy = ranked[: count - random_ones]
    others = [p for p in sampled if p not in set(greedy)]
    return [*greedy, *search.generator.sample(others, min(random_ones, len(others)))]


def draft_then_verify(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return what evolution makes of a draft: the points that the analytic model likes best, of many (Pruner)."""
    if count < 1:
        return []
    settings, task = search.settings, search.task
    size = settings.evolution.population
    sampled = sample_points(task, DRAFTS * size, search.generator, tried)
    cycles = dict(zip(sampled, search.describe(sampled)[1].tolist(), strict=True))
    draft = sorted(sampled, key=lambda p: cycles[p])[:size]
    first = [*search.fastest(settings.evolution.measured_ratio), *search.defaults(), *draft]
    return evolve(task, first, search.score, count, search.generator, settings.evolution, tried)


def without_fine_tuning(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return the best of a random sample by the cost model, without evolution (the paper's ablation)."""
    sampled = sample_points(search.task, search.settings.evolution.population, search.generator, tried)
    scores = dict(zip(sampled, search.score(sampled), strict=True))
    return sorted(sampled, key=lambda p: scores[p])[: max(0, count)]


def limited_space(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return what evolution finds in the space of a template: the default's algorithm, and only tiles and chunks vary.

    As the paper's ablation, which fixes tile structure, compute location and unrolling.
    """
    defaults = default_points(search.task)
    if not defaults:
        return []
    template, values = defaults[0], search.task.values(defaults[0])
    fixed = [d.name for d in search.task.spaces[template.space].decisions if d.role not in ("tile", "parallel")]
    found: list[Point] = []
    for point in evolution(search, LIMITED_DRAWS * count, tried):
        legal = search.task.spaces[template.space].nearest(
            {**search.task.values(point), **{name: values[name] for name in fixed}}
        )
        kept = None if legal is None else Point(template.space, tuple(legal.values()))
        if kept is not None and kept not in tried and kept not in found:
            found.append(kept)
    return found[: max(0, count)]


def beam_search(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return what a beam leads to that makes one decision after the other (the paper's ablation, as Halide does).

    An incomplete program is scored with the first legal values of the decisions that are still to be made.
    """
    found: dict[Point, float] = {}
    for k, space in enumerate(search.task.spaces):
        beam: list[dict[str, int]] = [{}]
        for decision in space.decisions:
            grown: dict[Point, dict[str, int]] = {}
            for made in beam:
                for option in decision.options(space.nest, space.machine, made):
                    partial = {**made, decision.name: option}
                    whole = space.nearest(partial)
                    if whole is not None:
                        grown[Point(k, tuple(whole.values()))] = partial
            points = list(grown)
            scores = dict(zip(points, search.score(points), strict=True))
            found.update(scores)
            beam = [grown[p] for p in sorted(points, key=lambda p: scores[p])[: max(count, BEAM)]]
    return [p for p in sorted(found, key=lambda p: found[p]) if p not in tried][: max(0, count)]


def sampling(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return random points."""
    return sample_points(search.task, max(0, count), search.generator, tried)


def coordinate_descent(search: TaskSearch, count: int, tried: set[Point]) -> list[Point]:
    """Return the neighbours of the best point, after as many samples as DPAnsor takes; then those of the next best."""
    if len(search.trials) < SAMPLES_BEFORE_DESCENT:
        return evolution(search, count, tried)
    found: list[Point] = []
    for point in search.fastest(1.0):
        space = search.task.spaces[point.space]
        for candidate in space.neighbours(search.task.candidate(point)):
            near = search.task.point(candidate)
            if near is not None and near not in tried and near not in found:
                found.append(near)
        if len(found) >= count:
            break
    return found[:count]


SAMPLES_BEFORE_DESCENT = 300
DRAFTS = 4
"""Points that are drafted for one that is verified."""
LIMITED_DRAWS = 3
BEAM = 32
POLICIES: Mapping[str, Callable[[TaskSearch, int, set[Point]], list[Point]]] = {
    "evolution": evolution,
    "draft-then-verify": draft_then_verify,
    "coordinate-descent": coordinate_descent,
    "limited-space": limited_space,
    "no-fine-tuning": without_fine_tuning,
    "beam-search": beam_search,
    "random": sampling,
}
"""Ansor's search, others that came after it, and the ablations of the paper (7.1)."""
