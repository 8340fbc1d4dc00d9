"""Find tasks that could be one: products with what reduces the rows between them, and products behind each other.

    transpose; matmul | softmax | matmul | transpose        attention: the scores need not be written
    matmul; GELU | matmul                                   two layers on a block of rows
    depthwise convolution | convolution of 1x1              channels by themselves, then each point
    convolution | depthwise | convolution of 1x1            an inverted residual, or the first layers of a network:
                                                            the wide value need not be written

A product of few rows with keys as they lie (see move_transposes) is no part of a chain. What is found is a choice:
whoever compiles decides, with models or by an option, for each.
"""

from collections.abc import Iterator, Sequence

from mlir import ir

from ansorc.dialect_passes.graph.groups import Group, is_anchor, is_product
from ansorc.dialect_passes.ir_walk import shape


def candidates(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Yield lists of groups that a chain could replace, in order; longer ones before what they contain."""
    owner = {op: k for k, group in enumerate(groups) for op in group.members}
    for group in groups:
        behind = _reader(groups, owner, group)
        if behind is not None and _is_convolution(group) and _is_depthwise(behind):
            last = _reader(groups, owner, behind)
            if last is not None and _is_pointwise(last) and _reads(behind, group) and _reads(last, behind):
                yield [group, behind, last]
            continue
        if behind is not None and _is_depthwise(group) and _is_pointwise(behind):
            if _reads(behind, group):
                yield [group, behind]
            continue
        if behind is None or not _is_product(group):
            continue
        if _is_product(behind):
            if _reads(behind, group):
                yield _with_transposes(groups, owner, [group, behind])
        elif _is_rows(behind) and len(_products_before(groups, owner, behind)) == 1:
            last = _reader(groups, owner, behind)
            if last is not None and _is_product(last) and _reads(last, behind):
                yield _with_transposes(groups, owner, [group, behind, last])
            yield _with_transposes(groups, owner, [group, behind])


def joined(parts: Sequence[Group]) -> Group:
    """Make one group of several."""
    positions = {op: k for k, op in enumerate(o.operation for o in parts[-1].root.block.operations)}
    members = sorted((op for g in parts for op in g.members), key=lambda op: positions[op], reverse=True)
    made = Group(members[0], members, fixed=True)
    made.anchors, made.reductions = sum(g.anchors for g in parts), sum(g.reductions for g in parts)
    return made


def _only_anchor(group: Group, *, padded: bool = False) -> ir.Operation | None:
    """Return the anchor of a group that is nothing but that and its epilogue, and a border where one may be."""
    pads = int(padded and group.root.name == "tensor.pad")
    if group.anchors != 1 or group.slices or group.pads != pads or group.fixed:
        return None
    return next(m for m in group.members if is_anchor(m))


def _is_product(group: Group) -> bool:
    anchor = _only_anchor(group)
    return anchor is not None and is_product(anchor)


def _is_depthwise(group: Group) -> bool:
    anchor = _only_anchor(group)
    return anchor is not None and anchor.name == "linalg.depthwise_conv_2d_nhwc_hwc"


def _is_convolution(group: Group) -> bool:
    anchor = _only_anchor(group, padded=True)
    return anchor is not None and anchor.name == "linalg.conv_2d_nhwc_hwcf"


def _is_pointwise(group: Group) -> bool:
    anchor = _only_anchor(group)
    if anchor is None or anchor.name != "linalg.conv_2d_nhwc_hwcf":
        return False
    strides = ir.DenseIntElementsAttr(anchor.attributes["strides"])
    return shape(anchor.operands[1])[:2] == [1, 1] and all(strides[k] == 1 for k in range(len(strides)))


def _is_rows(group: Group) -> bool:
    return group.reductions > 0 and not (group.anchors or group.slices or group.pads or group.fixed)


def _is_transpose(group: Group) -> bool:
    return len(group.members) == 1 and group.root.name == "linalg.transpose"


def _reads(group: Group, before: Group) -> bool:
    """Whether the anchor of a group reads what another makes by rows."""
    anchor = next(m for m in group.members if is_anchor(m))
    return anchor.operands[0] == before.root.results[0]


def _reader(groups: Sequence[Group], owner: dict[ir.Operation, int], group: Group) -> Group | None:
    """Return the only group that reads the result of one, directly."""
    users = {owner.get(use.owner.operation) for use in group.root.results[0].uses}
    number = users.pop() if len(users) == 1 else None
    return None if number is None else groups[number]


def _before(groups: Sequence[Group], owner: dict[ir.Operation, int], group: Group) -> list[Group]:
    numbers: dict[int, None] = {}
    for member in group.members:
        for value in member.operands:
            if not isinstance(value.owner, ir.Block) and value.owner.operation in owner:
                numbers[owner[value.owner.operation]] = None
    return [groups[n] for n in numbers if groups[n] is not group]


def _products_before(groups: Sequence[Group], owner: dict[ir.Operation, int], group: Group) -> list[Group]:
    return [g for g in _before(groups, owner, group) if _is_product(g)]


def _with_transposes(groups: Sequence[Group], owner: dict[ir.Operation, int], parts: list[Group]) -> list[Group]:
    """Add the transposes that feed products alone, and the one behind the last."""
    feeding = [
        g for part in parts if _is_product(part) for g in _before(groups, owner, part)
        if _is_transpose(g) and _reader(groups, owner, g) is part
    ]  # fmt: skip
    last = _reader(groups, owner, parts[-1])
    return [*feeding, *parts, *([last] if last is not None and _is_transpose(last) else [])]
