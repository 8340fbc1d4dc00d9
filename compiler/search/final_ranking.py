"""What is chosen at the end of a search: the fastest are measured again, in other processes and inside the network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ansorc.compiler.measuring.measurer import Measurer
from ansorc.compiler.search.policy import TaskSearch
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

Inside = Callable[[Mapping[str, Sequence[Candidate]]], Mapping[str, Mapping[Candidate, float]]]
"""What times candidates of all tasks where they will run; tasks for which it cannot are left out."""
Note = Callable[[SearchTask, Mapping[Candidate, float | None]], None]
"""Takes down what candidates of a task take by now; None for those that fail."""


def seconds_of(tasks: int, *, inside: bool) -> float:
    """Return what ranking so many tasks takes, about."""
    each = CONFIRM_SECONDS + (INSIDE_SECONDS if inside else 0)
    return tasks * each + (SETTLE_SECONDS if tasks else 0)


@dataclass(frozen=True)
class FinalRanking:
    """Ranks the trials of searches anew."""

    searches: Sequence[TaskSearch]
    measurer: Measurer
    note: Note

    def rank(self, inside: Inside | None) -> None:
        """Measure the fastest of each task again, and change the times of its trials so that the right one is best."""
        self._confirm()
        self._settle(self._compare(inside))

    def _confirm(self) -> None:
        """Measure the fastest of each task once more: the least of many times is too good to be true.

        So are those of the next ones, where they look faster than what the first really take: they have their turn. Of
        thousands there are more than have a turn; only what had one can be the best.
        """
        confirmed = self._measure_fastest()
        for search in self.searches:
            self._rank_behind(search, [p for p in search.trials if (search.task.name, p) in confirmed])

    def _rank_behind(self, search: TaskSearch, first: Collection[Point]) -> None:
        """Let no point be faster than the fastest of the `first`."""
        timed = {p: s for p, t in search.trials.items() if (s := t.seconds) is not None}
        least = BEHIND * min((timed[p] for p in first if p in timed), default=0.0)
        lucky = [p for p, s in timed.items() if s < least and p not in first]
        search.trials.update({p: replace(search.trials[p], times=(least,)) for p in lucky})
        self.note(search.task, {search.task.candidate(p): least for p in lucky})

    def _measure_fastest(self) -> set[tuple[str, Point]]:
        """Give the fastest their turns; return who had one, by task."""
        confirmed: set[tuple[str, Point]] = set()
        for _ in range(CONFIRMATIONS):
            chosen: list[tuple[TaskSearch, list[Point]]] = []
            for search in self.searches:
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
            chosen, finalists, self.measurer.confirm(finalists), strict=True
        ):
            for point, again in zip(points, times, strict=True):
                before = search.trials[point].times if keep and again else ()
                search.trials[point] = replace(search.trials[point], times=before + again)
            self.note(search.task, {c: search.trials[p].seconds for c, p in zip(candidates, points, strict=True)})

    def _compare(self, inside: Inside | None) -> Collection[str]:
        """Rank the fastest of each task, and its default, by what they take inside the network; return which tasks.

        Their times are relative to the fastest one alone: in there, everything takes longer.
        """
        if inside is None:
            return ()
        chosen: dict[str, list[Point]] = {}
        for search in self.searches:
            fastest = [p for p in search.fastest(1.0) if p in search.trials]
            points = dict.fromkeys([*fastest[:CONTENDERS], *(p for p in search.defaults()[:1] if p in fastest)])
            if len(points) > 1:
                chosen[search.task.name] = list(points)
        searches = {s.task.name: s for s in self.searches}
        tasks = {name: s.task for name, s in searches.items()}
        if not chosen:
            return ()
        found = inside({name: [tasks[name].candidate(p) for p in points] for name, points in chosen.items()})
        for name, times in found.items():
            alone, least = searches[name].trials[chosen[name][0]].seconds, min(times.values())
            assert alone is not None
            seconds = {c: alone * s / least for c, s in times.items()}
            for point in chosen[name]:
                trials, candidate = searches[name].trials, tasks[name].candidate(point)
                trials[point] = replace(trials[point], times=(seconds[candidate],))
            self.note(tasks[name], seconds)
        return found.keys()

    def _settle(self, compared: Collection[str]) -> None:
        """Rank the fastest of the tasks that no network compared by what they take in more processes."""
        alone = [s for s in self.searches if s.task.name not in compared]
        fastest = [(s, [p for p in s.fastest(1.0) if p in s.trials][:CONTENDERS]) for s in alone]
        chosen = [(s, points) for s, points in fastest if len(points) > 1]
        for _ in range(SETTLEMENTS if chosen else 0):
            self._measure_again(chosen, keep=True)
        for search, points in chosen:
            self._rank_behind(search, points)
