"""The step that Winograd's algorithm is: three stages, each of them a root with its anchor and its fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

from ansorc.compiler.sketch.steps import Script, Step
from ansorc.dialect_passes.schedule.winograd import pieces
from ansorc.dialect_passes.schedule.words import OP, fuse, match_attribute, tile

Values = Mapping[str, int]
PARTS = ("anchor", "fill")


@dataclass
class Stage:
    """The loops of one stage in the making."""

    name: str
    extents: list[int]
    lines: list[str]
    level: int = 0
    handles: dict[str, str] = field(default_factory=dict[str, str])

    def match(self) -> None:
        """Bind handles to the operations."""
        for part in ("root", *PARTS):
            self.handles[part] = f"%{self.name}_{part}"
            self.lines.append(match_attribute(self.handles[part], f"ansorc.{self.name}.{part}"))

    def descend(self, sizes: Sequence[int], kind: str) -> str:
        """Tile the root, unless that cuts nothing, and compute the others inside; return the loop."""
        cut = [0 if s in (0, e) else s for s, e in zip(sizes, self.extents, strict=True)]
        if not any(cut):
            return ""
        self.level += 1
        self.extents = [c or e for c, e in zip(cut, self.extents, strict=True)]
        while not cut[-1]:
            cut.pop()
        loop, root = f"%{self.name}_loop{self.level}", f"%{self.name}_root{self.level}"
        self.lines.append(tile(self.handles["root"], root, [loop], cut, kind))
        self.handles["root"] = root
        for part in PARTS:
            loop = self.move(part, loop)
        return loop

    def walk(self, dims: Sequence[int], sizes: Sequence[int]) -> None:
        """Loop over dims, one after the other, the first outermost."""
        for dim, size in zip(dims, sizes, strict=True):
            self.descend([size if k == dim else 0 for k in range(len(self.extents))], "for")

    def move(self, part: str, loop: str) -> str:
        """Compute a part inside of a loop; return the loop."""
        self.level += 1
        fused, into = f"%{self.name}_{part}{self.level}", f"%{self.name}_into{self.level}"
        self.lines.append(fuse(self.handles[part], fused, loop, into))
        self.handles[part] = fused
        return into


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

    def emit(self, values: Values, script: Script) -> None:
        """Write all three stages."""
        inputs, products, outputs = self._stages(values, script.lines)
        if values[self.rows]:
            loop = outputs[0].descend([*[1] * len(self.lead), values[self.rows]] + [0] * 6, "forall")
            for stage in (products, *inputs):
                for part in ("root", *PARTS):
                    loop = stage.move(part, loop)
            self._inside(values, inputs, products)
        for stage in inputs:
            self._input(values, stage)
        self._product(values, products)
        for stage in outputs:
            self._output(values, stage)

    def _stages(self, values: Values, lines: list[str]) -> tuple[list[Stage], Stage, list[Stage]]:
        m, lanes, vectors = values[self.m], values[self.lanes], values[self.vectors]
        edge, blocks = m + 2, self.filters // (lanes * vectors)
        tiles = (-(-self.height // m), -(-self.width // m))
        kinds = list(product(pieces(self.height, m), pieces(self.width, m)))
        inputs = [
            Stage(f"input{k}", [edge, edge, *self.read, y.count, x.count, self.channels], lines)
            for k, (y, x) in enumerate(kinds)
        ]
        products = Stage("product0", [edge, edge, *self.lead, *tiles, blocks, vectors, lanes], lines)
        outputs = [
            Stage(f"output{k}", [*self.lead, y.count, y.results, x.count, x.results, blocks, vectors, lanes], lines)
            for k, (y, x) in enumerate(kinds)
        ]
        for stage in (*inputs, products, *outputs):
            stage.match()
        return inputs, products, outputs

    def _inside(self, values: Values, inputs: list[Stage], products: Stage) -> None:
        """What a chunk has of the stages before the last."""
        for stage in inputs:
            stage.extents = [*stage.extents[:2], *[1] * len(self.read), values[self.rows], *stage.extents[-2:]]
            if self.taps:
                stage.extents[2 : 2 + len(self.read)] = [*[1] * (len(self.read) - len(self.taps)), *self.taps]
        products.extents[2 : 2 + len(self.lead) + 1] = [*[1] * len(self.lead), values[self.rows]]

    def _input(self, values: Values, stage: Stage) -> None:
        rank, lead = len(stage.extents), len(self.read)
        if not values[self.rows]:
            stage.descend([0, 0, *[1] * lead, 1, 0, values[self.input_channels]], "forall")
        stage.walk([*range(2, rank)], [*[1] * lead, 1, 1, values[self.lanes]])

    def _product(self, values: Values, stage: Stage) -> None:
        lead = len(self.lead)
        if not values[self.rows]:
            stage.descend([1, 1, *[0] * (lead + 2), values[self.chunk_blocks], 0, 0], "forall")
        order = [0, 1, lead + 4, *range(2, lead + 2), lead + 2, lead + 3]
        stage.walk(order, [1, 1, 1, *[1] * lead, values[self.tile_y], values[self.tile_x]])
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
        dims = [*range(lead), lead, lead + 2, lead + 4, lead + 5]
        stage.walk(dims, [1] * len(dims))


def footprint(step: Winograd, values: Values, element_bytes: int) -> int:
    """Return the bytes that a chunk of whole rows keeps between its stages."""
    m = values[step.m]
    tiles = (m + 2) ** 2 * values[step.rows] * -(-step.width // m)
    return tiles * (step.channels * prod(step.taps) + step.filters) * element_bytes
