"""Turn a task's results into destination arguments.

    func @task(%x) -> tensor<8xf32> { %e = tensor.empty; %r = linalg.op ins(%x) outs(%e); return %r }
    -->
    func @task(%x, %out: tensor<8xf32> {bufferization.writable = true}) -> tensor<8xf32>
        { %r = linalg.op ins(%x) outs(%out); return %r }

A result that ends in `tensor.pad` is computed into the middle of its destination; only the border is filled, so a
convolution reads its padded input without a copy.
"""

from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.ir_walk import body, collect, functions, segments, shape
from ansorc.dialect_passes.slices import inserted, slice_of


def run(module: ir.Module) -> None:
    """Give every function of `module` one destination argument a result."""
    for function in functions(module):
        _give_destinations(function)


def restore(module: ir.Module) -> None:
    """Let results that lost their destinations, as the copies into them were folded away, be written there again."""
    for function in functions(module):
        block = body(function)
        ret = list(block.operations)[-1]
        outs = list(block.arguments)[len(block.arguments) - len(ret.operands) :]
        for result, out in zip(ret.operands, outs, strict=True):
            if isinstance(result.owner, ir.Block):
                continue
            found = _empty_destination(result.owner.operation, ir.OpResult(result).result_number)
            if found is not None:
                user, position = found
                user.operands[position].replace_all_uses_with(out)


INSERTIONS = ("tensor.insert_slice", "tensor.parallel_insert_slice")


def write_tiles_in_place(module: ir.Module) -> None:
    """Let vectors be written where they are inserted, not into what has no content: each would be copied twice.

    %w = vector.transfer_write %v, (slice of tensor.empty); tensor.insert_slice %w into %out[%i]
    -->
    %w = vector.transfer_write %v, (slice of %out[%i]); tensor.insert_slice %w into %out[%i]

    So it is where a task ends in its anchor: what would copy its sums into their destination is folded away.
    """
    for op in collect(module.operation, *INSERTIONS):
        written, around = op.operands[0], list[ir.Operation]()
        while not isinstance(written.owner, ir.Block) and written.owner.operation.name == "tensor.insert_slice":
            around.append(written.owner.operation)
            written = written.owner.operation.operands[0]
        if isinstance(written.owner, ir.Block) or written.owner.operation.name != "vector.transfer_write":
            continue
        write, ends = written.owner.operation, op.parent
        # What chunks have made is inserted in the end of their loop, which is a block of its own.
        within = ends.operation if ends is not None and op.name == "tensor.parallel_insert_slice" else op
        first = around[0].operands[1] if around else write.operands[1]
        known = write.block == within.block and all(_is_before(value, write) for value in list(op.operands)[1:])
        if not known or not _has_no_content(first):
            continue
        with ir.InsertionPoint(write), write.location:
            place = _slice_as(op, first.type)
            for inner in [*around, write]:
                inner.operands[1] = _same_slice(inner.operands[1], first, place)


def _has_no_content(value: ir.Value) -> bool:
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.extract_slice":
        value = value.owner.operation.operands[0]
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.empty"


