"""Give products of many matrices the loops that were one for them: those over images and heads.

    collapse_shape a, b: tensor<16x12x...> into tensor<192x...>; batch_matmul; expand_shape into tensor<16x12x...>
    -->
    generic over 16, 12, rows, columns, steps

What is before and behind, softmax and masks of attention, has these loops, and can be one task with the products.
"""

import numpy as np
from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes.graph.groups import product_maps
from ansorc.dialect_passes.graph.rebuild import generic_product, reshape
from ansorc.dialect_passes.ir_walk import collect, reassociation, shape


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Rewrite products whose result is expanded at once, in place."""
    for op in collect(module.operation, "linalg.batch_matmul"):
        users = [use.owner.operation for use in op.results[0].uses]
        if len(users) != 1 or users[0].name != "tensor.expand_shape":
            continue
        view = users[0]
        first, *others = reassociation(view)
        start = op.operands[2].owner
        if len(first) < 2 or any(len(group) > 1 for group in others) or isinstance(start, ir.Block):
            continue
        batch = shape(view.results[0])[: len(first)]
        if sum(size > 1 for size in batch) < 2 or start.operation.name != "linalg.fill":
            continue
        with ir.InsertionPoint(op), op.location:
            made = _product(op, batch, start.operation.operands[0])
        view.results[0].replace_all_uses_with(made)
        view.erase()
        op.erase()


def _product(op: ir.Operation, batch: list[int], start: ir.Value) -> ir.Value:
    operands = [reshape(value, [*batch, *shape(value)[1:]]) for value in list(op.operands)[:2]]
    element = ir.RankedTensorType(op.results[0].type).element_type
    out = linalg.fill(start, outs=[tensor.EmptyOp([*batch, *shape(op.results[0])[1:]], element).result])
    return generic_product(op, [*operands, out], product_maps(len(batch)))
