"""Let the transposes that could not cancel come as early as they are worth something.

transpose(pad(a))                         -->  pad(transpose(a))              one task, into the middle of its result
transpose(collapse_shape(transpose(a)))   -->  collapse_shape(transpose(a))   one transpose: channel shuffles
"""

from __future__ import annotations

import numpy as np
from mlir import ir

from ansorc.dialect_passes.graph.move_transposes import transposed
from ansorc.dialect_passes.graph.rebuild import rebuilt, reshape, transpose
from ansorc.dialect_passes.ir_walk import body, functions, reassociation, shape


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Move the transposes of @main, in place."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for rule in (_before_pad, _before_collapse):
        for op in [o.operation for o in body(main).operations]:
            if op.name != "linalg.transpose" or isinstance(op.operands[0].owner, ir.Block):
                continue
            before = op.operands[0].owner.operation
            if len(list(before.results[0].uses)) != 1:
                continue
            with ir.InsertionPoint(op), op.location:
                new = rule(op, before)
            if new is not None:
                op.results[0].replace_all_uses_with(new)
                op.erase()
                before.erase()


def _permutation(op: ir.Operation) -> list[int]:
    return list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))


def _before_pad(op: ir.Operation, pad: ir.Operation) -> ir.Value | None:
    if pad.name != "tensor.pad" or len(pad.operands) != 1:
        return None
    perm = _permutation(op)
    amounts = {
        name: ir.DenseI64ArrayAttr.get([list(ir.DenseI64ArrayAttr(pad.attributes[name]))[p] for p in perm])
        for name in ("static_low", "static_high")
    }
    source = transpose(pad.operands[0], perm)
    return rebuilt(pad, [source], shape(op.results[0]), amounts)


def _before_collapse(op: ir.Operation, collapse: ir.Operation) -> ir.Value | None:
    if collapse.name != "tensor.collapse_shape":
        return None
    found = transposed(collapse.operands[0])
    if found is None:
        return None
    source, first = found
    groups = reassociation(collapse)
    order = [d for p in _permutation(op) for d in groups[p]]
    return reshape(transpose(source, [first[d] for d in order]), shape(op.results[0]))
