"""Turn a convolution of r x r taps into Winograd's algorithm F(m x m, r x r): transforms around small products.

    y = epilogue(conv(x, w))
    -->
    v[i, j, n, ty, tx, ci]    = sum_kl  BT[i, k] BT[j, l] x[n, m ty + k, m tx + l, ci]
    s[i, j, n, ty, tx, co]    = sum_ci  v[i, j, n, ty, tx, ci] u[i, j, ci, co]
    z[n, ty, a, tx, b, co]    = sum_ij  AT[a, i] AT[b, j] s[i, j, n, ty, tx, co]
    y[n, m ty + a, m tx + b, co] = epilogue(z)

with a = m + r - 1 and the weights u = G w G^T made ahead of time. The stages are input, product and output, with the
number of a piece behind them (see bilinear). Where m does not divide the image, the last tiles are pieces of their own:
they read fewer rows (the others would be zero), and write fewer. Channels of the result are split into
[blocks][vectors][lanes], as in block_channels. More dims of a convolution (the batch, the depth) are loops around the
same; taps of the depth are one more reduction of the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from mlir import ir

from ansorc.dialect_passes.ir_walk import collect, indexing_maps, shape
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule.bilinear import (
    Epilogue,
    Stages,
    check_operands,
    collapse,
    expand,
    is_contraction,
)
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, retype
from ansorc.dialect_passes.schedule.border import Border, border_of
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape
from ansorc.dialect_passes.schedule.skip_taps import Skip, mark, skips_of
from ansorc.dialect_passes.schedule.winograd_matrices import matrices
from ansorc.dialect_passes.slices import inserted, slice_of

LEAST_WINDOW, MOST_WINDOW = 2, 7
"""Taps in each dim: of 1 there is nothing to save, and for more than 7 there are no points (winograd_matrices)."""


@dataclass(frozen=True, order=True)
class SquareConvolution:
    """A convolution of stride 1 whose last two spatial dims have as many taps."""

    lead: tuple[int, ...]
    """Extents of the result before its height: the batch, perhaps the depth."""
    height: int
    width: int
    filters: int
    channels: int
    taps: tuple[int, ...]
    """Extents of the reductions besides the window and the channels."""
    read: tuple[int, ...]
    """Extents of the padded input before its height."""
    element_bytes: int
    window: int = 3
    """Taps in its height, and in its width."""
    epilogue_cycles: float = 0.0
    """About how long the epilogue takes for one vector; for whoever estimates."""
    border: Border | None = None
    """Of the input, where the task pads it."""
    skips: tuple[Skip, ...] = ()
    """Loops over `lead` and `taps` that may leave out products of planes in a border of zeros."""


@dataclass(frozen=True)
class Piece:
    """Tiles along one dim that are alike."""

    first: int
    count: int
    rows: int
    """Rows that a tile reads: fewer than m + r - 1 where the image ends."""
    results: int
    """Rows that it makes."""


def pieces(extent: int, m: int, window: int) -> tuple[Piece, ...]:
    """Cover a dim of the result by tiles of m, of so many taps."""
    whole, rest = divmod(extent, m)
    last = (Piece(whole, 1, rest + window - 1, rest),) if rest else ()
    return (*((Piece(0, whole, m + window - 1, m),) if whole else ()), *last)


def describe(function: ir.Operation, task: TaskShape) -> SquareConvolution:
    """Recognise the convolution of an analysed task; raises CannotBlock where it is another task."""
    anchor, reductions, outer = task.anchor, task.reductions, len(task.parallel)
    if anchor is None or not is_contraction(task):
        raise CannotBlock("not a convolution with weights")
    if outer < 4 or len(reductions) < 3 or reductions[-3] != reductions[-2]:
        raise CannotBlock("not a square window")
    if not LEAST_WINDOW <= reductions[-2] <= MOST_WINDOW:
        raise CannotBlock(f"a window of {reductions[-2]} taps")
    x, w, y = indexing_maps(anchor)
    loops = [ir.AffineDimExpr.get(k, anchor.context) for k in range(x.n_dims)]
    height, width, filters = loops[outer - 3 : outer]
    rows, columns, channels = loops[-3:]
    if list(x.results)[-3:] != [height + rows, width + columns, channels]:
        raise CannotBlock("the window has strides, or its dims come in another order")
    if list(w.results) != [*loops[outer:], filters] or list(y.results) != loops[:outer]:
        raise CannotBlock("weights come in another order")
    check_operands(function, task)
    kind = ir.RankedTensorType(task.root.results[0].type).element_type
    skips = tuple(s for s in skips_of(function, task) if s.loop < outer - 3 and s.tap < outer + len(reductions) - 3)
    return SquareConvolution(
        tuple(task.parallel[:-3]), task.parallel[-3], task.parallel[-2], task.parallel[-1], reductions[-1],
        tuple(reductions[:-3]), tuple(shape(anchor.operands[0])[:-3]), 4 if str(kind) == "f32" else 8,
        reductions[-2], border=border_of(anchor), skips=skips,
    )  # fmt: skip


def run(
    function: ir.Operation,
    task: TaskShape,
    conv: SquareConvolution,
    m: int,
    lanes: int,
    vectors: int,
    skips: Sequence[Skip] = (),
) -> dict[int, Packing]:
    """Rewrite an analysed task in place, without the products of `skips`."""
    rewrite = _Rewrite(task, conv, m, lanes, vectors)
    with ir.InsertionPoint(task.root), task.root.location:
        packing = rewrite.weight()
        transformed = rewrite.inputs()
        products = rewrite.products(transformed)
        result = rewrite.outputs(products)
    rewrite.make.replace(result)
    # The loops of the products: i, j, lead..., ty, tx, block, vector, lane, taps..., ci.
    lead = len(conv.lead)
    moved = [replace(s, loop=s.loop + 2, tap=s.tap - (lead + 3) + 2 + lead + 5) for s in skips]
    anchor = next(op for op in collect(function, "linalg.generic") if "ansorc.product0.anchor" in op.attributes)
    mark(anchor, moved)
    retype(function)
    return packing


class _Rewrite:
    """The operations of one task's algorithm, made at the insertion point."""

    def __init__(self, task: TaskShape, conv: SquareConvolution, m: int, lanes: int, vectors: int) -> None:
        assert task.anchor is not None
        self.task, self.conv, self.m = task, conv, m
        self.anchor = task.anchor
        self.edge = m + conv.window - 1
        self.split = (conv.filters // (lanes * vectors), vectors, lanes)
        self.make = Stages(task)
        self.tiles = tuple(sum(p.count for p in pieces(e, m, conv.window)) for e in (conv.height, conv.width))
        self.pieces = list(product(*(pieces(e, m, conv.window) for e in (conv.height, conv.width))))

    def weight(self) -> dict[int, Packing]:
        """Give the weights their transformed type: [i][j][block][taps...][ci][vector][lane]."""
        argument = ir.BlockArgument(self.anchor.operands[1])
        taps, a = self.conv.taps, self.edge
        plain = (a, a, *taps, self.conv.channels, *self.split)
        block = 2 + len(taps) + 1
        order = (0, 1, block, *range(2, block), block + 1, block + 2)
        argument.set_type(ir.RankedTensorType.get([plain[k] for k in order], self.make.element))
        return {argument.arg_number: Packing(plain, order, winograd=self.m)}

    def inputs(self) -> ir.Value:
        """v, one piece of tiles after the other."""
        conv, x = self.conv, self.anchor.operands[0]
        kind, lead = (self.edge, self.edge, *conv.read), len(conv.read)
        made = self.make.empty((*kind, *self.tiles, conv.channels))
        bt = matrices(self.m, self.conv.window).input
        for number, (high, wide) in enumerate(self.pieces):
            offsets = [*[0] * lead, self.m * high.first, self.m * wide.first, 0]
            sizes = [self.m * (p.count - 1) + p.rows for p in (high, wide)]
            piece = slice_of(x, offsets, [*conv.read, *sizes, conv.channels])
            place = ([*[0] * (2 + lead), high.first, wide.first, 0], [*kind, high.count, wide.count, conv.channels])
            # Loops: i, j, lead..., ty, tx, ci, k, l.
            n = 2 + lead + 5
            d = [ir.AffineDimExpr.get(k) for k in range(n)]
            ty, tx, ci, row, column = d[-5:]
            reads = [*d[2:-5], ty * self.m + row, tx * self.m + column, ci]
            transforms = [self.make.constant(bt[:, : p.rows]) for p in (high, wide)]
            value = self.make.stage(
                f"input{number}", [piece, *transforms],
                [reads, [d[0], row], [d[1], column]], 2, place[1], slice_of(made, *place),
            )  # fmt: skip
            made = inserted(value, made, place[0])
        return made

    def products(self, v: ir.Value) -> ir.Value:
        """s, as one batch of products."""
        conv = self.conv
        count, extra = len(conv.lead), len(conv.taps)
        # Loops: i, j, lead..., ty, tx, block, vector, lane, taps..., ci.
        d = [ir.AffineDimExpr.get(k) for k in range(2 + count + 5 + extra + 1)]
        outs, reductions = d[: 2 + count + 5], d[2 + count + 5 :]
        renamed = [*d[2 : 2 + count], *[d[0]] * 3, *reductions[:-1], *[d[0]] * 3]
        leading = list(indexing_maps(self.anchor)[0].results)[:-3]
        substitution = ir.AffineMap.get(len(d), 0, renamed)
        lead = [ir.AffineExpr.compose(e, substitution) for e in leading]
        cb, cv, cl = outs[-3:]
        sizes = [self.edge, self.edge, *conv.lead, *self.tiles, *self.split]
        return self.make.stage(
            "product0", [v, self.anchor.operands[1]],
            [[d[0], d[1], *lead, *outs[-5:-3], reductions[-1]], [d[0], d[1], cb, *reductions, cv, cl]],
            extra + 1, sizes, self.make.empty(sizes),
        )  # fmt: skip

    def outputs(self, s: ir.Value) -> ir.Value:
        """Transform back, and apply the epilogue, one piece of tiles after the other."""
        conv = self.conv
        count = len(conv.lead)
        at = matrices(self.m, self.conv.window).output
        made = self.make.empty((*conv.lead, conv.height, conv.width, conv.filters))
        # Loops: lead..., ty, a, tx, b, block, vector, lane, i, j.
        d = [ir.AffineDimExpr.get(k) for k in range(count + 4 + 3 + 2)]
        ty, a, tx, b = d[count : count + 4]
        i, j = d[-2:]
        for number, (high, wide) in enumerate(self.pieces):
            place = [*[0] * (2 + count), high.first, wide.first, 0, 0, 0]
            piece = slice_of(s, place, [self.edge, self.edge, *conv.lead, high.count, wide.count, *self.split])
            at_high, at_wide = at[: high.results], at[: wide.results]
            offsets = [*[0] * count, self.m * high.first, self.m * wide.first, 0]
            extents = [*conv.lead, high.count * high.results, wide.count * wide.results, conv.filters]
            sizes = [*conv.lead, high.count, high.results, wide.count, wide.results, *self.split]

            def tiled(value: ir.Value, offsets: list[int] = offsets, extents: list[int] = extents,
                      sizes: list[int] = sizes) -> ir.Value:  # fmt: skip
                return expand(slice_of(value, offsets, extents), [*[1] * count, 2, 2, 3], sizes)

            value = self.make.stage(
                f"output{number}", [piece, self.make.constant(at_high), self.make.constant(at_wide)],
                [[i, j, *d[:count], ty, tx, *d[count + 4 : -2]], [a, i], [b, j]], 2, sizes,
                self.make.empty(sizes) if len(self.pieces) == 1 else tiled(made),
                Epilogue(tiled, self.split, tuple(range(len(sizes) - 3, len(sizes)))),
            )  # fmt: skip
            made = inserted(collapse(value, [*[1] * count, 2, 2, 3], extents), made, offsets)
        return made
