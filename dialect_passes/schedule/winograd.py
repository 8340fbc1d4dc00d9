"""Turn a convolution of r x r taps into Winograd's algorithm F(m x m, r x r): transforms around small products.

    y = epilogue(conv(x, w))
    -->
    v[i, j, n, ty, tx, ci]    = sum_kl  BT[i, k] BT[j, l] x[n, m ty + k, m tx + l, ci]
    s[i, j, n, ty, tx, co]    = sum_ci  v[i, j, n, ty, tx, ci] u[i, j, ci, co]
    z[n, ty, a, tx, b, co]    = sum_ij  AT[a, i] AT[b, j] s[i, j, n, ty, tx, co]
    y[n, m ty + a, m tx + b, co] = epilogue(z)

with a = m + r - 1 and the weights u = G w G^T made ahead of time. Each of the three is an anchor behind a fill and
before an elementwise root: attributes `ansorc.<stage><piece>.root|anchor|fill`, stages input, product, output. Where m
does not divide the image, the last tiles are pieces of their own: they read fewer rows (the others would be zero), and
write fewer. Channels of the result are split into [blocks][vectors][lanes], as in block_channels. More dims of a
convolution (the batch, the depth) are loops around the same; taps of the depth are one more reduction of the products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from mlir import ir
from mlir.dialects import arith, tensor

from ansorc.dialect_passes.ir_walk import indexing_maps, segments, shape
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, Packing, constant_arguments, retype
from ansorc.dialect_passes.schedule.border import Border, border_of
from ansorc.dialect_passes.schedule.build_generic import Build, body_of, generic, plain_map
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape
from ansorc.dialect_passes.schedule.winograd_matrices import matrices
from ansorc.dialect_passes.slices import inserted, slice_of

LEAST_WINDOW, MOST_WINDOW = 2, 7
"""Taps in each dim: of 1 there is nothing to save, and for more than 7 there are no points (winograd_matrices)."""
Expressions = Sequence[ir.AffineExpr]
"""How an operand is read."""


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
    if anchor is None or task.fill is None or not task.contraction or segments(anchor) != (2, 1):
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
    weight = anchor.operands[1]
    if not isinstance(weight.owner, ir.Block) or len(list(weight.uses)) != 1:
        raise CannotBlock("weights are no argument of their own")
    if ir.BlockArgument(weight).arg_number not in constant_arguments(function):
        raise CannotBlock("weights are not constant")
    for operand, m in zip(task.root.operands, indexing_maps(task.root), strict=True):
        plain = list(m.results)
        identity = [ir.AffineDimExpr.get(k, anchor.context) for k in range(outer)]
        if plain not in ([], identity, identity[-1:]):
            raise CannotBlock("the epilogue reads neither all of a value nor one for each channel")
        if plain and not isinstance(operand.type, ir.RankedTensorType):
            raise CannotBlock("the epilogue reads no tensor")
    kind = ir.RankedTensorType(task.root.results[0].type).element_type
    if str(kind) not in ("f32", "f64"):
        raise CannotBlock("the transforms need more range than the element type has")
    return SquareConvolution(
        tuple(task.parallel[:-3]), task.parallel[-3], task.parallel[-2], task.parallel[-1], reductions[-1],
        tuple(reductions[:-3]), tuple(shape(anchor.operands[0])[:-3]), 4 if str(kind) == "f32" else 8,
        reductions[-2], border=border_of(anchor),
    )  # fmt: skip


def run(
    function: ir.Operation, task: TaskShape, conv: SquareConvolution, m: int, lanes: int, vectors: int
) -> dict[int, Packing]:
    """Rewrite an analysed task in place."""
    rewrite = _Rewrite(task, conv, m, lanes, vectors)
    with ir.InsertionPoint(task.root), task.root.location:
        packing = rewrite.weight()
        transformed = rewrite.inputs()
        products = rewrite.products(transformed)
        result = rewrite.outputs(products)
    task.root.results[0].replace_all_uses_with(result)
    for op in (task.root, task.anchor, task.fill):
        if op is not None:
            op.erase()
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
        self.element = ir.RankedTensorType(task.root.results[0].type).element_type
        self.tiles = tuple(sum(p.count for p in pieces(e, m, conv.window)) for e in (conv.height, conv.width))
        self.pieces = list(product(*(pieces(e, m, conv.window) for e in (conv.height, conv.width))))

    def weight(self) -> dict[int, Packing]:
        """Give the weights their transformed type: [i][j][block][taps...][ci][vector][lane]."""
        argument = ir.BlockArgument(self.anchor.operands[1])
        taps, a = self.conv.taps, self.edge
        plain = (a, a, *taps, self.conv.channels, *self.split)
        block = 2 + len(taps) + 1
        order = (0, 1, block, *range(2, block), block + 1, block + 2)
        argument.set_type(ir.RankedTensorType.get([plain[k] for k in order], self.element))
        return {argument.arg_number: Packing(plain, order, winograd=self.m)}

    def inputs(self) -> ir.Value:
        """v, one piece of tiles after the other."""
        conv, x = self.conv, self.anchor.operands[0]
        kind, lead = (self.edge, self.edge, *conv.read), len(conv.read)
        made = self.empty((*kind, *self.tiles, conv.channels))
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
            value = self.stage(
                f"input{number}", [piece, self.constant(bt[:, : high.rows]), self.constant(bt[:, : wide.rows])],
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
        return self.stage(
            "product0", [v, self.anchor.operands[1]],
            [[d[0], d[1], *lead, *outs[-5:-3], reductions[-1]], [d[0], d[1], cb, *reductions, cv, cl]],
            extra + 1, sizes, self.empty(sizes),
        )  # fmt: skip

    def outputs(self, s: ir.Value) -> ir.Value:
        """Transform back, and apply the epilogue, one piece of tiles after the other."""
        conv = self.conv
        count = len(conv.lead)
        at = matrices(self.m, self.conv.window).output
        made = self.empty((*conv.lead, conv.height, conv.width, conv.filters))
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
                return _expand(slice_of(value, offsets, extents), [*[1] * count, 2, 2, 3], sizes)

            value = self.stage(
                f"output{number}", [piece, self.constant(at_high), self.constant(at_wide)],
                [[i, j, *d[:count], ty, tx, *d[count + 4 : -2]], [a, i], [b, j]], 2, sizes,
                self.empty(sizes) if len(self.pieces) == 1 else tiled(made), tiled,
            )  # fmt: skip
            made = inserted(_collapse(value, [*[1] * count, 2, 2, 3], extents), made, offsets)
        return made

    def stage(
        self,
        name: str,
        inputs: Sequence[ir.Value],
        reads: Sequence[Expressions],
        reductions: int,
        sizes: Sequence[int],
        destination: ir.Value,
        epilogue: Callable[[ir.Value], ir.Value] | None = None,
    ) -> ir.Value:
        """Make fill, anchor (the sum of the product of its inputs) and root; the latter copies without `epilogue`."""
        identity = [ir.AffineDimExpr.get(k) for k in range(len(sizes))]
        zero = arith.constant(self.element, 0.0)
        fill = _marked(f"{name}.fill", [], self.empty(sizes), [], 0, lambda _: zero)
        anchor = _marked(f"{name}.anchor", inputs, fill, reads, reductions, _multiply_add)
        if epilogue is None:
            return _marked(f"{name}.root", [anchor], destination, [identity], 0, lambda inner: inner[0])
        return self.root(f"{name}.root", anchor, destination, epilogue)

    def root(
        self, name: str, anchor: ir.Value, destination: ir.Value, tiled: Callable[[ir.Value], ir.Value]
    ) -> ir.Value:
        """The task's own root, on tiles."""
        old = self.task.root
        identity = [ir.AffineDimExpr.get(k) for k in range(len(shape(destination)))]
        inputs: list[ir.Value] = []
        reads: list[Expressions] = []
        for operand, m in zip(list(old.operands)[:-1], indexing_maps(old), strict=False):
            if operand == self.anchor.results[0]:
                inputs.append(anchor)
                reads.append(identity)
            elif len(m.results) == 0:
                inputs.append(operand)
                reads.append([])
            elif len(m.results) == 1:
                inputs.append(_expand(operand, [3], self.split))
                reads.append(identity[-3:])
            else:
                inputs.append(tiled(operand))
                reads.append(identity)
        return _marked(name, inputs, destination, reads, 0, body_of(old))

    def constant(self, values: np.ndarray) -> ir.Value:
        dtype = np.float32 if str(self.element) == "f32" else np.float64
        dense = ir.DenseElementsAttr.get(np.ascontiguousarray(values, dtype=dtype))  # pyright: ignore
        return arith.constant(dense.type, dense)

    def empty(self, sizes: Sequence[int]) -> ir.Value:
        return tensor.EmptyOp(list(sizes), self.element).result


