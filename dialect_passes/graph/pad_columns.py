"""Pad the columns of products of two activations where they would fill no vector.

    %s = batch_matmul %q[3x197x64], %k[3x64x197]; softmax over the last dim; %o = batch_matmul %p, %v[3x197x64]
    -->
    all over 208 keys: %k and %v end in zeros; what the softmax reduces is masked, and so is %p

197 tokens are a picture and its class, 100 a sentence. Operations behind the product are widened along; where that is
not possible, they read a slice. The zeros are written by whoever makes %k, where nothing but views stands between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mlir import ir
from mlir.dialects import arith, linalg, tensor

from ansorc.dialect_passes.graph import weights as weights_of
from ansorc.dialect_passes.graph.groups import is_product
from ansorc.dialect_passes.graph.pad_channels import ENOUGH, padded
from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import (
    body,
    collect,
    functions,
    indexing_maps,
    iterators,
    permutation,
    reassociation,
    segments,
    shape,
)

FEWEST_COLUMNS, FEWEST_STEPS, FEWEST_ROWS = 9, 8, 2
"""Smaller products are not worth a copy; of a single row, reading the columns is all there is to do."""
IDENTITY = {"arith.addf": 0.0, "arith.maximumf": -np.inf, "arith.maxnumf": -np.inf, "arith.minimumf": np.inf,
            "arith.minnumf": np.inf}  # fmt: skip
"""What a reduction by an operation ignores."""


@dataclass
class Wide:
    """A value that has more elements along a dim than the one it stands for."""

    value: ir.Value
    dim: int
    extent: int
    """Of the value that it stands for."""
    narrow: ir.Value | None = None
    """The slice that is as wide as that."""


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Pad in place; padded weights and masks are new entries of `weights`."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    padding = _Padding(module, weights)
    for op in [o.operation for o in body(main).operations]:
        with ir.InsertionPoint(op), op.location:
            padding.visit(op)
    for op in reversed(padding.replaced):
        op.erase()


class _Padding:
    """What is wide so far."""

    def __init__(self, module: ir.Module, weights: dict[str, np.ndarray]) -> None:
        self.module = module
        self.weights = weights
        self.wide: dict[ir.Value, Wide] = {}
        self.replaced: list[ir.Operation] = []

    def visit(self, op: ir.Operation) -> None:
        """Widen an operation that reads something wide, or is a product to begin with."""
        read = [k for k, value in enumerate(op.operands) if value in self.wide]
        if not read:
            if (loop := _columns_to_pad(op)) is not None:
                extent = shape(op.results[0])[-1]
                self._widen(op, loop, extent, padded(extent))
            return
        if self._follow(op, read):
            return
        for k in read:
            op.operands[k] = self._narrow(self.wide[op.operands[k]])

    def _follow(self, op: ir.Operation, read: list[int]) -> bool:
        if (op.name != "linalg.generic" and not is_product(op)) or collect(op, "linalg.index", "tensor.extract"):
            return False
        maps = indexing_maps(op)
        loops = {maps[k].results[self.wide[op.operands[k]].dim] for k in read}
        extents = {(w.extent, shape(w.value)[w.dim]) for w in (self.wide[op.operands[k]] for k in read)}
        loop = loops.pop()
        if loops or len(extents) > 1 or not isinstance(loop, ir.AffineDimExpr) or segments(op)[1] != 1:
            return False
        extent, width = extents.pop()
        position = ir.AffineDimExpr(loop).position
        reduction = position == maps[0].n_dims - 1 if is_product(op) else iterators(op)[position] == "reduction"
        if reduction:
            return self._mask(op, loop, extent, width)
        return self._widen(op, position, extent, width)

    def _widen(self, op: ir.Operation, loop: int, extent: int, width: int) -> bool:
        """Build an operation again with more iterations of a parallel loop."""
        maps, inputs = indexing_maps(op), segments(op)[0]
        dim = ir.AffineDimExpr.get(loop, op.context)
        init = op.operands[inputs].owner
        where = [_positions(m, dim) for m in maps]
        if any(w is None for w in where) or isinstance(init, ir.Block) or not where[-1]:
            return False
        if init.operation.name not in ("tensor.empty", "linalg.fill"):
            return False
        values = [
            self._padded(v, w[0], width) if w else v
            for v, w in zip(list(op.operands)[:inputs], where, strict=False)
        ]  # fmt: skip
        sizes = shape(op.results[0])
        sizes[where[-1][0]] = width
        out = tensor.EmptyOp(sizes, ir.RankedTensorType(op.results[0].type).element_type).result
        if init.operation.name == "linalg.fill":
            out = linalg.fill(init.operation.operands[0], outs=[out])
        made = rebuilt(op, [*values, out], sizes, {})
        self.wide[op.results[0]] = Wide(made, where[-1][0], extent)
        self.replaced.append(op)
        return True

    def _mask(self, op: ir.Operation, dim: ir.AffineExpr, extent: int, width: int) -> bool:
        """Let a reduction over what was padded ignore it."""
        maps, inputs = indexing_maps(op), segments(op)[0]
        where = [_positions(m, dim) for m in maps]
        if any(w is None for w in where):
            return False
        names = [o.operation.name for o in op.regions[0].blocks[0].operations][:-1]
        product = is_product(op) or (names == ["arith.mulf", "arith.addf"] and inputs == 2)
        if not product and (len(names) != 1 or names[0] not in IDENTITY or inputs != 1):
            return False
        ignored = 0.0 if product else IDENTITY[names[0]]
        for k, w in enumerate(where[:inputs]):
            if not w:
                continue
            value = op.operands[k]
            if value in self.wide:
                made = self.wide[value]
                made.value = self._masked(made, ignored)  # nobody cares what is behind the extent
                op.operands[k] = made.value
            else:
                op.operands[k] = self._padded(value, w[0], width)
        return True

    def _masked(self, wide: Wide, ignored: float) -> ir.Value:
        sizes = shape(wide.value)
        kind, f32 = ir.RankedTensorType(wide.value.type).element_type, ir.F32Type.get()
        numbers = (np.arange(sizes[wide.dim]) < wide.extent).astype(np.float32)  # whatever the elements are
        mask = weights_of.add(self.module, self.weights, "mask", numbers, ir.RankedTensorType.get(numbers.shape, f32))
        loops = [ir.AffineDimExpr.get(k) for k in range(len(sizes))]
        every, along = ir.AffineMap.get_identity(len(sizes)), ir.AffineMap.get(len(sizes), 0, [loops[wide.dim]])
        made = linalg.GenericOp(
            [wide.value.type], [wide.value, mask], [tensor.EmptyOp(sizes, kind).result],
            ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in (every, along, every)]),
            ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * len(sizes)),
        )  # fmt: skip
        block = made.regions[0].blocks.append(kind, f32, kind, arg_locs=[ir.Location.current] * 3)
        with ir.InsertionPoint(block):
            zero, other = arith.constant(f32, 0.0), _number(kind, ignored)
            real = arith.cmpf(arith.CmpFPredicate.UNE, block.arguments[1], zero)
            linalg.YieldOp([arith.select(real, block.arguments[0], other)])
        return made.results[0]

    def _padded(self, value: ir.Value, dim: int, width: int) -> ir.Value:
        """Return a value with zeros behind its elements along `dim`; what is wide already stays as it is."""
        if value in self.wide:
            return self.wide[value].value
        kind, sizes = ir.RankedTensorType(value.type), shape(value)
        wide = [width if k == dim else size for k, size in enumerate(sizes)]
        array, symbol = weights_of.numbers_of(value, self.weights)
        if array is not None:
            more = [(0, w - s) for w, s in zip(wide, sizes, strict=True)]
            numbers = np.pad(array.reshape(sizes), np.array(more))
            return weights_of.add(
                self.module, self.weights, symbol, numbers, ir.RankedTensorType.get(wide, kind.element_type)
            )
        maker = None if isinstance(value.owner, ir.Block) else value.owner.operation
        if maker is not None and maker.name == "linalg.transpose" and len(list(value.uses)) == 1:
            order = permutation(maker)
            source = self._padded(maker.operands[0], order[dim], width)
            out = tensor.EmptyOp(wide, kind.element_type).result
            return linalg.transpose(source, outs=[out], permutation=order).results[0]
        if maker is not None and maker.name == "tensor.expand_shape" and len(list(value.uses)) == 1:
            groups = reassociation(maker)
            group = next(g for g in groups if dim in g)
            if all(sizes[d] == 1 for d in group if d != dim):
                source = self._padded(maker.operands[0], groups.index(group), width)
                made = ir.RankedTensorType.get(wide, kind.element_type)
                return tensor.ExpandShapeOp(made, source, groups, [], wide).result
        return _zeros_behind(value, wide)

    def _narrow(self, wide: Wide) -> ir.Value:
        if wide.narrow is not None:
            return wide.narrow
        kind, sizes = ir.RankedTensorType(wide.value.type), shape(wide.value)
        sizes[wide.dim] = wide.extent
        rank, narrow = len(sizes), ir.RankedTensorType.get(sizes, kind.element_type)
        made = tensor.ExtractSliceOp(narrow, wide.value, [], [], [], [0] * rank, sizes, [1] * rank).result
        wide.narrow = made
        return made


def _columns_to_pad(op: ir.Operation) -> int | None:
    """Return the loop over the columns of a product of two activations, if these fill no vector."""
    if not is_product(op):
        return None
    columns, (a, b, out) = shape(op.results[0])[-1], indexing_maps(op)
    loop = out.results[-1]
    rows, steps = shape(op.operands[0])[-2:]
    if loop in list(a.results) or loop not in list(b.results) or weights_of.symbol_of(op.operands[1]) is not None:
        return None
    few = columns < FEWEST_COLUMNS or columns % ENOUGH == 0 or steps < FEWEST_STEPS or rows < FEWEST_ROWS
    return None if few else ir.AffineDimExpr(loop).position


def _positions(m: ir.AffineMap, dim: ir.AffineExpr) -> list[int] | None:
    """Return where a loop is an index of its own, once at most; None where it is a part of one, or several."""
    found = [k for k, e in enumerate(m.results) if e == dim]
    plain = all(isinstance(e, ir.AffineDimExpr) for e in m.results)
    return found if plain and len(found) <= 1 else None


def _number(kind: ir.Type, value: float) -> ir.Value:
    return arith.constant(kind, int(value) if isinstance(kind, ir.IntegerType) else value)


def _zeros_behind(value: ir.Value, sizes: list[int]) -> ir.Value:
    kind = ir.RankedTensorType(value.type)
    rank, made = len(sizes), ir.RankedTensorType.get(sizes, kind.element_type)
    high = [w - s for w, s in zip(sizes, kind.shape, strict=True)]
    pad = tensor.PadOp(made, value, [], [], [0] * rank, high)
    block = pad.regions[0].blocks.append(*[ir.IndexType.get()] * rank, arg_locs=[ir.Location.current] * rank)
    with ir.InsertionPoint(block):
        tensor.YieldOp(_number(kind.element_type, 0.0))
    return pad.result
