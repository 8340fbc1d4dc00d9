"""The step that Winograd's algorithm is: three stages, each of them a root with its anchor and its fill."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Step, Values
from ansorc.dialect_passes.schedule.winograd import pieces
from ansorc.dialect_passes.schedule.words import OP, tile


@dataclass(frozen=True, order=True)
class Winograd(Step):
    """Transform the input, multiply, transform back.

    The first fields are extents; the others are names of decisions.
    """

    lead: tuple[int, ...]
    height: int
    width: int
    channels: int
    filters: int
    read: tuple[int, ...]
    taps: tuple[int, ...]
    m: str = "m"
    rows: str = "rows"
    lanes: str = "lanes"
    vectors: str = "vectors"
    tile_y: str = "tile_y"
    tile_x: str = "tile_x"
    chunk_blocks: str = "chunk_blocks"
    input_channels: str = "input_channels"
    output_blocks: str = "output_blocks"
    unroll: str = "unroll"
    window: int = 3
    """An extent, too; records from before it do not have it."""

    def emit(self, values: Values, script: Stage) -> None:
        """Write all three stages."""
        inputs, products, outputs = self._stages(values, script.lines)
        if values[self.rows]:
            loop = outputs[0].descend([*[1] * len(self.lead), values[self.rows]] + [0] * 6, "forall")
            for stage in (products, *inputs):
                loop = stage.enter(loop)
            self._inside(values, inputs, products)
        for stage in inputs:
            self._input(values, stage)
        self._product(values, products)
        for stage in outputs:
            self._output(values, stage)

    def _stages(self, values: Values, lines: list[str]) -> tuple[list[Stage], Stage, list[Stage]]:
        m, lanes, vectors = values[self.m], values[self.lanes], values[self.vectors]
        edge, blocks = m + self.window - 1, self.filters // (lanes * vectors)
        tiles = (-(-self.height // m), -(-self.width // m))
        kinds = list(product(*(pieces(e, m, self.window) for e in (self.height, self.width))))
        inputs = [
            Stage(lines, f"input{k}.", [edge, edge, *self.read, y.count, x.count, self.channels])
            for k, (y, x) in enumerate(kinds)
        ]
        products = Stage(lines, "product0.", [edge, edge, *self.lead, *tiles, blocks, vectors, lanes])
        outputs = [
            Stage(lines, f"output{k}.", [*self.lead, y.count, y.results, x.count, x.results, blocks, vectors, lanes])
            for k, (y, x) in enumerate(kinds)
        ]
        return inputs, products, outputs

    def _inside(self, values: Values, inputs: list[Stage], products: Stage) -> None:
        """What a chunk has of the stages before the last."""
        for stage in inputs:
            stage.extents = [*stage.extents[:2], *[1] * len(self.read), values[self.rows], *stage.extents[-2:]]
        products.extents[2 : 2 + len(self.lead) + 1] = [*[1] * len(self.lead), values[self.rows]]

    def _input(self, values: Values, stage: Stage) -> None:
        rank, lead = len(stage.extents), len(self.read)
        if not values[self.rows]:
            stage.descend([0, 0, *[1] * lead, 1, 0, values[self.input_channels]], "forall")
        for dim in range(2, rank - 1):
            stage.walk(dim, 1)
        stage.walk(rank - 1, values[self.lanes])

    def _product(self, values: Values, stage: Stage) -> None:
        lead = len(self.lead)
        if not values[self.rows]:
            stage.descend([1, 1, *[0] * (lead + 2), values[self.chunk_blocks], 0, 0], "forall")
        for dim in (0, 1, lead + 4, *range(2, lead + 2)):
            stage.walk(dim, 1)
        stage.walk(lead + 2, values[self.tile_y])
        stage.walk(lead + 3, values[self.tile_x])
        reductions = [*self.taps, self.channels]
        sizes = [0] * len(stage.extents) + [1 if e > 1 else 0 for e in reductions]
        loops = [f"%reduce{k}" for k, e in enumerate(reductions) if e > 1]
        if loops:
            stage.lines.append(tile(stage.handles["anchor"], "%step", loops, sizes, "for"))
            if values[self.unroll] > 1:
                stage.lines.append(f"  transform.loop.unroll {loops[-1]} {{factor = {values[self.unroll]}}} : {OP}")

    def _output(self, values: Values, stage: Stage) -> None:
        lead = len(self.lead)
        if not values[self.rows]:
            stage.descend([*[1] * lead, 1, 0, 0, 0, values[self.output_blocks], 0, 0], "forall")
        for dim in (*range(lead), lead, lead + 2, lead + 4, lead + 5):
            stage.walk(dim, 1)


def footprint(step: Winograd, values: Values, element_bytes: int) -> int:
    """Return the bytes that a chunk of whole rows keeps between its stages."""
    m = values[step.m]
    tiles = (m + step.window - 1) ** 2 * values[step.rows] * -(-step.width // m)
    return tiles * (step.channels + step.filters) * element_bytes
