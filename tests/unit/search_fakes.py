"""A measurer that computes times instead of measuring them, for tests of the search."""

from collections.abc import Sequence
from math import log2

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measuring.measurer import Finalists
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.options import Options
from ansorc.compiler.search.task import SearchTask, tasks_of
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import Target, parse_target
from ansorc.compiler.task_job import machine_of
from ansorc.tools.workloads import Workload

TARGET = parse_target("znver4")


def tasks(*workloads: Workload, target: Target = TARGET) -> list[SearchTask]:
    """Return the tasks of layers that have a space."""
    options = Options(target=target)
    made: list[SearchTask] = []
    for workload in workloads:
        program = to_tasks(read(workload.case(1).model, options), options)
        made += [t for t in tasks_of(program, machine_of(target)) if t.spaces]
    return made


def invented_seconds(candidate: Candidate) -> float:
    """Return a time that has one best candidate, far from the analytic model's."""
    wanted = {"lanes": 8, "vectors": 2, "unroll": 2, "chunk_blocks": 1, "finish": 0, "prefetch": 16}
    off = sum(abs(log2((1 + v) / (1 + wanted.get(name, 3)))) for name, v in candidate.decisions)
    return 1e-4 * (1 + off)


class Inventor:
    """Measures nothing; remembers what it was asked for.

    Every third candidate is `broken`; of `lucky` ones, too, the first times are half of what they really take. Those of
    the next measurement are so, too, if they are lucky `twice`.
    """

    def __init__(
        self, interrupt_after: int | None = None, broken: str = "", *, lucky: bool = False, twice: bool = False
    ) -> None:
        self.asked: list[tuple[str, Candidate]] = []
        self.confirmed: list[Candidate] = []
        self._interrupt_after, self._broken, self._lucky, self._twice = interrupt_after, broken, lucky, twice

    def measure(self, task: SearchTask, candidates: Sequence[Candidate | None], best: float | None) -> list[Trial]:
        if self._interrupt_after is not None and len(self.asked) >= self._interrupt_after:
            raise KeyboardInterrupt
        trials: list[Trial] = []
        for candidate in candidates:
            assert candidate is not None
            self.asked.append((task.name, candidate))
            third = len(self.asked) % 3 == 0
            seconds = invented_seconds(candidate) / (2 if self._lucky and third else 1)
            if self._broken and third:  # faster than all that is right
                trials.append(Trial(self._broken, reason="broken"))
            else:
                trials.append(Trial("measured", (seconds, seconds)))
        return trials

    def confirm(self, finalists: Finalists) -> list[list[tuple[float, ...]]]:
        return [[(self._again(c),) for c in candidates] for _, candidates in finalists]

    def _again(self, candidate: Candidate) -> float:
        first = candidate not in self.confirmed
        self.confirmed.append(candidate)
        third = any(c == candidate for _, c in self.asked[2::3])
        return invented_seconds(candidate) / (2 if self._twice and third and first else 1)

    def close(self) -> None:
        pass
