"""Compute what depends on weights alone, with numpy: transposes, reshapes, slices and pads of weights."""

from collections.abc import Callable

import numpy as np
from mlir import ir

from ansorc.dialect_passes.graph import weights as weights_of
from ansorc.dialect_passes.ir_walk import body, functions, permutation, shape

SMALL_BYTES = 1 << 20
"""A result that is larger than its operand is kept only up to this size."""


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Fold in place; results are new entries of `weights`."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for op in [o.operation for o in body(main).operations]:
        rule = RULES.get(op.name)
        symbol = weights_of.symbol_of(op.operands[0]) if rule is not None else None
        if rule is None or symbol is None or symbol not in weights:
            continue
        source = weights[symbol].reshape(shape(op.operands[0]))
        result = rule(op, source)
        if result is None or result.nbytes > max(source.nbytes, SMALL_BYTES):
            continue
        with ir.InsertionPoint(op), op.location:
            new = weights_of.add(module, weights, symbol, result, op.results[0].type)
        op.results[0].replace_all_uses_with(new)
        op.erase()


def _transpose(op: ir.Operation, source: np.ndarray) -> np.ndarray:
    return source.transpose(permutation(op))


def _reshape(op: ir.Operation, source: np.ndarray) -> np.ndarray:
    return source.reshape(shape(op.results[0]))


def _slice(op: ir.Operation, source: np.ndarray) -> np.ndarray | None:
    if len(op.operands) > 1:
        return None
    offsets, sizes, strides = (
        list(ir.DenseI64ArrayAttr(op.attributes[n])) for n in ("static_offsets", "static_sizes", "static_strides")
    )
    index = tuple(slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offsets, sizes, strides, strict=True))
    return source[index].reshape(shape(op.results[0]))


RULES: dict[str, Callable[[ir.Operation, np.ndarray], np.ndarray | None]] = {
    "linalg.transpose": _transpose,
    "tensor.collapse_shape": _reshape,
    "tensor.expand_shape": _reshape,
    "tensor.extract_slice": _slice,
}