def _is_before(value: ir.Value, op: ir.Operation) -> bool:
    """Whether a value that is used later in an operation's block is known at that operation."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.block != op.block:
        return True
    operations = [o.operation for o in op.block.operations]
    return value.owner.operation in operations[: operations.index(op)]


def _slice_as(insertion: ir.Operation, kind: ir.Type) -> ir.Value:
    """Return the part of a destination that an insertion replaces."""
    sizes = list(ir.DenseI32ArrayAttr(insertion.attributes["operandSegmentSizes"]))[2:]
    moved = iter(list(insertion.operands)[2:])
    dynamic = [[next(moved) for _ in range(count)] for count in sizes]
    static = [insertion.attributes[name] for name in ("static_offsets", "static_sizes", "static_strides")]
    return tensor.ExtractSliceOp(kind, insertion.operands[1], *dynamic, *static).result


def _same_slice(value: ir.Value, whole: ir.Value, place: ir.Value) -> ir.Value:
    """Return the same part of `place` as a value is of `whole`."""
    if value == whole:
        return place
    cut = value.owner.operation.clone()
    cut.operands[0] = _same_slice(value.owner.operation.operands[0], whole, place)
    return cut.results[0]


def _give_destinations(function: ir.Operation) -> None:
    block = body(function)
    ret = list(block.operations)[-1]
    inputs = len(block.arguments)
    with function.location:
        for k, result in enumerate(list(ret.operands)):
            out = block.add_argument(result.type, function.location)
            ret.operands[k] = _write_into(result, out, ret)
            if result.owner != block and result.owner.operation.name == "tensor.pad":
                result.owner.operation.erase()  # it would be bufferized, dead or not
        types = [a.type for a in block.arguments]
        results = [v.type for v in ret.operands]
        function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(types, results))
        attrs: list[dict[str, ir.Attribute]] = []
        if "arg_attrs" in function.attributes:
            attrs = [{n.name: n.attr for n in ir.DictAttr(a)} for a in ir.ArrayAttr(function.attributes["arg_attrs"])]
        attrs += [{} for _ in range(len(types) - len(attrs))]
        lies = pitch.of_result(function)
        if lies is not None:
            attrs[-1][pitch.ATTRIBUTE] = lies.attribute()
            del function.attributes["res_attrs"]
        for k, entry in enumerate(attrs):
            entry["bufferization.writable"] = ir.BoolAttr.get(k >= inputs)
        function.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(a) for a in attrs])


def _write_into(value: ir.Value, out: ir.Value, ret: ir.OpView) -> ir.Value:
    """Make the producer of `value` write into `out`; fall back to a copy."""
    owner = value.owner
    if not isinstance(owner, ir.Block):
        op = owner.operation
        if op.name == "tensor.pad":
            return _pad_into(op, out)
        if op.name == "tensor.collapse_shape":
            with ir.InsertionPoint.at_block_begin(op.block), op.location:
                expanded = _expand_like(out, op)
            op.operands[0] = _write_into(op.operands[0], expanded, ret)
            return value
        destination = _empty_destination(op, ir.OpResult(value).result_number)
        if destination is not None:
            user, position = destination
            _replace_destination(user, position, out)
            return value
    with ir.InsertionPoint(ret):
        return linalg.copy(value, outs=[out])


def _in_parts(empty: ir.Value) -> bool:
    return any(use.owner.operation.name == "tensor.extract_slice" for use in empty.uses)


def _replace_destination(user: ir.Operation, position: int, out: ir.Value) -> None:
    empty = user.operands[position]
    if _in_parts(empty):
        empty.replace_all_uses_with(out)
    else:
        user.operands[position] = out


def _expand_like(out: ir.Value, collapse: ir.Operation) -> ir.Value:
    """Give a destination the shape of what is collapsed into it."""
    kind = ir.RankedTensorType(collapse.operands[0].type)
    groups = collapse.attributes["reassociation"]
    return tensor.ExpandShapeOp(kind, out, groups, [], list(kind.shape)).result


def _empty_destination(op: ir.Operation, result: int) -> tuple[ir.Operation, int] | None:
    """Follow the destination operand of `op` to a use of `tensor.empty`."""
    while True:
        if op.name in ("tensor.insert_slice", "vector.transfer_write"):
            position = 1
        elif op.name == "scf.for":
            position = 3 + result
        elif op.name.startswith("linalg."):
            position = segments(op)[0] + result
        else:
            return None
        source = op.operands[position].owner
        if isinstance(source, ir.Block):
            return None
        if source.operation.name == "tensor.empty":
            return op, position
        result = ir.OpResult(op.operands[position]).result_number
        op = source.operation


def _pad_into(pad: ir.Operation, out: ir.Value) -> ir.Value:
    low = list(ir.DenseI64ArrayAttr(pad.attributes["static_low"]))
    source = pad.operands[0]
    inner, outer = shape(source), shape(out)
    constant = list(pad.regions[0].blocks[0].operations)[-1].operands[0]
    producer = source.owner
    with ir.InsertionPoint(pad), pad.location:
        value = constant
        if not isinstance(constant.owner, ir.Block) and constant.owner.operation.block == pad.regions[0].blocks[0]:
            # At the start, where it dominates whatever the border is moved before.
            start = ir.InsertionPoint.at_block_begin(pad.block)
            value = constant.owner.operation.clone(start).results[0]
        current = out
        for dim, (lo, small, big) in enumerate(zip(low, inner, outer, strict=True)):
            # Borders of the dims before this one are filled already, so only their interior is left.
            for start, size in ((0, lo), (lo + small, big - lo - small)):
                if size == 0:
                    continue
                offsets = [*low[:dim], start, *[0] * (len(outer) - dim - 1)]
                sizes = [*inner[:dim], size, *outer[dim + 1 :]]
                border = linalg.fill(value, outs=[slice_of(current, offsets, sizes)])
                current = inserted(border, current, offsets)
        middle = slice_of(current, low, inner)
    written = None
    if not isinstance(producer, ir.Block):
        place, made = middle, producer.operation
        if made.name == "tensor.collapse_shape" and not isinstance(made.operands[0].owner, ir.Block):
            with ir.InsertionPoint(pad), pad.location:
                place = _expand_like(middle, made)
            made = made.operands[0].owner.operation
        destination = _empty_destination(made, 0)
        if destination is not None:
            user, position = destination
            empty = user.operands[position]
            # The destination must be defined before its first user.
            users = {use.owner.operation for use in empty.uses} if _in_parts(empty) else {user}
            first = next(op.operation for op in pad.block.operations if op.operation in users)
            for op in _border_chain(place, out):
                op.move_before(first)
            _replace_destination(user, position, place)
            written = source
    with ir.InsertionPoint(pad), pad.location:
        if written is None:
            written = linalg.copy(source, outs=[middle])
        return inserted(written, current, low)


def _border_chain(middle: ir.Value, out: ir.Value) -> list[ir.Operation]:
    """Operations but constants that `middle` is made from, in order, down to the destination argument."""
    chain: list[ir.Operation] = []

    def visit(value: ir.Value) -> None:
        owner = value.owner
        if isinstance(owner, ir.Block) or owner.operation in chain:
            return
        if owner.operation.name == "arith.constant":
            return
        for operand in owner.operation.operands:
            visit(operand)
        chain.append(owner.operation)

    visit(middle)
    return chain
