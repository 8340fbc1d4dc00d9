"""The step that a gather is."""

from __future__ import annotations

from dataclasses import dataclass

from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Step, Values, peel


@dataclass(frozen=True, order=True)
class GatherRows(Step):
    """Cut the loops into chunks, down to one row, and its last loop into vectors; rows are read after the script.

    The first field are extents, the others names of decisions.
    """

    extents: tuple[int, ...]
    along: str = "along"

    def emit(self, values: Values, script: list[str]) -> None:
        """Tile the root down to vectors of a row."""
        stage, last = Stage(script, "", list(self.extents), ()), len(self.extents) - 1
        stage.descend([values[f"chunk_{k}"] for k in range(last + 1)], "forall")
        for k in range(last):
            stage.walk(k, 1)
        left_over = stage.extents[last] % values[self.along]
        loop = stage.walk(last, values[self.along])
        if left_over:
            script += peel(loop, 0)
