"""Build tensor operations in the place of others."""

from collections.abc import Mapping, Sequence
from math import prod

from mlir import ir
from mlir.dialects import linalg, tensor


def rebuilt(
    op: ir.Operation,
    operands: Sequence[ir.Value],
    sizes: Sequence[int],
    changed: Mapping[str, ir.Attribute | list[ir.AffineMap]],
) -> ir.Value:
    """Create `op` again with other operands, result sizes and attributes; its regions are moved into the new one."""
    element = ir.RankedTensorType(op.results[0].type).element_type
    attributes: dict[str, ir.Attribute] = {name: op.attributes[name] for name in op.attributes}
    for name, value in changed.items():
        if isinstance(value, list):
            value = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in value])
        attributes[name] = value
    new = ir.Operation.create(
        op.name, [ir.RankedTensorType.get(list(sizes), element)], list(operands), attributes, regions=len(op.regions)
    )
    for old_region, new_region in zip(op.regions, new.regions, strict=True):
        while len(old_region.blocks):
            old_region.blocks[0].append_to(new_region)
    return new.results[0]


def generic_product(op: ir.Operation, operands: Sequence[ir.Value], maps: Sequence[ir.AffineMap]) -> ir.Value:
    """Create a product of matrices as a generic that reads a, b and its init by `maps`; the body is moved into it."""
    kinds = ["parallel"] * (maps[0].n_dims - 1) + ["reduction"]
    made = ir.Operation.create(
        "linalg.generic", [operands[-1].type], list(operands),
        {
            "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
            "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{k}>") for k in kinds]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([2, 1]),
        },
        regions=1,
    )  # fmt: skip
    op.regions[0].blocks[0].append_to(made.regions[0])
    return made.results[0]


def transpose(value: ir.Value, perm: Sequence[int]) -> ir.Value:
    """Transpose; nothing for the identity, a reshape where only unit dims move."""
    kind = ir.RankedTensorType(value.type)
    sizes = [kind.shape[p] for p in perm]
    if list(perm) == list(range(len(sizes))):
        return value
    kept = [p for p in perm if kind.shape[p] != 1]
    if kept == sorted(kept):
        return reshape(value, sizes)
    out = tensor.EmptyOp(sizes, kind.element_type).result
    return linalg.transpose(value, outs=[out], permutation=list(perm)).results[0]


def reshape(value: ir.Value, sizes: Sequence[int]) -> ir.Value:
    """Reshape by collapsing what differs and expanding it again."""
    kind = ir.RankedTensorType(value.type)
    if list(kind.shape) == list(sizes):
        return value
    if not sizes:
        return tensor.CollapseShapeOp(ir.RankedTensorType.get([], kind.element_type), value, []).result
    if not kind.shape:
        made = ir.RankedTensorType.get(list(sizes), kind.element_type)
        return tensor.ExpandShapeOp(made, value, [], [], list(sizes)).result
    pairs = _matching_groups(list(kind.shape), list(sizes))
    middle = [prod(kind.shape[d] for d in source) for source, _ in pairs]
    if len(middle) != len(kind.shape):
        value = tensor.CollapseShapeOp(
            ir.RankedTensorType.get(middle, kind.element_type), value, [source for source, _ in pairs]
        ).result
    if len(middle) != len(sizes):
        groups = [target for _, target in pairs]
        value = tensor.ExpandShapeOp(
            ir.RankedTensorType.get(list(sizes), kind.element_type), value, groups, [], list(sizes)
        ).result
    return value


def _matching_groups(source: list[int], target: list[int]) -> list[tuple[list[int], list[int]]]:
    """Split both shapes into the shortest runs of dims with equal products."""
    pairs: list[tuple[list[int], list[int]]] = []
    i, j = 0, 0
    while i < len(source) and j < len(target):
        a, b = [i], [j]
        left, right = source[i], target[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left *= source[i]
                a.append(i)
                i += 1
            else:
                right *= target[j]
                b.append(j)
                j += 1
        pairs.append((a, b))
    if pairs:
        pairs[-1][0].extend(range(i, len(source)))  # what is left are unit dims
        pairs[-1][1].extend(range(j, len(target)))
    return pairs or [(list(range(len(source))), list(range(len(target))))]
