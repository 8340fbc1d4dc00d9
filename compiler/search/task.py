"""A task to be tuned: its text, the spaces of its candidates, and what they are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from mlir import ir

from ansorc.compiler.program import Program
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.target import Target
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.schedule.machine import Machine

GOLDEN = 1.618


@dataclass(frozen=True)
class Point:
    """A candidate while it is searched: which of the task's spaces, and a value for each of its decisions."""

    space: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class SearchTask:
    """A task of a program, and all that it could become."""

    name: str
    text: str
    weight: int
    """How often the program calls it."""
    spaces: tuple[TaskSpace[Any], ...]
    """One for each kind of schedule that fits; none where there is nothing to tune."""
    flops: float
    """Operations of the task's own algorithm; 0 where no space says."""
    known: tuple[Point, ...] = ()
    """What won on other machines: a search begins with it, as with the defaults."""

    @property
    def group(self) -> tuple[str, int]:
        """Tasks of one group are alike: the same kinds fit, and they have about as many operations (OSDI'20, 6.1)."""
        kinds = "+".join(space.kind.name for space in self.spaces)
        return kinds, int(log(self.flops + 1) / log(GOLDEN))

    @property
    def shape(self) -> str:
        """The extents of its loops, such as "1x56x56x64 / 3x3x64"."""
        if not self.spaces:
            return ""
        sketch = self.spaces[0].sketch
        parts = ["x".join(map(str, side)) for side in (sketch.parallel, sketch.reductions) if side]
        return " / ".join(parts)

    def values(self, point: Point) -> dict[str, int]:
        """Return the decisions of a point by name."""
        names = (d.name for d in self.spaces[point.space].decisions)
        return dict(zip(names, point.values, strict=True))

    def candidate(self, point: Point) -> Candidate:
        """Return a point as a candidate."""
        return Candidate(self.spaces[point.space].sketch, tuple(self.values(point).items()))

    def point(self, candidate: Candidate) -> Point | None:
        """Return a candidate as a point; None where it does not fit the task."""
        for k, space in enumerate(self.spaces):
            if space.kind.name == candidate.sketch.kind and space.illegal(candidate) is None:
                values = candidate.values
                return Point(k, tuple(values[d.name] for d in space.decisions))
        return None


def tasks_of(program: Program, machine: Machine, *, exact: bool = False) -> list[SearchTask]:
    """Return the tasks of a program of the stage `linalg`, in its order; `exact` leaves out what rounds more."""
    weights = calls_of(program.main)
    return [task_of_text(n, text, weights.get(n, 1), machine, exact=exact) for n, text in program.code.items()]


def task_of_text(name: str, text: str, weight: int, machine: Machine, *, exact: bool = False) -> SearchTask:
    """Return the task of a module with one function; only spaces that have a candidate count."""
    spaces = tuple(s for s in fitting_spaces(text, machine, exact=exact) if s.choose() is not None)
    return SearchTask(name, text, weight, spaces, _flops(spaces))


def fitting_spaces(text: str, machine: Machine, *, exact: bool = False) -> tuple[TaskSpace[Any], ...]:
    """Return the spaces of the kinds that fit a task; some may be empty, as nothing is estimated."""
    return tuple(s for s in spaces_of_task(text, machine) if s.kind.name in all_kinds(exact=exact))


def _flops(spaces: tuple[TaskSpace[Any], ...]) -> float:
    for space in sorted(spaces, key=lambda s: not s.kind.exact):
        choice = space.choose()
        if choice is not None:
            return space.properties(choice.candidate).flops
    return 0.0


def calls_of(main: str) -> Mapping[str, int]:
    """Return how often the main module of a program calls each of its tasks."""
    with context(), ir.Location.unknown():
        module = ir.Module.parse(main)
        return {
            ir.StringAttr(f.attributes["sym_name"]).value: ir.IntegerAttr(f.attributes["ansorc.weight"]).value
            for f in functions(module)
            if "ansorc.weight" in f.attributes
        }


def weights_between_calls(program: Program, target: Target) -> int:
    """Return the bytes of weights that a program reads between two calls of a task; 0 where a core's own caches keep
    them, or where it calls nothing else.
    """
    if program.weight_bytes <= target.caches.l2 or sum(calls_of(program.main).values()) < 2:
        return 0
    return program.weight_bytes
