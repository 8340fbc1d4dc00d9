"""Pack what an anchor reads by channels into panels, at run time; for operands that are no constants.

anchor reads w[k, cb, cv, cl], one row of K elements a step, rows far apart
-->
p[cb, k, cv, cl] = w[k, cb, cv, cl]; anchor reads p: one block of channels is one contiguous panel
"""

from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes.ir_walk import body, collect, indexing_maps, segments, shape


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
    element = ir.RankedTensorType(source.type).element_type
    parallel = ir.Attribute.parse("#linalg.iterator_type<parallel>")
    read = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(order.index(k)) for k in range(rank)])
    with ir.InsertionPoint.at_block_begin(body(function)), function.location:
        out = tensor.EmptyOp([sizes[k] for k in order], element).result
        copy = ir.Operation.create(
            "linalg.generic",
            [out.type],
            [source, out],
            {
                "indexing_maps": ir.ArrayAttr.get(
                    [ir.AffineMapAttr.get(read), ir.AffineMapAttr.get(ir.AffineMap.get_identity(rank))]
                ),
                "iterator_types": ir.ArrayAttr.get([parallel] * rank),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1]),
                "ansorc.pack": ir.UnitAttr.get(),
            },
            regions=1,
        )
        inner = copy.regions[0].blocks.append(element, element)
        with ir.InsertionPoint(inner):
            linalg.YieldOp([inner.arguments[0]])
    return copy.results[0]
