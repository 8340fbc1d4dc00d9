"""Copy what a contraction of a chain reads by columns into panels, once for all blocks of rows.

S[b, h, m, nb, nv, nl] += Q[b, m, h, k] * K[b, nb, nv, nl, h, k]
-->
P[b, h, nb, k, nv, nl] = K[b, nb, nv, nl, h, k]; the contraction reads P: a block of columns is one contiguous panel
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, indexing_maps, iterators, shape
from ansorc.dialect_passes.schedule.build_generic import generic, plain_map


def run(function: ir.Operation, contraction: ir.Operation, number: int, mark: str) -> None:
    """Pack operand `number` of a contraction whose columns are split; the copy gets the attribute `mark`."""
    maps = indexing_maps(contraction)
    m, source = maps[number], contraction.operands[number]
    read = [ir.AffineDimExpr(e).position for e in m.results]
    parallel = iterators(contraction).count("parallel")
    columns = [parallel - 3, parallel - 2, parallel - 1]
    reduced = [d for d in range(parallel, m.n_dims) if d in read]
    order = [*(d for d in range(parallel - 3) if d in read), columns[0], *reduced, *columns[1:]]
    sizes = [shape(source)[read.index(d)] for d in order]
    reads = plain_map(len(order), [order.index(d) for d in read])
    with ir.InsertionPoint.at_block_begin(body(function)), function.location:
        copy = generic(
            [source], [reads, ir.AffineMap.get_identity(len(order))], sizes, 0,
            lambda inner: inner[0], {mark: ir.UnitAttr.get()},
        )  # fmt: skip
    contraction.operands[number] = copy.results[0]
    maps[number] = plain_map(m.n_dims, order)
    contraction.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(x) for x in maps])
