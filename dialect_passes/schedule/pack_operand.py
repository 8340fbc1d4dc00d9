"""Pack what an anchor reads by channels into panels, at run time; for operands that are no constants.

anchor reads w[k, cb, cv, cl], one row of K elements a step, rows far apart
-->
p[cb, k, cv, cl] = w[k, cb, cv, cl]; anchor reads p: one block of channels is one contiguous panel
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, collect, indexing_maps, segments, shape
from ansorc.dialect_passes.schedule.build_generic import generic, plain_map


def run(function: ir.Operation) -> None:
    """Rewrite a function whose channels are blocked (see block_channels); marks the copy `ansorc.pack`."""
    anchor = next(op for op in collect(function, "linalg.generic") if "ansorc.anchor" in op.attributes)
    maps = indexing_maps(anchor)
    number = _by_channels(anchor, maps)
    source, m = anchor.operands[number], maps[number]
    at = list(m.results).index(ir.AffineDimExpr.get(0))
    order = [at, *range(at), *range(at + 1, len(m.results))]
    packed = _copy(source, order, function)
    anchor.operands[number] = packed
    maps[number] = ir.AffineMap.get(m.n_dims, 0, [m.results[k] for k in order])
    anchor.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(x) for x in maps])


def _by_channels(anchor: ir.Operation, maps: list[ir.AffineMap]) -> int:
    """The operand that is read by blocks of channels, which are the first loop, and lies in an argument."""
    block = ir.AffineDimExpr.get(0)
    return next(
        k
        for k in range(segments(anchor)[0])
        if block in list(maps[k].results) and isinstance(anchor.operands[k].owner, ir.Block)
    )


def _copy(source: ir.Value, order: list[int], function: ir.Operation) -> ir.Value:
    sizes, rank = shape(source), len(order)
    read = plain_map(rank, [order.index(k) for k in range(rank)])
    with ir.InsertionPoint.at_block_begin(body(function)), function.location:
        return generic(
            [source], [read, ir.AffineMap.get_identity(rank)], [sizes[k] for k in order], 0,
            lambda inner: inner[0], {"ansorc.pack": ir.UnitAttr.get()},
        ).results[0]  # fmt: skip
