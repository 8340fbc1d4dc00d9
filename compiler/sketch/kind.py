"""A kind of schedule: which tasks it fits, its decisions, how a candidate becomes a script; and the space of a task."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import log2
from typing import ClassVar, Generic, TypeVar

from mlir import ir

from ansorc.compiler.errors import IllegalDecisionError
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.properties import Properties
from ansorc.compiler.sketch.steps import Values
from ansorc.dialect_passes.ir_walk import collect
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import NoSingleAnchor

ROLES = ("algorithm", "tile", "parallel", "unroll", "location", "packing")

N = TypeVar("N")
"""What a kind knows of a task: numbers, from which all that follows is computed without lowering."""

DOES_NOT_FIT = (NoSingleAnchor, CannotBlock)
REMEMBERED = 1 << 14
"""Candidates whose properties a space remembers: a search asks whether one is legal, and then for its features."""


def described(kind: Kind[N], function: ir.Operation) -> N:
    """Return what a kind knows of a task; raises one of DOES_NOT_FIT.

    Most kinds block loops, and refuse tasks that compute with their numbers: a blocked loop has two.
    """
    if not kind.keeps_numbers and collect(function, "linalg.index"):
        raise CannotBlock("it computes with the numbers of its loops")
    return kind.describe(function)


@dataclass(frozen=True, order=True)
class Decision(ABC, Generic[N]):
    """One hole of a sketch.

    Its legal values may depend on decisions that were made before it (`chosen`): a space is a tree, and every path
    from its root to a leaf is a candidate.
    """

    name: str
    role: ClassVar[str] = "tile"
    """What it decides, one of ROLES: how likely a search changes it, and what a crossover takes together."""

    @abstractmethod
    def options(self, nest: N, machine: Machine, chosen: Values) -> tuple[int, ...]:
        """Return the legal values in a meaningful order; none where the choices before this one lead nowhere."""

    def default(self, nest: N, machine: Machine, chosen: Values) -> int:
        """Return the value to start from; IndexError where there is none."""
        return self.options(nest, machine, chosen)[0]

    def sample(self, generator: random.Random, nest: N, machine: Machine, chosen: Values) -> int | None:
        """Draw a legal value with equal chances."""
        options = self.options(nest, machine, chosen)
        return generator.choice(options) if options else None

    def neighbours(self, value: int, nest: N, machine: Machine, chosen: Values) -> tuple[int, ...]:
        """Return the legal values next to one."""
        options = self.options(nest, machine, chosen)
        lower = [o for o in options if o < value]
        higher = [o for o in options if o > value]
        return tuple([*lower[-1:], *higher[:1]])

    def encode(self, value: int) -> tuple[float, ...]:
        """Return numbers for a cost model."""
        return (log2(1 + value),)


@dataclass(frozen=True)
class Choice:
    """A default candidate, and the cycles on one core that its kind's model gives it."""

    candidate: Candidate
    cycles: float


class Kind(ABC, Generic[N]):
    """A structure of schedules: which tasks it fits, its decisions, and how a candidate becomes a script."""

    name: str
    exact: bool = True
    """Whether results differ from those of the task's own operators by the order of sums alone."""
    few_streams: bool = False
    """Whether loops over products read so few streams that LLVM need not look for induction variables.

    That takes half of the time of code generation.
    """
    keeps_numbers: bool = False
    """Whether a task may compute with the numbers of loops; `describe` refuses those of loops that are blocked."""
    prepared: tuple[str, ...]
    """Decisions that are made on the linalg operations, before the script."""
    sometimes: tuple[str, ...] = ()
    """More of them, which only some tasks have."""

    @abstractmethod
    def describe(self, function: ir.Operation) -> N:
        """Return what is known of a task; raises one of DOES_NOT_FIT, and leaves a task that does not fit as it was.

        A task that fits may be brought into another form of the same computation: an anchor without epilogue gets one.
        """

    @abstractmethod
    def extents(self, nest: N) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the parallel and the reduction loops' extents: what a candidate is for."""

    @abstractmethod
    def sketch(self, nest: N) -> Sketch:
        """Return the sketch for a task."""

    @abstractmethod
    def space(self, nest: N) -> Sequence[Decision[N]]:
        """Return the decisions in the order in which they are made."""

    @abstractmethod
    def choose(self, nest: N, machine: Machine) -> Choice | None:
        """Return the candidate that the kind's model likes best; None where the space is empty."""

    @abstractmethod
    def parts(self, nest: N, machine: Machine, values: Values) -> Mapping[str, float]:
        """Return what the model's estimate of a candidate is made of: cycles by what they wait for."""

    @abstractmethod
    def properties(self, nest: N, machine: Machine, values: Values) -> Properties:
        """Return what is known of a candidate without lowering it."""

    @abstractmethod
    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        """Bring the operations of a described task into the form that the script of a candidate assumes.

        Returns how constant arguments are laid out now. Raises one of DOES_NOT_FIT.
        """

    @abstractmethod
    def emit(self, candidate: Candidate) -> str:
        """Return the transform module of a candidate; a pure function.

        Its attributes say what `prepare` decided: what `ansorc-opt` needs to replay it, perhaps edited.
        """

    def attributes(self, values: Values) -> str:
        """Return the attributes of a script's module."""
        names = [*self.prepared, *(name for name in self.sometimes if name in values)]
        decided = [f"ansorc.{name} = {values[name]} : i64" for name in names]
        return ", ".join([f'ansorc.kind = "{self.name}"', *decided])


