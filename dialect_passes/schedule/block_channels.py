"""Split the channel dimension of a task into [blocks][vectors][lanes].

    linalg.generic over (n, oh, ow, co, kh, kw, ci)
    -->
    linalg.generic over (cb, n, oh, ow, cv, cl, kh, kw, ci)     co = (cb * vectors + cv) * lanes + cl

The memory of every value stays the same, except that of constants: their blocks move to the front, so that one block
is one contiguous panel (`[cb][kh][kw][ci][cv][cl]`). The returned packing says how numpy makes those.
"""

from collections.abc import Sequence

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, collect, indexing_maps, iterators, pad_amounts, reassociation, shape
from ansorc.dialect_passes.kernel_facts import Packing


class CannotBlock(Exception):
    """The channel dimension cannot be followed through the task."""


def channel_positions(function: ir.Operation) -> dict[ir.Value, int]:
    """Follow the last dimension of the result through the task: value -> position of the channel dimension.

    Raises CannotBlock where it meets anything but a plain projection.
    """
    result = list(body(function).operations)[-1].operands[0]
    positions: dict[ir.Value, int] = {result: len(shape(result)) - 1}
    pending = [result]
    whole: set[ir.Value] = set()
    while pending:
        value = pending.pop()
        if isinstance(value.owner, ir.Block):
            continue
        op = value.owner.operation
        if op.name == "tensor.pad":
            if any(amounts[positions[value]] for amounts in pad_amounts(op)):
                raise CannotBlock("channels are padded")
            found: list[tuple[ir.Value, int | None]] = [(op.operands[0], positions[value])]
        elif op.name == "tensor.collapse_shape" and len(reassociation(op)[positions[value]]) == 1:
            found = [(op.operands[0], reassociation(op)[positions[value]][0])]
        elif op.name == "linalg.generic":
            found = _operand_positions(op, positions[value])
        elif op.name == "tensor.empty":
            continue
        else:
            raise CannotBlock(op.name)
        for operand, position in found:
            if position is None:
                whole |= {operand, _unpadded(operand)}
                continue
            if positions.setdefault(operand, position) != position:
                raise CannotBlock("one value is read with two channel dimensions")
            if operand not in pending:
                pending.append(operand)
    if any(value in positions for value in whole):
        raise CannotBlock("one value is read by channels and as a whole")  # x @ x, x @ w + x
    return positions


def _split_group(groups: list[list[int]], at: int) -> ir.Attribute:
    """Return groups of dims where the one of the channels, which is alone, is three."""
    channel = groups[at][0]
    dims = [[d + 2 if d > channel else d for d in g] for g in groups]
    dims[at : at + 1] = [[channel], [channel + 1], [channel + 2]]
    index = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(index, d) for d in g]) for g in dims])


def _unpadded(value: ir.Value) -> ir.Value:
    """Return what a value is, or what is padded to make it."""
    made = not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.pad"
    return value.owner.operation.operands[0] if made else value


def splittable_channels(function: ir.Operation) -> dict[ir.Value, int]:
    """Return the channel's position in each value of a task whose channels may be split; raises CannotBlock."""
    positions = channel_positions(function)
    constant = constant_arguments(function)
    for argument in body(function).arguments:
        if positions.get(argument, -1) not in (-1, len(shape(argument)) - 1) and argument.arg_number not in constant:
            raise CannotBlock("an argument's channels are not contiguous: its vectors would be gathered")
    return positions


def _operand_positions(op: ir.Operation, out_position: int) -> list[tuple[ir.Value, int | None]]:
    """Return each operand and where the channel is in it; None where it is not."""
    maps = indexing_maps(op)
    channel = maps[-1].results[out_position]
    if not isinstance(channel, ir.AffineDimExpr):
        raise CannotBlock("channel is not a plain loop")
    found: list[tuple[ir.Value, int | None]] = []
    for operand, m in zip(op.operands, maps, strict=True):
        at = [k for k, e in enumerate(m.results) if e == channel]
        if any(e != channel and reads(e, ir.AffineDimExpr(channel).position, m) for e in m.results) or len(at) > 1:
            raise CannotBlock("channel is part of a compound index")
        found.append((operand, at[0] if at else None))
    return found


def reads(expr: ir.AffineExpr, dim: int, of: ir.AffineMap) -> bool:
    """Whether an index depends on a loop; `of` is the map that it is from."""
    n_dims = of.n_dims
    m = ir.AffineMap.get(n_dims, 0, [expr])
    zeros = [ir.AffineConstantExpr.get(0)] * n_dims
    moved = [*zeros[:dim], ir.AffineConstantExpr.get(1), *zeros[dim + 1 :]]
    at = [str(ir.AffineExpr.compose(e, ir.AffineMap.get(0, 0, v))) for v in (zeros, moved) for e in m.results]
    return at[0] != at[1]


