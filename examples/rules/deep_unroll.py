"""A rule of one's own: register tiles whose reduction may be unrolled 8 and 16 times, which the built-in ones may not.

    ANSORC_RULES=deep_unroll PYTHONPATH=examples/rules ansorc-tune op matmul-256 --trials 100

docs/rules.md explains it line by line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.decisions import UnrollReduction
from ansorc.compiler.sketch.kind import Choice, Decision, Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.register_tile import RegisterTile
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine

FACTORS = (8, 16)


@dataclass(frozen=True, order=True)
class UnrollDeeply(UnrollReduction):
    """How often the innermost reduction loop is unrolled."""

    def options(self, nest: LoopNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        """Return the factors that divide what a chunk reduces at once."""
        return tuple(f for f in FACTORS if (chosen["part"] or nest.reductions[-1]) % f == 0)


class DeepUnroll(RegisterTile):
    """Register tiles of products, with the reduction unrolled 8 or 16 times."""

    name = "deep-unroll"

    def describe(self, function: object) -> LoopNest:
        """Fit products whose reduction can be unrolled so."""
        nest = super().describe(function)
        if not nest.contraction or nest.reductions[-1] % FACTORS[0]:
            raise CannotBlock(f"it reduces no multiple of {FACTORS[0]}")
        return nest

    def space(self, nest: LoopNest) -> Sequence[Decision[LoopNest]]:
        """Return the decisions of register tiles, with one of them replaced."""
        return [UnrollDeeply(d.name) if isinstance(d, UnrollReduction) else d for d in super().space(nest)]

    def choose(self, nest: LoopNest, machine: Machine) -> Choice | None:
        """Return the default: that of register tiles, unrolled 8 times; the models see no gain in it."""
        usual = super().choose(nest, machine)
        if usual is None:
            return None
        values = {**usual.candidate.values, "unroll": FACTORS[0]}
        return Choice(Candidate(self.sketch(nest), tuple(values.items())), 1.01 * usual.cycles)


RULES = (DeepUnroll(),)
