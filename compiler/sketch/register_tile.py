"""The register-tiled sketch: one anchor with an elementwise epilogue, or an elementwise task alone.

forall (chunk of blocks, outer...) {
  for each register tile { accumulators; for each reduction step { fma }; epilogue; store } }
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from math import prod

from ansorc.compiler.errors import IllegalDecisionError
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import Decision, space, tileable
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.steps import Block, Pack, Parallel, Peel, Reduce, Script, Walk
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.words import cse, match_ops, patterns, script

KIND = "register-tile"
PREPARED = ("lanes", "vectors", "pack")
"""Decisions that are made on the linalg operations before the script."""


def sketch(nest: LoopNest) -> Sketch:
    """Return the sketch for a task."""
    tiled = tileable(nest)
    tiles = ("", *(f"tile_{k}" if k in tiled else "" for k in range(len(nest.outer))))
    chunks = ("chunk_blocks", *(f"chunk_{k}" for k in range(len(nest.outer))))
    operand = nest.packable
    pack = (Pack("pack", len(operand.shape) - 1, operand.shape[-2]),) if operand is not None else ()
    steps = (Block("lanes", "vectors"), *pack, Parallel(chunks), Walk(tiles, "channels_inside"))
    reduce = (Reduce("unroll", not nest.contraction),) if nest.reductions else ()
    return Sketch(KIND, nest.parallel, nest.reductions, (*steps, *reduce, Peel(tiles)))


def emit(candidate: Candidate) -> str:
    """Return the transform module of a candidate; a pure function.

    Its attributes say how the channels were split before: what `ansorc-opt` needs to replay it, perhaps edited.
    """
    s, values = candidate.sketch, candidate.values
    blocks = s.parallel[-1] // (values["lanes"] * values["vectors"])
    made = Script(blocks, s.parallel[:-1], s.reductions)
    for step in s.steps:
        step.emit(values, made)
    return script(
        *made.lines,
        match_ops("%f", "func.func"),
        # Sizes of peeled loops first: folding unit dims of sizes not yet known ends the process.
        patterns("%f", "scf.for_loop_canonicalization", "canonicalization"),
        cse("%f"),
        patterns("%f", "linalg.fold_unit_extent_dims_via_slices", "canonicalization"),
        cse("%f"),
        attributes=", ".join(f"ansorc.{name} = {values[name]} : i64" for name in PREPARED),
    )


def enumerate_candidates(nest: LoopNest, machine: Machine) -> Iterator[Candidate]:
    """Yield every legal candidate, lazily."""
    decisions, whole = space(nest), sketch(nest)

    def walk(chosen: dict[str, int], left: tuple[Decision, ...]) -> Iterator[Candidate]:
        if not left:
            yield Candidate(whole, tuple(chosen.items()))
            return
        for value in left[0].options(nest, machine, chosen):
            yield from walk({**chosen, left[0].name: value}, left[1:])

    return walk({}, decisions)


def count_candidates(nest: LoopNest, machine: Machine) -> int:
    """Count the legal candidates."""
    return sum(1 for _ in enumerate_candidates(nest, machine))


def sample(nest: LoopNest, machine: Machine, generator: random.Random) -> Candidate | None:
    """Draw a candidate, each decision with equal chances; None where the task has none."""
    chosen: dict[str, int] = {}
    for decision in space(nest):
        value = decision.sample(generator, nest, machine, chosen)
        if value is None:
            return None
        chosen[decision.name] = value
    return Candidate(sketch(nest), tuple(chosen.items()))


def neighbours(candidate: Candidate, nest: LoopNest, machine: Machine) -> Iterator[Candidate]:
    """Yield the legal candidates that differ in one decision, by one place."""
    values = dict(candidate.decisions)
    for decision in space(nest):
        for value in decision.neighbours(values[decision.name], nest, machine, values):
            changed = Candidate(candidate.sketch, tuple({**values, decision.name: value}.items()))
            if illegal(changed, nest, machine) is None:
                yield changed


def illegal(candidate: Candidate, nest: LoopNest, machine: Machine) -> IllegalDecisionError | None:
    """Return why a candidate does not fit a task; None where it does."""
    if (candidate.sketch.parallel, candidate.sketch.reductions) != (nest.parallel, nest.reductions):
        found = "x".join(map(str, (*candidate.sketch.parallel, *candidate.sketch.reductions)))
        wanted = "x".join(map(str, (*nest.parallel, *nest.reductions)))
        return IllegalDecisionError("sketch", found, f"a schedule for loops of {wanted}")
    chosen: Mapping[str, int] = {}
    values = candidate.values
    for decision in space(nest):
        options = decision.options(nest, machine, chosen)
        value = values.get(decision.name)
        if value is None or value not in options:
            return IllegalDecisionError(decision.name, value, f"one of {', '.join(map(str, options))}")
        chosen = {**chosen, decision.name: value}
    unknown = set(values) - set(chosen)
    if unknown:
        return IllegalDecisionError(min(unknown), values[min(unknown)], "no decision of this name")
    return None


def register_count(candidate: Candidate) -> int:
    """Return how many vector registers the accumulators of a candidate take."""
    values = candidate.values
    return values["vectors"] * prod(v for name, v in values.items() if name.startswith("tile_"))
