"""Sink transposes towards the results, so that those around channels-last operations meet and cancel.

    generic(transpose(a), transpose(b), bias)  -->  transpose(generic(a, b, bias))

In order, for each operation that reads a transposed tensor:

    transpose of a transpose    one transpose, or none
    elementwise                 computed in the order of its transposed operands, if they agree
    reduction                   reads the source through a permuted map
    product of few rows         likewise, where what it multiplies with lies row by row
    pad, slices, concat         applied to the source
    expand_shape                applied to the source; collapse_shape where the collapsed dims are neighbours there
    moves unit dims only        a reshape
"""

from collections.abc import Sequence

import numpy as np
from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.graph.groups import is_product, product_maps
from ansorc.dialect_passes.graph.rebuild import generic_product, rebuilt, reshape, transpose
from ansorc.dialect_passes.ir_walk import (
    body,
    functions,
    indexing_maps,
    iterators,
    permutation,
    reassociation,
    segments,
    shape,
)
from ansorc.dialect_passes.schedule.dot_product import MOST_USES

Perm = tuple[int, ...]
LANES = 4
"""Elements of the shortest vector that is summed along."""


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Move the transposes of @main, in place."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for op in [o.operation for o in body(main).operations]:
        rule = RULES.get(op.name)
        if rule is None:
            continue
        with ir.InsertionPoint(op), op.location:
            new = rule(op)
        if new is not None:
            op.results[0].replace_all_uses_with(new)
            op.erase()


