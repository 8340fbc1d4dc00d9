"""Sink reshapes behind elementwise operations and reductions of rows, so that these meet the anchor they finish.

    matmul -> tensor<128x768>; expand_shape -> tensor<1x128x768>; generic (bias, GELU)
    -->
    matmul; generic over 128x768; expand_shape

    grouped convolution -> tensor<1x28x28x4x34>; collapse_shape -> tensor<1x28x28x136>; generic (bias)
    -->
    grouped convolution; generic over 1x28x28x4x34 (the bias is expanded to 4x34); collapse_shape

Views cost nothing between tasks, but a task ends where one begins.
"""

from math import prod

import numpy as np
from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes.graph.rebuild import rebuilt, reshape, transpose
from ansorc.dialect_passes.ir_walk import (
    body,
    functions,
    indexing_maps,
    iterators,
    pad_amounts,
    permutation,
    reassociation,
    segments,
    shape,
)

Dims = list[int]


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Move the reshapes of @main, in place."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for op in [o.operation for o in body(main).operations]:
        if op.name == "linalg.transpose":
            _sink_units(op)
        elif op.name == "tensor.pad":
            _pad_source(op)
        elif op.name == "tensor.expand_shape":
            _expand_first(op)
        elif _is_plain(op):
            for k in range(segments(op)[0]):
                if _sink(op, k):
                    break


def _sink_units(op: ir.Operation) -> None:
    """Sink a view that only adds unit dims behind a transpose."""
    view = op.operands[0].owner
    if isinstance(view, ir.Block) or view.operation.name != "tensor.expand_shape":
        return
    source = view.operation.operands[0]
    sizes, extents = shape(source), shape(op.operands[0])
    if isinstance(source.owner, ir.Block) or [s for s in sizes if s != 1] != [e for e in extents if e != 1]:
        return
    wide = [d for d, size in enumerate(sizes) if size != 1]
    rank_of = {e: k for k, e in enumerate(e for e, extent in enumerate(extents) if extent != 1)}
    order = [wide[rank_of[p]] for p in permutation(op) if p in rank_of]
    units = [d for d, size in enumerate(sizes) if size == 1]
    with ir.InsertionPoint(op), op.location:
        result = reshape(transpose(source, [*units, *order]), shape(op.results[0]))
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _expand_first(view: ir.Operation) -> None:
    """Sink a pad of a graph's input behind an expand_shape of other dims: the task that reads it does the padding."""
    pad = view.operands[0].owner
    if isinstance(pad, ir.Block) or pad.operation.name != "tensor.pad" or len(list(view.operands[0].uses)) != 1:
        return
    pad = pad.operation
    if len(pad.operands) != 1 or not isinstance(pad.operands[0].owner, ir.Block):
        return
    groups = reassociation(view)
    low, high = pad_amounts(pad)
    if any(len(group) > 1 and low[k] + high[k] for k, group in enumerate(groups)):
        return
    padded = shape(view.results[0])
    each = [[amounts[k] for k, group in enumerate(groups) for _ in group] for amounts in (low, high)]
    sizes = [n - a - b for n, a, b in zip(padded, *each, strict=True)]
    with ir.InsertionPoint(view), view.location:
        result = _pad_like(pad, reshape(pad.operands[0], sizes), padded, *each)
    view.results[0].replace_all_uses_with(result)
    view.erase()
    pad.erase()


def _pad_like(pad: ir.Operation, source: ir.Value, padded: Dims, low: Dims, high: Dims) -> ir.Value:
    """Return another value padded with the same, in more dims."""
    amounts = {"static_low": ir.DenseI64ArrayAttr.get(low), "static_high": ir.DenseI64ArrayAttr.get(high)}
    made = rebuilt(pad, [source], padded, amounts)
    block = made.owner.operation.regions[0].blocks[0]
    for _ in range(len(padded) - len(block.arguments)):
        block.add_argument(ir.IndexType.get(), pad.location)
    return made


def _pad_source(op: ir.Operation) -> None:
    """Sink a collapse_shape behind a pad of other dims than it collapses: who makes the source writes its border."""
    view = op.operands[0].owner
    if isinstance(view, ir.Block) or view.operation.name != "tensor.collapse_shape" or len(op.operands) != 1:
        return
    view = view.operation
    if isinstance(view.operands[0].owner, ir.Block) or len(list(view.results[0].uses)) != 1:
        return
    groups = reassociation(view)
    low, high = pad_amounts(op)
    if any(len(group) > 1 and low[k] + high[k] for k, group in enumerate(groups)):
        return
    each = [[amounts[k] for k, group in enumerate(groups) for _ in group] for amounts in (low, high)]
    padded = [n + a + b for n, a, b in zip(shape(view.operands[0]), *each, strict=True)]
    with ir.InsertionPoint(op), op.location:
        result = reshape(_pad_like(op, view.operands[0], padded, *each), shape(op.results[0]))
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _is_plain(op: ir.Operation) -> bool:
    """Whether an operation is elementwise or a reduction of rows, and reads by plain loops alone."""
    if op.name != "linalg.generic" or segments(op)[1] != 1:
        return False
    kinds, maps = iterators(op), indexing_maps(op)
    parallel = kinds.count("parallel")
    rows = ir.AffineMap.get(len(kinds), 0, [ir.AffineDimExpr.get(k, op.context) for k in range(parallel)], op.context)
    names = {o.operation.name for o in op.regions[0].blocks[0].operations}
    plain = all(isinstance(e, ir.AffineDimExpr) for m in maps for e in m.results)
    return (
        plain and maps[-1] == rows and "reduction" not in kinds[:parallel]
        and not names & {"linalg.index", "tensor.extract"}
    )  # fmt: skip


