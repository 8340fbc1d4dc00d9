"""The step that Strassen's algorithm is: a chunk of pairs of rows, and of columns, goes through all three stages."""

from __future__ import annotations

from dataclasses import dataclass

from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Step, Values
from ansorc.dialect_passes.schedule.strassen_matrices import PRODUCTS
from ansorc.dialect_passes.schedule.words import OP, tile


@dataclass(frozen=True, order=True)
class Strassen(Step):
    """Sum blocks of the rows, multiply, and sum products, some blocks of columns at a time.

    The first fields are extents; the others are names of decisions.
    """

    lead: tuple[int, ...]
    pairs: int
    channels: int
    filters: int
    chunk_y: str = "chunk_0"
    chunk_x: str = "chunk_1"
    lanes: str = "lanes"
    vectors: str = "vectors"
    tile_y: str = "tile_y"
    tile_x: str = "tile_x"
    output_blocks: str = "output_blocks"
    unroll: str = "unroll"
    chunk_blocks: str = "chunk_blocks"
    part: str = "part"

    def chunk(self, values: Values) -> list[int]:
        """Return what a chunk has of the loops over rows."""
        inner = [values[self.chunk_y]] if self.lead else []
        return [*[1] * (len(self.lead) - 1), *inner, values[self.chunk_x]]

    def emit(self, values: Values, script: Stage) -> None:
        """Write all three stages."""
        lanes, vectors, outer = values[self.lanes], values[self.vectors], [*self.lead, self.pairs]
        half, part = self.channels // 2, values[self.part]
        split = [self.filters // (2 * lanes * vectors), vectors, lanes]
        summed, parts = ([], ("anchor", "fill")) if part == half else ([half], ("fill",))
        inputs = Stage(script.lines, "input0.", [PRODUCTS, *outer, half])
        products = Stage(script.lines, "product0.", [PRODUCTS, *outer, *split, *summed], parts)
        outputs = Stage(script.lines, "output0.", [*outer, 2, 2, *split])
        chunk, block = self.chunk(values), len(outer) + 2
        loop = outputs.descend([*chunk, 0, 0, values[self.chunk_blocks], 0, 0], "forall")
        for stage in (products, inputs):
            loop = stage.enter(loop)
            stage.extents[1 : 1 + len(outer)] = chunk
        products.extents[1 + len(outer)] = values[self.chunk_blocks]
        if part < half:
            products.parts = ()  # what is zero once, before the first part
            loop = products.walk(len(products.extents) - 1, part)
            inputs.enter(loop)
            inputs.extents[-1] = part
        else:
            loop = outputs.walk(block, values[self.output_blocks])
            if loop:
                products.enter(loop)
                products.extents[1 + len(outer)] = values[self.output_blocks]
        for dim in range(1, 1 + len(outer)):
            inputs.walk(dim, 1)
        inputs.walk(1 + len(outer), lanes)
        self._product(values, products, len(outer))
        for dim in (*range(len(outer)), block, block + 1):
            outputs.walk(dim, 1)

    def _product(self, values: Values, stage: Stage, outer: int) -> None:
        for dim in (0, 1 + outer, *range(1, outer - 1)):
            stage.walk(dim, 1)
        if self.lead:
            stage.walk(outer - 1, values[self.tile_y])
        stage.walk(outer, values[self.tile_x])
        last = stage.parts[0] if stage.parts else "root"
        sizes = [0] * (outer + 4) + [1]
        stage.lines.append(tile(stage.handles[last], "%step", ["%reduce"], sizes, "for"))
        if values[self.unroll] > 1:
            stage.lines.append(f"  transform.loop.unroll %reduce {{factor = {values[self.unroll]}}} : {OP}")


def footprint(step: Strassen, values: Values, element_bytes: int) -> int:
    """Return the bytes that a chunk keeps between its stages."""
    pairs = 1
    for extent in step.chunk(values):
        pairs *= extent
    columns = values[step.output_blocks] * values[step.lanes] * values[step.vectors]
    return PRODUCTS * pairs * (values[step.part] + columns) * element_bytes