@dataclass(frozen=True)
class TaskSpace(Generic[N]):
    """The candidates of one kind for one task on one machine."""

    kind: Kind[N]
    nest: N
    machine: Machine

    @cached_property
    def decisions(self) -> tuple[Decision[N], ...]:
        """The decisions, in the order in which they are made."""
        return tuple(self.kind.space(self.nest))

    @cached_property
    def sketch(self) -> Sketch:
        """The structure that all candidates share."""
        return self.kind.sketch(self.nest)

    @cached_property
    def _choice(self) -> Choice | None:
        return self.kind.choose(self.nest, self.machine)

    @cached_property
    def properties_of(self) -> Callable[[tuple[int, ...]], Properties]:
        """What is known, without lowering it, of a candidate that is given by the values of the decisions in order."""
        names = [d.name for d in self.decisions]
        return lru_cache(REMEMBERED)(
            lambda values: self.kind.properties(self.nest, self.machine, dict(zip(names, values, strict=True)))
        )

    def candidates(self) -> Iterator[Candidate]:
        """Yield every legal candidate, lazily."""
        decisions, sketch = self.decisions, self.sketch

        def walk(chosen: dict[str, int], made: int) -> Iterator[Candidate]:
            if made == len(decisions):
                if not self.properties_of(tuple(chosen.values())).too_large:
                    yield Candidate(sketch, tuple(chosen.items()))
                return
            for value in decisions[made].options(self.nest, self.machine, chosen):
                yield from walk({**chosen, decisions[made].name: value}, made + 1)

        return walk({}, 0)

    def count(self) -> int:
        """Count the legal candidates."""
        return sum(1 for _ in self.candidates())

    def sample(self, generator: random.Random) -> Candidate | None:
        """Draw a candidate, each decision with equal chances; None where the choices lead nowhere."""
        chosen: dict[str, int] = {}
        for decision in self.decisions:
            value = decision.sample(generator, self.nest, self.machine, chosen)
            if value is None:
                return None
            chosen[decision.name] = value
        if self.properties_of(tuple(chosen.values())).too_large:
            return None
        return Candidate(self.sketch, tuple(chosen.items()))

    def nearest(self, wanted: Values) -> dict[str, int] | None:
        """Return the legal values that are nearest to wanted ones; None where the choices lead nowhere.

        Decisions are made in their order: a value stays as it is where it is legal after those before it.
        """
        chosen: dict[str, int] = {}
        for decision in self.decisions:
            options = decision.options(self.nest, self.machine, chosen)
            if not options:
                return None
            value = wanted.get(decision.name, options[0])
            chosen[decision.name] = value if value in options else _nearest(value, options)
        return None if self.properties_of(tuple(chosen.values())).too_large else chosen

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """Yield the legal candidates that differ in one decision, by one place."""
        values = candidate.values
        for decision in self.decisions:
            for value in decision.neighbours(values[decision.name], self.nest, self.machine, values):
                changed = Candidate(candidate.sketch, tuple({**values, decision.name: value}.items()))
                if self.illegal(changed) is None:
                    yield changed

    def illegal(self, candidate: Candidate) -> IllegalDecisionError | None:
        """Return why a candidate does not fit the task; None where it does."""
        sketch = candidate.sketch
        found, wanted = (sketch.parallel, sketch.reductions), self.kind.extents(self.nest)
        if found != wanted:
            text = "x".join(map(str, (*wanted[0], *wanted[1])))
            return IllegalDecisionError("sketch", "x".join(map(str, (*found[0], *found[1]))), f"a schedule for {text}")
        chosen: Values = {}
        for decision in self.decisions:
            options = decision.options(self.nest, self.machine, chosen)
            value = candidate.values.get(decision.name)
            if value is None or value not in options:
                return IllegalDecisionError(decision.name, value, f"one of {', '.join(map(str, options))}")
            chosen = {**chosen, decision.name: value}
        unknown = set(candidate.values) - set(chosen)
        if unknown:
            name = min(unknown)
            return IllegalDecisionError(name, candidate.values[name], "no decision of this name")
        too_large = self.properties(candidate).too_large
        return IllegalDecisionError("code", too_large, "less unrolling, or smaller tiles") if too_large else None

    def properties(self, candidate: Candidate) -> Properties:
        """Return what is known of a legal candidate without lowering it."""
        return self.kind.properties(self.nest, self.machine, candidate.values)

    def choose(self) -> Choice | None:
        """Return the default candidate of this kind."""
        return self._choice


def _nearest(value: int, options: Sequence[int]) -> int:
    return min(options, key=lambda o: (abs(log2((1 + o) / (1 + value))), o))