def _identity(op: ir.Operation) -> ir.AffineMap:
    return ir.AffineMap.get_identity(len(iterators(op)), op.context)


def _sink(op: ir.Operation, number: int) -> bool:
    """Sink the view that is operand `number` of `op`; return whether it was one, and could be."""
    view = op.operands[number].owner
    if isinstance(view, ir.Block):
        return False
    view = view.operation
    if view.name not in ("tensor.expand_shape", "tensor.collapse_shape") or indexing_maps(op)[number] != _identity(op):
        return False
    source = view.operands[0]
    start = _start_of(op)
    if not _is_finished_by_users(source) or ("reduction" in iterators(op) and start is None):
        return False
    groups = reassociation(view)
    if not groups:
        return False
    extents, sizes = shape(op.operands[number]), shape(source)
    count = len(sizes)
    if view.name == "tensor.expand_shape":
        kinds = _merged_kinds(iterators(op), groups, extents)
        moved = [_merged(_positions(m), groups, extents) for m in indexing_maps(op)]
    else:
        kinds = [iterators(op)[k] for k, group in enumerate(groups) for _ in group]
        moved = [[d for p in _positions(m) for d in groups[p]] for m in indexing_maps(op)]
    rows = [d for d in range(count) if kinds[d] == "parallel"]
    if kinds[: len(rows)] != ["parallel"] * len(rows):
        return False
    if moved[-1] is None or [d for d in moved[-1] if sizes[d] != 1] != [d for d in rows if sizes[d] != 1]:
        return False
    moved[number], moved[-1] = list(range(count)), rows  # unit dims included, which `_merged` leaves out
    if any(dims is None for dims in moved):
        return False
    dim = ir.AffineDimExpr.get
    with ir.InsertionPoint(op), op.location:
        operands: list[ir.Value] = []
        maps: list[ir.AffineMap] = []
        for k, dims in enumerate(moved):
            assert dims is not None
            if k < len(moved) - 1:
                operands.append(source if k == number else reshape(op.operands[k], [sizes[d] for d in dims]))
            maps.append(ir.AffineMap.get(count, 0, [dim(d, op.context) for d in dims], op.context))
        iterator_types = ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{k}>") for k in kinds])
        results = [sizes[d] for d in rows]
        out = tensor.EmptyOp(results, ir.RankedTensorType(op.results[0].type).element_type).result
        if start is not None:
            out = linalg.fill(start, outs=[out])
        new = rebuilt(op, [*operands, out], results, {"indexing_maps": maps, "iterator_types": iterator_types})
        result = reshape(new, shape(op.results[0]))
    op.results[0].replace_all_uses_with(result)
    op.erase()
    return True


def _start_of(op: ir.Operation) -> ir.Value | None:
    """Return what a reduction starts from, where that is one number."""
    out = op.operands[segments(op)[0]].owner
    if "reduction" not in iterators(op) or isinstance(out, ir.Block) or out.operation.name != "linalg.fill":
        return None
    return out.operation.operands[0]


def _is_finished_by_users(value: ir.Value) -> bool:
    """Whether a value is made by an anchor, or by operations behind one that may share its task."""
    if isinstance(value.owner, ir.Block):
        return False
    op = value.owner.operation
    if op.name != "linalg.generic":
        return op.name.startswith("linalg.") and op.name not in (
            "linalg.transpose", "linalg.copy", "linalg.fill", "linalg.broadcast",
        )  # fmt: skip
    if "reduction" in iterators(op):
        return True
    return any(_is_finished_by_users(operand) for operand in list(op.operands)[: segments(op)[0]])


def _merged_kinds(kinds: list[str], groups: list[Dims], extents: Dims) -> list[str]:
    """Return the kind of each group of loops; one that mixes them stays parallel, which `_merged` finds out."""
    found: list[str] = []
    for group in groups:
        wide = [d for d in group if extents[d] != 1] or group
        found.append("reduction" if all(kinds[d] == "reduction" for d in wide) else "parallel")
    return found


def _positions(m: ir.AffineMap) -> Dims:
    return [ir.AffineDimExpr(e).position for e in m.results]


def _merged(positions: Dims, groups: list[Dims], extents: Dims) -> Dims | None:
    """Return the groups that an operand reads, in its order; None where it reads a part of one, or mixes them.

    Dims of extent 1 may be missing from a group or stand anywhere.
    """
    wide = [p for p in positions if extents[p] != 1]
    found: Dims = []
    at = 0
    while at < len(wide):
        number = next(k for k, group in enumerate(groups) if wide[at] in group)
        expected = [d for d in groups[number] if extents[d] != 1]
        if wide[at : at + len(expected)] != expected:
            return None
        found.append(number)
        at += len(expected)
    assert prod(extents[p] for p in positions) == prod(extents[d] for k in found for d in groups[k])
    return found
