"""The step that a reduction in parts is."""

from __future__ import annotations

from dataclasses import dataclass

from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Step, Values
from ansorc.dialect_passes.schedule.words import OP, match_attribute, tile


@dataclass(frozen=True, order=True)
class SplitRows(Step):
    """Parts of rows in parallel, and what combines them."""

    rows: tuple[int, ...]
    length: int
    lanes: str = "lanes"
    vectors: str = "vectors"
    parts: str = "parts"
    unroll: str = "unroll"

    def emit(self, values: Values, script: list[str]) -> None:
        """Tile the partial results to one part, and the loops over steps and parts to one vector of accumulators."""
        lanes, vectors, parts = (values[name] for name in (self.lanes, self.vectors, self.parts))
        rank = len(self.rows)
        stage = Stage(script, "partial.", [*self.rows, parts, vectors, lanes])
        stage.descend([*[1] * rank, 1, 0, 0], "forall")
        if self.length > parts * vectors * lanes:
            script.append(tile(stage.handles["anchor"], "%step", ["%steps"], [*[0] * (rank + 3), 1], "for"))
            if values[self.unroll] > 1:
                script.append(f"  transform.loop.unroll %steps {{factor = {values[self.unroll]}}} : {OP}")
        names, level = ("start", "combine", "final"), 0
        script += [match_attribute(f"%{name}0", f"ansorc.{name}") for name in names]
        if any(extent > 1 for extent in self.rows):  # a fill cannot be fused into a loop over what it starts
            level, one = 1, [int(extent > 1) for extent in self.rows]
            script += [
                tile(f"%{n}0", f"%{n}1", [f"%{n}_row{k}" for k, cut in enumerate(one) if cut], one, "for")
                for n in names
            ]  # fmt: skip
        if parts > 1:
            script.append(tile(f"%combine{level}", "%part", ["%parts"], [*[0] * (rank + 2), 1], "for"))
        # To a number at once: as a reduction of vectors it would take one element after the other.
        script.append(f"  transform.structured.vectorize %final{level} : {OP}")