def _multiply_add(inner: Sequence[ir.Value]) -> ir.Value:
    *factors, total = inner
    contract = arith.FastMathFlags.contract
    value = factors[0]
    for factor in factors[1:]:
        value = arith.mulf(value, factor, fastmath=contract)
    return arith.addf(total, value, fastmath=contract)


def _marked(
    name: str, inputs: Sequence[ir.Value], out: ir.Value, reads: Sequence[Expressions], reductions: int, build: Build
) -> ir.Value:
    """Make a generic whose result has all loops but the reductions, in order; it carries the attribute `name`."""
    parallel = len(shape(out))
    maps = [ir.AffineMap.get(parallel + reductions, 0, list(m)) for m in reads]
    written = plain_map(parallel + reductions, range(parallel))
    marks = {f"ansorc.{name}": ir.UnitAttr.get()}
    return generic(inputs, [*maps, written], out, reductions, build, marks).results[0]


def _groups(counts: Sequence[int]) -> ir.ArrayAttr:
    """How consecutive dims belong together, `counts` of them each."""
    index = ir.IntegerType.get_signless(64)
    starts = np.cumsum([0, *counts])
    return ir.ArrayAttr.get(
        [
            ir.ArrayAttr.get([ir.IntegerAttr.get(index, int(s) + k) for k in range(c)])
            for s, c in zip(starts, counts, strict=False)
        ]
    )


def _expand(value: ir.Value, counts: Sequence[int], sizes: Sequence[int]) -> ir.Value:
    assert prod(shape(value)) == prod(sizes)
    kind = ir.RankedTensorType.get(list(sizes), ir.RankedTensorType(value.type).element_type)
    return tensor.ExpandShapeOp(kind, value, _groups(counts), [], list(sizes)).result


def _collapse(value: ir.Value, counts: Sequence[int], sizes: Sequence[int]) -> ir.Value:
    kind = ir.RankedTensorType.get(list(sizes), ir.RankedTensorType(value.type).element_type)
    return tensor.CollapseShapeOp(kind, value, _groups(counts)).result