def run(function: ir.Operation, lanes: int, vectors: int) -> dict[int, Packing]:
    """Rewrite `function` in place; return {argument number: packing} of its constants.

    Raises CannotBlock (before anything is changed) when the channel cannot be followed.
    """
    positions = splittable_channels(function)
    block = body(function)
    constant = constant_arguments(function)
    packings: dict[int, Packing] = {}
    packed: set[ir.Value] = set()
    for argument in block.arguments:
        if argument not in positions:
            continue
        split = _split(shape(argument), positions[argument], lanes, vectors)
        if argument.arg_number in constant and positions[argument] > 0:
            at = positions[argument]
            order = (at, *range(at), *range(at + 1, len(split)))
            packings[argument.arg_number] = Packing(tuple(split), order)
            packed.add(argument)
            split = [split[k] for k in order]
        argument.set_type(ir.RankedTensorType.get(split, ir.RankedTensorType(argument.type).element_type))
    for op in list(block.operations):
        _rewrite(op.operation, positions, packed, lanes, vectors)
    retype(function)
    return packings


def retype(function: ir.Operation) -> None:
    """Let a function's type say what its arguments and results are."""
    block = body(function)
    results = [v.type for v in list(block.operations)[-1].operands]
    kind = ir.FunctionType.get([a.type for a in block.arguments], results)
    function.attributes["function_type"] = ir.TypeAttr.get(kind)


def constant_arguments(function: ir.Operation) -> set[int]:
    """Return the numbers of the arguments that are weights."""
    if "arg_attrs" not in function.attributes:
        return set()
    entries = ir.ArrayAttr(function.attributes["arg_attrs"])
    return {k for k, a in enumerate(entries) if "ansorc.constant" in ir.DictAttr(a)}


def _split(sizes: Sequence[int], at: int, lanes: int, vectors: int) -> list[int]:
    return [*sizes[:at], sizes[at] // (lanes * vectors), vectors, lanes, *sizes[at + 1 :]]


def _rewrite(op: ir.Operation, positions: dict[ir.Value, int], packed: set[ir.Value], lanes: int, vectors: int) -> None:
    if len(op.results) != 1 or op.results[0] not in positions:
        return
    old = op.results[0]
    at = positions[old]
    kind = ir.RankedTensorType.get(_split(shape(old), at, lanes, vectors), ir.RankedTensorType(old.type).element_type)
    with ir.InsertionPoint(op), op.location:
        attributes = _attributes(op)
        if op.name == "linalg.generic":
            attributes |= _blocked_loops(op, at, positions, packed)
        elif op.name == "tensor.collapse_shape":
            attributes["reassociation"] = _split_group(reassociation(op), at)
        elif op.name == "tensor.pad":
            for name in ("static_low", "static_high"):
                amounts = list(ir.DenseI64ArrayAttr(op.attributes[name]))
                attributes[name] = ir.DenseI64ArrayAttr.get([*amounts[: at + 1], 0, 0, *amounts[at + 1 :]])
        new = ir.Operation.create(op.name, [kind], list(op.operands), attributes, regions=len(op.regions))
    if op.regions:
        op.regions[0].blocks[0].append_to(new.regions[0])
        for number in collect(new, "linalg.index"):  # of loops behind the channel
            loop = ir.IntegerAttr(number.attributes["dim"])
            number.attributes["dim"] = ir.IntegerAttr.get(loop.type, loop.value + 2)
        if op.name == "tensor.pad":
            for _ in range(2):
                new.regions[0].blocks[0].add_argument(ir.IndexType.get(), op.location)
    positions[new.results[0]] = at
    old.replace_all_uses_with(new.results[0])
    op.erase()


def _attributes(op: ir.Operation) -> dict[str, ir.Attribute]:
    return {name: op.attributes[name] for name in op.attributes}


def _blocked_loops(
    op: ir.Operation, out_at: int, positions: dict[ir.Value, int], packed: set[ir.Value]
) -> dict[str, ir.Attribute]:
    maps, kinds = indexing_maps(op), iterators(op)
    channel = ir.AffineDimExpr(maps[-1].results[out_at]).position
    count = len(kinds) + 2
    dim = ir.AffineDimExpr.get
    # New loops: block first, the others in order, channel replaced by (vector, lane).
    renamed: list[ir.AffineExpr] = [dim(k + 1 if k <= channel else k + 2) for k in range(len(kinds))]
    substitution = ir.AffineMap.get(count, 0, renamed)
    triple = [dim(0), dim(channel + 1), dim(channel + 2)]
    new_maps: list[ir.AffineMap] = []
    for operand, m in zip(op.operands, maps, strict=True):
        results: list[ir.AffineExpr] = []
        for e in m.results:
            results += triple if e == dim(channel) else [ir.AffineExpr.compose(e, substitution)]
        if operand in packed:
            at = positions[operand]
            results = [results[at], *results[:at], *results[at + 1 :]]
        new_maps.append(ir.AffineMap.get(count, 0, results))
    kinds = ["parallel", *kinds[:channel], "parallel", "parallel", *kinds[channel + 1 :]]
    return {
        "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in new_maps]),
        "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse(f"#linalg.iterator_type<{k}>") for k in kinds]),
    }
