"""Give every `linalg.generic` the loop order that schedules assume.

generic over (n, c, h, w) writing out[n, c] with reductions h, w in any order
-->
generic over (dims of the output in its order, then the reductions)
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import collect, indexing_maps, iterators


def run(module: ir.Module) -> None:
    """Permute the loops of every generic of the module."""
    for op in collect(module.operation, "linalg.generic"):
        order = _order(op)
        if order is not None and order != list(range(len(order))):
            _permute(op, order)


def _order(op: ir.Operation) -> list[int] | None:
    out = indexing_maps(op)[-1]
    if any(not isinstance(e, ir.AffineDimExpr) for e in out.results):
        return None
    first = [ir.AffineDimExpr(e).position for e in out.results]
    return first + [k for k in range(out.n_dims) if k not in first]


def _permute(op: ir.Operation, order: list[int]) -> None:
    count = len(order)
    kinds = iterators(op)
    renamed = [ir.AffineDimExpr.get(order.index(k)) for k in range(count)]
    substitution = ir.AffineMap.get(count, 0, renamed)
    maps = [
        ir.AffineMap.get(count, 0, [ir.AffineExpr.compose(e, substitution) for e in m.results])
        for m in indexing_maps(op)
    ]
    op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])
    op.attributes["iterator_types"] = ir.ArrayAttr.get(
        [ir.Attribute.parse(f"#linalg.iterator_type<{kinds[k]}>") for k in order]
    )
    for index in collect(op, "linalg.index"):
        dim = ir.IntegerAttr(index.attributes["dim"])
        index.attributes["dim"] = ir.IntegerAttr.get(dim.type, order.index(dim.value))
