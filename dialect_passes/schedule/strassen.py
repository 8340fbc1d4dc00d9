"""Turn a product with weights into Strassen's algorithm: 7 products of blocks instead of 8, and sums around them.

    y[n, x, f] = epilogue(sum_c  x[n, x, c] w[c, f])
    -->
    v[t, n, px, c']          = sum_b  A[t, b] x[n, px, b, c']         b = (row of the pair, half of the channels)
    s[t, n, px, f']          = sum_c' v[t, n, px, c'] u[t, c', f']
    y[n, 2 px + p, (q, f')]  = epilogue(sum_t  C[p, q, t] s[t, n, px, f'])

Blocks of rows are the first and the second of each pair of neighbours, so that any chunk of pairs has both; those of
channels are halves. The weights u are summed ahead of time. f' is split into [blocks][vectors][lanes].
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir import ir

from ansorc.dialect_passes.ir_walk import indexing_maps, shape
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
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape
from ansorc.dialect_passes.schedule.strassen_matrices import INPUT, OUTPUT, PRODUCTS


@dataclass(frozen=True, order=True)
class Pairs:
    """A product whose rows come in pairs; channels and filters are those of the whole."""

    lead: tuple[int, ...]
    """Extents of the result before its pairs of rows."""
    pairs: int
    filters: int
    channels: int
    reductions: int
    """How many reduction loops the task has: all but the last have one step."""
    element_bytes: int
    epilogue_cycles: float = 0.0
    """About how long the epilogue takes for one vector; for whoever estimates."""

    @property
    def outer(self) -> tuple[int, ...]:
        """Extents of the loops over rows."""
        return (*self.lead, self.pairs)


def describe(function: ir.Operation, task: TaskShape) -> Pairs:
    """Recognise the product of an analysed task; raises CannotBlock where it is another task."""
    anchor, reductions, outer = task.anchor, task.reductions, len(task.parallel)
    if anchor is None or not is_contraction(task):
        raise CannotBlock("not a product with weights")
    if outer < 2 or any(e != 1 for e in reductions[:-1]):
        raise CannotBlock("not a product of matrices")
    x, w, y = indexing_maps(anchor)
    loops = [ir.AffineDimExpr.get(k, anchor.context) for k in range(x.n_dims)]
    zero = ir.AffineConstantExpr.get(0, anchor.context)
    single = ir.AffineMap.get(x.n_dims, 0, [*loops[:outer], *[zero] * (len(reductions) - 1), loops[-1]])
    rows = [ir.AffineExpr.compose(e, single) for e in x.results]
    if rows != [*loops[: outer - 1], loops[-1]] or shape(anchor.operands[0])[:-1] != list(task.parallel[:-1]):
        raise CannotBlock("rows are not read in their order")
    if list(w.results) != [*loops[outer:], loops[outer - 1]] or list(y.results) != loops[:outer]:
        raise CannotBlock("weights come in another order")
    if not isinstance(anchor.operands[0].owner, ir.Block):
        raise CannotBlock("what is multiplied is no argument")
    if task.parallel[-2] % 2 or task.parallel[-1] % 2 or reductions[-1] % 2:
        raise CannotBlock("odd extents have no halves")
    check_operands(function, task)
    kind = ir.RankedTensorType(task.root.results[0].type).element_type
    return Pairs(
        tuple(task.parallel[:-2]), task.parallel[-2] // 2, task.parallel[-1], reductions[-1], len(reductions),
        4 if str(kind) == "f32" else 8,
    )  # fmt: skip


def run(
    function: ir.Operation, task: TaskShape, nest: Pairs, lanes: int, vectors: int, *, whole: bool = True
) -> dict[int, Packing]:
    """Rewrite an analysed task in place; `whole` sums are made at once, others a part of the channels after another."""
    anchor = task.anchor
    assert anchor is not None
    split = (nest.filters // (2 * lanes * vectors), vectors, lanes)
    with ir.InsertionPoint(task.root), task.root.location:
        make = Stages(task)
        packing = _weight(anchor.operands[1], nest, split, make.element)
        v = _input(anchor.operands[0], nest, make)
        s = _product(v, anchor.operands[1], nest, split, make, whole=whole)
        make.replace(_output(s, nest, split, make))
    retype(function)
    return packing


def _weight(weight: ir.Value, nest: Pairs, split: tuple[int, int, int], element: ir.Type) -> dict[int, Packing]:
    """Give the weights their summed type: [t][block][c'][vector][lane]."""
    argument = ir.BlockArgument(weight)
    plain = (PRODUCTS, nest.channels // 2, *split)
    order = (0, 2, 1, 3, 4)
    argument.set_type(ir.RankedTensorType.get([plain[k] for k in order], element))
    return {argument.arg_number: Packing(plain, order, strassen=True)}


def _input(x: ir.Value, nest: Pairs, make: Stages) -> ir.Value:
    lead, half = len(nest.lead), nest.channels // 2
    halves = expand(x, [*[1] * lead, 2, 2], [*nest.outer, 2, 2, half])
    blocks = collapse(halves, [*[1] * (lead + 1), 2, 1], [*nest.outer, 4, half])
    # Loops: t, lead..., pairs, c', b.
    d = [ir.AffineDimExpr.get(k) for k in range(lead + 4)]
    sizes = [PRODUCTS, *nest.outer, half]
    return make.stage(
        "input0", [blocks, make.constant(INPUT)], [[*d[1 : lead + 2], d[-1], d[-2]], [d[0], d[-1]]], 1, sizes,
        make.empty(sizes),
    )  # fmt: skip


def _product(
    v: ir.Value, u: ir.Value, nest: Pairs, split: tuple[int, int, int], make: Stages, *, whole: bool
) -> ir.Value:
    # Loops: t, lead..., pairs, block, vector, lane, c'.
    d = [ir.AffineDimExpr.get(k) for k in range(len(nest.outer) + 5)]
    t, *rows = d[: len(nest.outer) + 1]
    block, vector, lane, channel = d[-4:]
    sizes = [PRODUCTS, *nest.outer, *split]
    return make.stage(
        "product0", [v, u], [[t, *rows, channel], [t, block, channel, vector, lane]], 1, sizes, make.empty(sizes),
        copied=whole,
    )  # fmt: skip


def _output(s: ir.Value, nest: Pairs, split: tuple[int, int, int], make: Stages) -> ir.Value:
    lead = len(nest.lead)
    # Loops: lead..., pairs, p, q, block, vector, lane, t.
    d = [ir.AffineDimExpr.get(k) for k in range(lead + 7)]
    p, q = d[lead + 1 : lead + 3]
    sizes, counts = [*nest.outer, 2, 2, *split], [*[1] * lead, 2, 4]
    epilogue = Epilogue(lambda value: expand(value, counts, sizes), (2, *split), tuple(range(lead + 2, lead + 6)))
    made = make.stage(
        "output0", [s, make.constant(OUTPUT.reshape(2, 2, PRODUCTS))],
        [[d[-1], *d[: lead + 1], *d[-4:-1]], [p, q, d[-1]]], 1, sizes, make.empty(sizes), epilogue,
    )  # fmt: skip
    return collapse(made, counts, [*nest.lead, 2 * nest.pairs, nest.filters])
