"""Let the transposes that could not cancel come as early as they are worth something.

transpose(slice(a)), all of them          -->  slice(transpose(a))            phases of transposed convolutions
transpose(pad(a))                         -->  pad(transpose(a))              one task, into the middle of its result
transpose(collapse_shape(transpose(a)))   -->  collapse_shape(transpose(a))   one transpose: channel shuffles
"""

from __future__ import annotations

from math import prod

import numpy as np
from mlir import ir

from ansorc.dialect_passes.graph.move_transposes import transposed
from ansorc.dialect_passes.graph.rebuild import rebuilt, reshape, transpose
from ansorc.dialect_passes.ir_walk import body, functions, permutation, reassociation, shape


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Move the transposes of @main, in place."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for source, perm, pieces in reversed(_transposed_pieces(body(main))):
        _cut_from_transposed(source, perm, pieces)
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


def _transposed_pieces(block: ir.Block) -> list[tuple[ir.Value, list[int], list[ir.Operation]]]:
    """Return values of which only pieces are read, all transposed alike, and together no smaller than the value."""
    found: list[tuple[ir.Value, list[int], list[ir.Operation]]] = []
    for source in [*block.arguments, *(result for op in block.operations for result in op.operation.results)]:
        pieces = [use.owner.operation for use in source.uses]
        perms = [_permutation_of_piece(piece) for piece in pieces]
        covered = sum(prod(shape(piece.results[0])) for piece in pieces) if all(perms) else 0
        if perms and perms[0] and all(p == perms[0] for p in perms) and covered >= prod(shape(source)):
            found.append((source, perms[0], pieces))
    return found


def _permutation_of_piece(op: ir.Operation) -> list[int]:
    """Return how a slice is transposed; nothing unless that is all that becomes of it."""
    if op.name != "tensor.extract_slice" or len(op.operands) != 1:
        return []
    users = [use.owner.operation for use in op.results[0].uses]
    if len(users) != 1 or users[0].name != "linalg.transpose":
        return []
    return permutation(users[0]) if len(shape(op.results[0])) == len(shape(op.operands[0])) else []


def _cut_from_transposed(source: ir.Value, perm: list[int], pieces: list[ir.Operation]) -> None:
    """Transpose a value before the first of its pieces, and cut all of them from that."""
    first = next(op.operation for op in pieces[0].block.operations if op.operation in pieces)
    with ir.InsertionPoint(first), first.location:
        whole = transpose(source, perm)
    for piece in pieces:
        moved = {
            name: ir.DenseI64ArrayAttr.get([list(ir.DenseI64ArrayAttr(piece.attributes[name]))[p] for p in perm])
            for name in ("static_offsets", "static_sizes", "static_strides")
        }
        (use,) = piece.results[0].uses
        turned = use.owner.operation
        with ir.InsertionPoint(piece), piece.location:
            new = rebuilt(piece, [whole], shape(turned.results[0]), moved)
        turned.results[0].replace_all_uses_with(new)
        turned.erase()
        piece.erase()


def _before_pad(op: ir.Operation, pad: ir.Operation) -> ir.Value | None:
    if pad.name != "tensor.pad" or len(pad.operands) != 1:
        return None
    perm = permutation(op)
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
    order = [d for p in permutation(op) for d in groups[p]]
    return reshape(transpose(source, [first[d] for d in order]), shape(op.results[0]))