def transposed(value: ir.Value) -> tuple[ir.Value, Perm] | None:
    """Return (source, perm) of a transpose: result dim k is source dim perm[k]."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "linalg.transpose":
        return None
    op = value.owner.operation
    return op.operands[0], tuple(permutation(op))


def inverse(perm: Sequence[int]) -> Perm:
    return tuple(perm.index(k) for k in range(len(perm)))


def _transpose(op: ir.Operation) -> ir.Value | None:
    found = transposed(op.operands[0])
    perm = permutation(op)
    if found is not None:
        source, first = found
        return transpose(source, [first[p] for p in perm])
    sizes = shape(op.operands[0])
    kept = [p for p in perm if sizes[p] != 1]
    if kept == sorted(kept):
        return reshape(op.operands[0], shape(op.results[0]))
    return None


def _generic(op: ir.Operation) -> ir.Value | None:
    if is_product(op):
        return _product(op)
    inputs, outputs = segments(op)
    maps = indexing_maps(op)
    found = {k: t for k in range(inputs) if (t := transposed(op.operands[k])) is not None}
    if not found or outputs != 1 or any(o.operation.name == "linalg.index" for o in op.regions[0].blocks[0].operations):
        return None
    if "reduction" in iterators(op):
        return _read_sources(op, found)
    rank = maps[-1].n_dims
    identity = ir.AffineMap.get_identity(rank, op.context)
    if maps[-1] != identity:
        return None
    full = [k for k in range(inputs) if maps[k] == identity]
    perms = {found[k][1] if k in found else None for k in full}
    if len(perms) != 1 or None in perms:
        return None
    perm = next(iter(perms))
    assert perm is not None
    # Loop perm[k] of the new generic is loop k of the old one.
    dims = [ir.AffineDimExpr.get(p, op.context) for p in perm]
    substitution = ir.AffineMap.get(rank, 0, dims, op.context)
    new_maps: list[ir.AffineMap] = []
    operands: list[ir.Value] = []
    for k, m in enumerate(maps[:-1]):
        if k in full:
            operands.append(found[k][0])
            new_maps.append(identity)
        else:
            operands.append(op.operands[k])
            results = [ir.AffineExpr.compose(e, substitution) for e in m.results]
            new_maps.append(ir.AffineMap.get(rank, 0, results, op.context))
    sizes = [shape(op.results[0])[k] for k in inverse(perm)]
    kind = ir.RankedTensorType(op.results[0].type)
    out = tensor.EmptyOp(sizes, kind.element_type).result
    new = rebuilt(op, [*operands, out], sizes, {"indexing_maps": [*new_maps, identity]})
    return transpose(new, perm)


def _product(op: ir.Operation) -> ir.Value | None:
    found = transposed(op.operands[1])
    if found is None:
        return None
    source, perm = found
    rows, inner = shape(op.operands[0])[-2:]
    floats = isinstance(ir.RankedTensorType(op.results[0].type).element_type, ir.FloatType)
    if perm[-2] != len(perm) - 1 or rows > MOST_USES or inner % LANES or not floats:
        return None
    left, right, out = product_maps(len(perm) - 2)
    results = list(right.results)
    read = ir.AffineMap.get(right.n_dims, 0, [results[b] for b in inverse(perm)])
    return generic_product(op, [op.operands[0], source, op.operands[2]], [left, read, out])


def _read_sources(op: ir.Operation, found: dict[int, tuple[ir.Value, Perm]]) -> ir.Value:
    maps, operands = indexing_maps(op), list(op.operands)
    for k, (source, perm) in found.items():
        back = inverse(perm)
        results = list(maps[k].results)
        maps[k] = ir.AffineMap.get(maps[k].n_dims, 0, [results[b] for b in back], op.context)
        operands[k] = source
    return rebuilt(op, operands, shape(op.results[0]), {"indexing_maps": maps})


def _pad(op: ir.Operation) -> ir.Value | None:
    found = transposed(op.operands[0])
    if found is None or len(op.operands) != 1:
        return None
    source, perm = found
    back = inverse(perm)
    amounts = {
        name: ir.DenseI64ArrayAttr.get([list(ir.DenseI64ArrayAttr(op.attributes[name]))[b] for b in back])
        for name in ("static_low", "static_high")
    }
    return transpose(rebuilt(op, [source], [shape(op.results[0])[b] for b in back], amounts), perm)


def _extract(op: ir.Operation) -> ir.Value | None:
    found = transposed(op.operands[0])
    if found is None or len(shape(op.results[0])) != len(found[1]):
        return None
    source, perm = found
    back = inverse(perm)
    return transpose(rebuilt(op, [source], [shape(op.results[0])[b] for b in back], _permuted_slices(op, back)), perm)


def _permuted_slices(op: ir.Operation, back: Perm) -> dict[str, ir.Attribute]:
    names = ("static_offsets", "static_sizes", "static_strides")
    return {n: ir.DenseI64ArrayAttr.get([list(ir.DenseI64ArrayAttr(op.attributes[n]))[b] for b in back]) for n in names}


def _concat(op: ir.Operation) -> ir.Value | None:
    found = [transposed(v) for v in op.operands]
    perms = {f[1] if f else None for f in found}
    if len(perms) != 1 or None in perms:
        return None
    perm = found[0][1]  # pyright: ignore[reportOptionalSubscript]
    back = inverse(perm)
    at = ir.IntegerAttr(op.attributes["dim"])
    dim = ir.IntegerAttr.get(at.type, perm[at.value])
    sources = [f[0] for f in found if f]
    return transpose(rebuilt(op, sources, [shape(op.results[0])[b] for b in back], {"dim": dim}), perm)


def _expand(op: ir.Operation) -> ir.Value | None:
    found = transposed(op.operands[0])
    if found is None:
        return None
    source, perm = found
    groups, sizes = reassociation(op), shape(op.results[0])
    if len(groups) != len(perm):
        return None
    back = inverse(perm)
    target = [sizes[d] for b in back for d in groups[b]]
    # Positions of the result's dims among the dims of the expanded source.
    order = [d for b in back for d in groups[b]]
    return transpose(reshape(source, target), [order.index(d) for d in range(len(sizes))])


def _collapse(op: ir.Operation) -> ir.Value | None:
    found = transposed(op.operands[0])
    if found is None:
        return None
    source, perm = found
    groups = reassociation(op)
    whole = shape(source)
    starts: list[tuple[int, int]] = []
    for number, group in enumerate(groups):
        dims = [perm[d] for d in group]
        wide = [d for d in dims if whole[d] != 1] or dims[:1]
        between = [d for d in range(wide[0], wide[-1] + 1) if whole[d] != 1]
        if between != [d for d in wide if whole[d] != 1]:
            return None
        starts.append((wide[0], number))
    order = [number for _, number in sorted(starts)]
    sizes = shape(op.results[0])
    return transpose(reshape(source, [sizes[k] for k in order]), [order.index(k) for k in range(len(sizes))])


RULES = {
    "linalg.transpose": _transpose,
    "linalg.generic": _generic,
    "linalg.matmul": _product,
    "linalg.batch_matmul": _product,
    "tensor.pad": _pad,
    "tensor.extract_slice": _extract,
    "tensor.concat": _concat,
    "tensor.expand_shape": _expand,
    "tensor.collapse_shape": _collapse,
}
