"""The steps of a chain's sketch, and what each writes into the transform script.

    Loops      which classes of loops there are (see chain_loops)
    Panels     what a contraction reads by columns is copied into panels
    Rows       the last stage is cut into blocks of rows for `scf.forall`; all others move inside
    Multiply   a contraction in register tiles; the elementwise stage behind it is their root
    Each       an elementwise stage, or a reduction of rows, some rows at a time

Stages carry the attribute `ansorc.stage` and their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd, prod

from ansorc.compiler.sketch.steps import MAX_UNROLLED, Step, Values
from ansorc.dialect_passes.schedule.chain_loops import Window
from ansorc.dialect_passes.schedule.words import OP, cse, fuse, match_attribute, match_ops, patterns, tile

TRANSPOSED_AT_ONCE = 16
"""Rows and columns of what is transposed in registers."""
LANES_AT_ONCE = 4
"""Rows of a panel that are copied at once."""


@dataclass
class ChainScript:
    """A transform script in the making."""

    values: Values
    lines: list[str] = field(default_factory=list[str])
    extents: list[int] = field(default_factory=list[int])
    """What is left of each class of loops."""
    columns: tuple[int, ...] = ()

    def lanes(self, c: int) -> int:
        """Return how many elements of a class of columns a vector has."""
        return gcd(self.values["lanes"], self.extents[c])

    def split(self, loops: Sequence[int], sizes: Mapping[int, int], vectors: Sequence[int] = ()) -> list[int]:
        """Return tile sizes for the loops of an operation whose columns are split.

        A size is 0 where it is the whole extent; of a class of columns it is that of the blocks. Of those in `vectors`
        one vector of a block is taken at a time.
        """
        made: list[int] = []
        for c in loops:
            if c in self.columns:
                width = self.lanes(c) * self.values[f"vectors_{c}"]
                size = sizes.get(c, 0)
                one = int(c in vectors and self.values[f"vectors_{c}"] > 1)
                made += [0 if size >= self.extents[c] // width else size, one, 0]
            else:
                size = sizes.get(c, 0)
                made.append(0 if size >= self.extents[c] else size)
        while made and not made[-1]:
            made.pop()
        return made


@dataclass(frozen=True, order=True)
class Loops(Step):
    """Names the classes of loops."""

    extents: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def emit(self, values: Values, script: ChainScript) -> None:
        """Nothing but for the steps after it."""
        script.extents, script.columns = list(self.extents), self.columns


@dataclass(frozen=True, order=True)
class Panels(Step):
    """Copy what a contraction reads by columns; the copy is made before the script (see pack_panels)."""

    stage: int
    leading: tuple[int, ...]
    columns: int
    reduced: tuple[int, ...]
    contiguous: int

    def emit(self, values: Values, script: ChainScript) -> None:
        """Tile the copy to some rows of one panel."""
        if not values[f"pack_{self.stage}"]:
            return
        name, wide = f"%pack{self.stage}", [1] * (len(self.leading) + 1)
        across = self.contiguous != self.columns
        inner: list[int] = []
        for c in self.reduced:
            if c in script.columns:
                rows = 1 if across else gcd(LANES_AT_ONCE, script.lanes(c))
                inner += [1, 1, TRANSPOSED_AT_ONCE if across and c == self.contiguous else rows]
            elif across and c == self.contiguous:
                inner.append(gcd(TRANSPOSED_AT_ONCE, script.extents[c]))
            else:
                inner.append(1 if across else gcd(LANES_AT_ONCE, script.extents[c]))
        inner += [1] if across else []
        loops = [f"%panel{self.stage}_{k}" for k in range(len(inner))]
        script.lines += [
            match_attribute(f"{name}_0", f"ansorc.pack{self.stage}"),
            tile(f"{name}_0", f"{name}_1", [f"%panels{self.stage}"], wide, "forall"),
            tile(f"{name}_1", f"{name}_2", loops, [0] * len(wide) + inner, "for"),
            # At once: as an identity it would be folded into a copy of slices, which stays scalar.
            f"  transform.structured.vectorize {name}_2 : {OP}",
        ]


@dataclass(frozen=True, order=True)
class Rows(Step):
    """Cut rows into chunks."""

    loops: tuple[int, ...]
    """Classes of the loops of the last stage."""
    stage: int
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    windows: tuple[tuple[int, int, int, int], ...] = ()
    """The fields of each Window of the chain."""

    def emit(self, values: Values, script: ChainScript) -> None:
        """Tile the last stage and compute the others inside."""
        sizes = {c: 1 for c in self.batch} | {c: values[f"block_{c}"] for c in self.rows}
        cut = script.split(self.loops, sizes)
        if cut:
            name = f"%rows{self.stage}"
            script.lines += [
                match_attribute(name, f"ansorc.stage{self.stage}"),
                f"  %blocks, %chunks = transform.structured.fuse {name} tile_sizes {cut} {{use_forall}} "
                f": ({OP}) -> ({OP}, {OP})",
            ]
        for c, size in sizes.items():
            script.extents[c] = size
        for w in itertools.starmap(Window, self.windows):
            script.extents[w.loops] = min(script.extents[w.loops], w.covered(sizes[w.rows]))
        # Stages with several readers were computed for each.
        script.lines += [
            match_ops("%all", "func.func"),
            cse("%all"),
            patterns("%all", "tensor.merge_consecutive_insert_extract_slice", "tensor.fold_tensor_empty"),
            cse("%all"),
        ]


@dataclass(frozen=True, order=True)
class Multiply(Step):
    """One contraction, a register tile at a time."""

    stage: int
    root: int
    loops: tuple[int, ...]
    """Classes of the root's loops."""
    parallel: int
    """How many loops the contraction has before its reductions, unsplit."""
    reduced: tuple[int, ...]
    columns: int
    rows: tuple[int, ...]
    """The classes of its loops that run over rows, or over windows of them."""
    window: bool = False
    """Whether the reductions are those of a window: all of it is unrolled, or nothing."""

    def emit(self, values: Values, script: ChainScript) -> None:
        """Walk over blocks of columns, then over rows."""
        k, tile_rows = self.stage, values[f"tile_{self.stage}"]
        handles = {"root": f"%root{k}", "product": f"%product{k}", "fill": f"%fill{k}"}
        marks = (f"ansorc.stage{self.root}", f"ansorc.stage{k}", f"ansorc.fill{k}")
        script.lines += [match_attribute(f"{h}_0", mark) for h, mark in zip(handles.values(), marks, strict=True)]
        level, innermost, peeled = 0, self.rows[-1], ""
        rows = {c: 1 for c in self.rows[:-1]} | {innermost: tile_rows}
        cuts = [(c, size, script.split(self.loops, {c: size})) for c, size in ({self.columns: 1} | rows).items()]
        if self.window:  # no vector shares anything with another
            cuts.insert(1, (self.columns, 1, script.split(self.loops, {}, [self.columns])))
        for c, size, cut in cuts:
            if not cut:
                continue
            loop = into = f"%walk{k}_{level}"
            script.lines.append(
                tile(f"{handles['root']}_{level}", f"{handles['root']}_{level + 1}", [loop], cut, "for")
            )
            for name in ("product", "fill"):
                h = handles[name]
                script.lines.append(fuse(f"{h}_{level}", f"{h}_{level + 1}", into, f"{into}_{name}"))
                into = f"{into}_{name}"
            if c == innermost and script.extents[c] % size:
                peeled = loop
            level += 1
        counts = [script.extents[c] for c in self.reduced]
        steps: list[int] = []
        for c, count in zip(self.reduced, counts, strict=True):
            if c in script.columns:
                vectors, lanes = values[f"vectors_{c}"], script.lanes(c)
                steps += [count // (vectors * lanes), vectors, lanes]
            else:
                steps.append(count)
        cut = [0] * (self.parallel + 2) + [1 if extent > 1 else 0 for extent in steps]
        loops = [f"%reduce{k}_{n}" for n, extent in enumerate(steps) if extent > 1]
        if loops:
            script.lines.append(tile(f"{handles['product']}_{level}", f"%step{k}", loops, cut, "for"))
            wide = [e for e in steps if e > 1]
            times = [*[1] * (len(wide) - 1), gcd(values["unroll"], wide[-1])]
            if self.window:
                whole = unrolls_window(tile_rows, prod(wide))
                times = wide if whole else [1] * len(wide)
            for loop, factor in reversed(list(zip(loops, times, strict=True))):
                if factor > 1:
                    script.lines.append(f"  transform.loop.unroll {loop} {{factor = {factor}}} : {OP}")
        if peeled:
            script.lines += [
                f'  {peeled}_cast = transform.cast {peeled} : {OP} to !transform.op<"scf.for">',
                f"  {peeled}_main, {peeled}_rest = transform.loop.peel {peeled}_cast "
                f': (!transform.op<"scf.for">) -> ({OP}, {OP})',
            ]


def unrolls_window(rows: int, steps: int) -> bool:
    """Whether all steps of a window are unrolled: their weights stay in registers then."""
    return rows * steps <= MAX_UNROLLED


@dataclass(frozen=True, order=True)
class Each(Step):
    """One stage that is no contraction."""

    stage: int
    loops: tuple[int, ...]
    reduces: bool
    rows: tuple[int, ...]

    def emit(self, values: Values, script: ChainScript) -> None:
        """Walk over rows, and over blocks of columns."""
        k = self.stage
        wide = [c for c in self.loops if c in script.columns]
        if not wide:
            return  # one number a row: all rows fill a vector
        sizes = {c: 1 for c in (*self.rows[:-1], *wide)} | {self.rows[-1]: values["row_tile"]}
        if not self.reduces:
            cut = script.split(self.loops, sizes)
            if cut:
                loops = [f"%each{k}_{n}" for n, size in enumerate(cut) if size]
                script.lines += [
                    match_attribute(f"%map{k}", f"ansorc.stage{k}"),
                    tile(f"%map{k}", f"%mapped{k}", loops, cut, "for"),
                ]
            return
        outer = [c for c in self.loops if c not in wide]
        rows = script.split(outer, {c: 1 for c in self.rows})
        loops = [f"%row{k}_{n}" for n, size in enumerate(rows) if size]
        script.lines += [
            match_attribute(f"%partial{k}_0", f"ansorc.stage{k}"),
            match_attribute(f"%fill{k}_0", f"ansorc.fill{k}"),
            match_attribute(f"%final{k}_0", f"ansorc.final{k}"),
        ]
        if loops:  # a fill cannot be fused into a loop over what it starts: it has its own
            for name in ("partial", "fill", "final"):
                at = [f"{loop}_{name}" for loop in loops]
                script.lines.append(tile(f"%{name}{k}_0", f"%{name}{k}_1", at, rows, "for"))
        level = 1 if loops else 0
        width = script.lanes(wide[0]) * values[f"vectors_{wide[0]}"]
        if script.extents[wide[0]] > width:
            cut = [0] * (len(outer) + 2) + [1]
            script.lines.append(tile(f"%partial{k}_{level}", f"%step{k}", [f"%along{k}"], cut, "for"))
        script.lines += [
            # To a number at once: as a reduction of vectors it would take one element after the other.
            f"  transform.structured.vectorize %final{k}_{level} : {OP}",
        ]


CHAIN_STEPS: dict[str, type[Step]] = {step.__name__: step for step in (Loops, Panels, Rows, Multiply, Each)}
"""Steps by the name that JSON has."""
