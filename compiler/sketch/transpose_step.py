"""The step that a transpose is."""

from __future__ import annotations

from dataclasses import dataclass

from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Step, Values, peel
from ansorc.dialect_passes.schedule.words import OP, match_ops, patterns


@dataclass(frozen=True, order=True)
class TransposeBlocks(Step):
    """Cut the loops into chunks, and two of them into blocks that are transposed in registers.

    The first fields are extents and numbers of loops; the others are names of decisions.
    """

    extents: tuple[int, ...]
    across: int
    along: int
    across_inside: str = "across_inside"

    def emit(self, values: Values, script: list[str]) -> None:
        """Tile the root down to a block."""
        stage = Stage(script, "", list(self.extents), ())
        stage.descend([values[f"chunk_{k}"] for k in range(len(self.extents))], "forall")
        blocks = {self.across: values["across"], self.along: values["along"]}
        for k in range(len(self.extents)):
            if k not in blocks:
                stage.walk(k, 1)
        order = (self.along, self.across) if values[self.across_inside] else (self.across, self.along)
        loops: list[str] = []
        for k in order:
            left_over = stage.extents[k] % blocks[k]
            loop = stage.walk(k, blocks[k])
            if left_over:
                loops.append(loop)
        for number, loop in enumerate(reversed(loops)):
            script += peel(loop, number)
        # At once: as an identity it would be folded into a copy of slices, which stays scalar.
        if not loops:
            # Without unit dims: of a transposed broadcast that has one, the patterns that lower it make others forever.
            script += [match_ops("%whole", "func.func"), patterns("%whole", "linalg.fold_unit_extent_dims_via_slices")]
            script.append(f"  transform.structured.vectorize {stage.handles['root']} : {OP}")
