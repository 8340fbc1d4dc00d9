"""A sketch, and a candidate: a sketch with every hole filled. Both are plain values with a JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ansorc.compiler.sketch.chain_steps import CHAIN_STEPS
from ansorc.compiler.sketch.dot_step import SumAlongVectors
from ansorc.compiler.sketch.gather_step import GatherRows
from ansorc.compiler.sketch.split_step import SplitRows
from ansorc.compiler.sketch.steps import STEPS, Step
from ansorc.compiler.sketch.strassen_step import Strassen
from ansorc.compiler.sketch.transpose_step import TransposeBlocks
from ansorc.compiler.sketch.winograd_step import Winograd

KNOWN: dict[str, type[Step]] = {
    **STEPS,
    **CHAIN_STEPS,
    **{step.__name__: step for step in (Winograd, Strassen, SplitRows, TransposeBlocks, GatherRows, SumAlongVectors)},
}
"""Steps by the name that JSON has."""


@dataclass(frozen=True, order=True)
class Sketch:
    """The structure of a schedule: steps whose numbers are names of decisions."""

    kind: str
    parallel: tuple[int, ...]
    """Extents of the task's parallel loops; the last is the channel."""
    reductions: tuple[int, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, order=True)
class Candidate:
    """A complete schedule."""

    sketch: Sketch
    decisions: tuple[tuple[str, int], ...]
    """Name and value, in the order of the space."""

    @property
    def values(self) -> Mapping[str, int]:
        """The decisions by name."""
        return dict(self.decisions)

    def to_json(self) -> str:
        """Return one line that `from_json` reads."""
        s = self.sketch
        steps = [[type(step).__name__, *step.fields()] for step in s.steps]
        sketch = {"kind": s.kind, "parallel": s.parallel, "reductions": s.reductions, "steps": steps}
        return json.dumps({"sketch": sketch, "decisions": self.values})


def from_json(text: str) -> Candidate:
    """Read a candidate."""
    raw = json.loads(text)
    s = raw["sketch"]
    steps = tuple(KNOWN[name].of(fields) for name, *fields in s["steps"])
    sketch = Sketch(s["kind"], tuple(s["parallel"]), tuple(s["reductions"]), steps)
    return Candidate(sketch, tuple(raw["decisions"].items()))
