"""The step that a product along vectors is."""

from __future__ import annotations

from dataclasses import dataclass

from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Step, Values, peel
from ansorc.dialect_passes.schedule.words import OP, cse, match_attribute, match_ops, patterns, tile

PARTS = ("sum", "start", "anchor", "fill")
"""What is computed inside of the root's loops."""


@dataclass(frozen=True, order=True)
class SumAlongVectors(Step):
    """Cut the loops into chunks and register tiles, and the sum into vectors; then sum what each vector holds.

    The first fields are extents; `tiles` has the name of each loop's register tile, or "" for one iteration.
    """

    parallel: tuple[int, ...]
    reductions: tuple[int, ...]
    """Extents of the anchor's reduction loops; the one along vectors is `inner`."""
    inner: int
    tiles: tuple[str, ...]
    lanes: str = "lanes"
    unroll: str = "unroll"

    def emit(self, values: Values, script: Stage) -> None:
        """Tile the root down to a register tile, and what it needs inside."""
        loops = list[str]()
        script.descend([values[f"chunk_{k}"] for k in range(len(self.parallel))], "forall")
        # Loops without a tile come first: below one that is peeled, MLIR finds no fill to fuse into a further loop.
        for k in sorted(range(len(self.parallel)), key=lambda k: bool(self.tiles[k])):
            size = values[self.tiles[k]] if self.tiles[k] else 1
            left_over = script.extents[k] % size
            loop = script.walk(k, size)
            if left_over:
                loops.append(loop)
        steps = list(self.reductions)
        steps[self.inner] //= values[self.lanes]
        cut = [int(count > 1) for count in steps]
        if any(cut):
            names = [f"%reduce{k}" for k, c in enumerate(cut) if c]
            sizes = [*[0] * (len(self.parallel) + 1), *cut]
            script.lines.append(tile(script.handles["anchor"], "%step", names, sizes, "for"))
            if values[self.unroll] > 1:
                script.lines.append(f"  transform.loop.unroll {names[-1]} {{factor = {values[self.unroll]}}} : {OP}")
        for number, loop in enumerate(reversed(loops)):
            script.lines += peel(loop, number)
        script.lines += [
            match_ops("%whole", "func.func"),
            patterns("%whole", "scf.for_loop_canonicalization", "canonicalization"),
            cse("%whole"),
            # A vector to a number at once: several together would be transposed first.
            match_attribute("%sums", "ansorc.sum"),
            f"  transform.structured.vectorize %sums : {OP}",
            patterns("%whole", 'vector.lower_multi_reduction lowering_strategy = "innerreduction"'),
        ]
