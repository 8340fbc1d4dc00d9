"""Build a `linalg.generic`."""

from collections.abc import Callable, Mapping, Sequence

from mlir import ir
from mlir.dialects import linalg, tensor

Build = Callable[[Sequence[ir.Value]], ir.Value]


def generic(
    inputs: Sequence[ir.Value],
    maps: Sequence[ir.AffineMap],
    into: ir.Value | Sequence[int],
    reductions: int,
    build: Build,
    attributes: Mapping[str, ir.Attribute] | None = None,
) -> ir.Operation:
    """Build a generic at the insertion point whose last loops are reductions; `into` is its destination, or its sizes.

    `build` is given the arguments of the body, and returns what that yields.
    """
    out = into if isinstance(into, ir.Value) else tensor.EmptyOp(list(into), _element(inputs[0])).result
    count = maps[-1].n_dims
    kinds = ["parallel"] * (count - reductions) + ["reduction"] * reductions
    made = ir.Operation.create(
        "linalg.generic",
        [out.type],
        [*inputs, out],
        {
            "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
            "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{k}>") for k in kinds]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(inputs), 1]),
            **(attributes or {}),
        },
        regions=1,
    )
    inner = made.regions[0].blocks.append(*[_element(v) for v in (*inputs, out)])
    with ir.InsertionPoint(inner):
        linalg.YieldOp([build(list(inner.arguments))])
    return made


def body_of(op: ir.Operation) -> Build:
    """Return what builds a copy of the body of another generic."""
    block = op.regions[0].blocks[0]
    *content, terminator = [o.operation for o in block.operations]

    def build(inner: Sequence[ir.Value]) -> ir.Value:
        mapped: dict[ir.Value, ir.Value] = dict(zip(block.arguments, inner, strict=True))
        for o in content:
            clone = o.clone()
            for k, operand in enumerate(list(clone.operands)):
                clone.operands[k] = mapped.get(operand, operand)
            mapped.update(zip(o.results, clone.results, strict=True))
        result = terminator.operands[0]
        return mapped.get(result, result)

    return build


def plain_map(count: int, dims: Sequence[int]) -> ir.AffineMap:
    """Return the map of `count` loops to some of them."""
    return ir.AffineMap.get(count, 0, [ir.AffineDimExpr.get(d) for d in dims])


def _element(value: ir.Value) -> ir.Type:
    kind = value.type
    return ir.RankedTensorType(kind).element_type if isinstance(kind, ir.RankedTensorType) else kind
