"""What is read at computed places is read by rows: of all places that a vector takes, only the last dim is apart.

    generic over (l) { x[table[i], iv + l] }                -->  generic over (l) reading x[table[i]][iv : iv + 16]
    generic over (l) reading table[l] { x[i, table[l]] }    -->  generic over (l) reading table[l] { row[table[l]] }

The first reads vectors; the second gathers them out of one row. Rows may lie anywhere: a piece of a larger value is
read where it lies. Upstream's vectorizer takes a place that comes from a table for one that differs from lane to lane.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith, tensor

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.ir_walk import body, collect, functions, indexing_maps, iterators, mentions, shape
from ansorc.dialect_passes.schedule.block_channels import retype
from ansorc.dialect_passes.schedule.build_generic import body_of, generic, plain_map
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents

INDEX, READ = "linalg.index", "tensor.extract"


def collapse(module: ir.Module) -> None:
    """Make one loop of the last two of a task's only generic, as often as both only read on along a row of memory.

    What is read along the height of an image has rows of width times channels.
    """
    for function in functions(module):
        generics = collect(function, "linalg.generic")
        if len(generics) == 1 and collect(generics[0], READ):
            while _rows_continue(function, generics[0]):
                generics = [_collapsed(function, generics[0])]


def settle(module: ir.Module) -> None:
    """Let generics that a script cut down to one loop read rows, and what is left over of a row, one element."""
    for function in functions(module):
        for op in collect(function, "linalg.generic"):
            if not iterators(op) and collect(op, READ):
                _compute(op)
            elif len(iterators(op)) == 1 and collect(op, READ) and reads_rows(op):
                _read_rows(op)


def reads_along(op: ir.Operation) -> bool:
    """Whether all that a generic reads at computed places moves on with its last loop, by one element a step."""
    last = len(iterators(op)) - 1
    return all(_step(list(read.operands)[-1], op, last) == 1 for read in collect(op, READ))


def reads_rows(op: ir.Operation) -> bool:
    """Whether a generic reads out of one row of each tensor, as long as only its last loop moves."""
    last = len(iterators(op)) - 1
    return all(_step(p, op, last) == 0 for read in collect(op, READ) for p in list(read.operands)[1:-1])


def _rows_continue(function: ir.Operation, op: ir.Operation) -> bool:
    """Whether the last two loops may be one: everything that is read by either is read by both, as it lies."""
    last = len(iterators(op)) - 1
    returned = list(list(body(function).operations)[-1].operands) == [op.results[0]]
    if last < 1 or "reduction" in iterators(op) or not returned:
        return False
    pair, width = [ir.AffineDimExpr.get(last - 1), ir.AffineDimExpr.get(last)], loop_extents(op)[last]
    result = pitch.of_result(function)
    if width in {p.row for p in (*pitch.of_arguments(function).values(), *([result] if result else []))}:
        return False
    inputs = list(op.operands)[:-1]
    for value, m in zip(op.operands, indexing_maps(op), strict=True):
        wide = list(m.results)[-2:] == pair
        if not wide and any(mentions(e, {last - 1, last}) for e in m.results):
            return False
        if wide and value in inputs and not isinstance(value.owner, ir.Block):
            return False
    reads = collect(op, READ)
    for read in reads:
        source, *places = read.operands
        if len(places) < 2 or shape(source)[-1] != width or not isinstance(source.owner, ir.Block) or source in inputs:
            return False
        if [_number(p) for p in places[-2:]] != [last - 1, last]:
            return False
    # Nobody else may want to know either number.
    uses = [u for i in collect(op, INDEX) if _loop(i) >= last - 1 for u in i.results[0].uses]
    return all(u.owner.operation.name == READ and u.operand_number >= len(u.owner.operands) - 2 for u in uses)


def _collapsed(function: ir.Operation, op: ir.Operation) -> ir.Operation:
    """Return the generic that takes the place of one whose last two loops become one."""
    last = len(iterators(op)) - 1
    sources = {read.operands[0] for read in collect(op, READ)}
    maps = indexing_maps(op)
    along = ir.AffineDimExpr.get(last)
    wide = [v for v, m in zip(op.operands, maps, strict=True) if along in list(m.results)]
    for value in {*sources, *wide}:
        if isinstance(value.owner, ir.Block):
            value.set_type(_joined(value))
    narrow = [_without_last(m) for m in maps]
    with ir.InsertionPoint(op), op.location:
        out = tensor.EmptyOp(_joined(op.results[0]).shape, _joined(op.results[0]).element_type).result
        new = generic(list(op.operands)[:-1], narrow, out, 0, body_of(op))
    for read in collect(new, READ):
        places = list(read.operands)[1:-1]
        with ir.InsertionPoint(read), read.location:
            read.results[0].replace_all_uses_with(tensor.ExtractOp(read.operands[0], places).result)
        read.erase()
    for number in collect(new, INDEX):
        if not list(number.results[0].uses):
            number.erase()
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()
    retype(function)
    return new


def _joined(value: ir.Value) -> ir.RankedTensorType:
    """Return the type of a tensor whose last two dims are one."""
    *outer, height, width = shape(value)
    return ir.RankedTensorType.get([*outer, height * width], ir.RankedTensorType(value.type).element_type)


def _without_last(m: ir.AffineMap) -> ir.AffineMap:
    """Return a map of one loop less, the last two being one."""
    last = ir.AffineDimExpr.get(m.n_dims - 1)
    return ir.AffineMap.get(m.n_dims - 1, 0, [e for e in m.results if e != last])


def _compute(op: ir.Operation) -> None:
    """Replace a generic without loops by its body: upstream's vectorizer makes something invalid of it."""
    into = list(op.operands)[-1]
    with ir.InsertionPoint(op), op.location:
        scalars = [_first(v, m) for v, m in zip(op.operands, indexing_maps(op), strict=True)]
        result = tensor.InsertOp(body_of(op)(scalars), into, []).result
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _read_rows(op: ir.Operation) -> None:
    """Replace a generic of one loop by one that reads rows."""
    inputs, maps, reads = list(op.operands)[:-1], indexing_maps(op), collect(op, READ)
    (length,) = loop_extents(op)
    pieces: list[ir.Value] = []
    block = op.regions[0].blocks[0]
    for read in reads:
        *places, last = list(read.operands)[1:]
        with ir.InsertionPoint(op), op.location:
            starts: list[ir.Value | None] = [_outside(p, op) for p in places]
            contiguous = _step(last, op, 0) == 1
            first, count = (_outside(last, op), length) if contiguous else (None, shape(read.operands[0])[-1])
            row = _row(read.operands[0], [*starts, first], count)
        if contiguous:
            pieces.append(row)
            found: ir.Value = block.add_argument(ir.RankedTensorType(row.type).element_type, op.location)
        else:
            with ir.InsertionPoint(read), read.location:
                found = tensor.ExtractOp(row, [last]).result
        read.results[0].replace_all_uses_with(found)
        read.erase()
    build, count = body_of(op), len(inputs)

    def body(inner: Sequence[ir.Value]) -> ir.Value:
        return build([*inner[:count], inner[-1], *inner[count:-1]])

    with ir.InsertionPoint(op), op.location:
        along = [plain_map(1, [0]) for _ in pieces]
        new = generic([*inputs, *pieces], [*maps[:-1], *along, maps[-1]], op.operands[count], 0, body)
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()


def _row(source: ir.Value, starts: Sequence[ir.Value | None], length: int) -> ir.Value:
    """Return so many elements of the last dim of a tensor, from given places on; None is the first."""
    element = ir.RankedTensorType(source.type).element_type
    given = [s for s in starts if s is not None]
    offsets = [0 if s is None else ir.ShapedType.get_dynamic_size() for s in starts]
    sizes = [*[1] * (len(starts) - 1), length]
    kind = ir.RankedTensorType.get([length], element)
    return tensor.ExtractSliceOp(kind, source, given, [], [], offsets, sizes, [1] * len(sizes)).result


def _step(value: ir.Value, op: ir.Operation, loop: int) -> int | None:
    """Return by how much a number in a body moves with a loop; None where it is not the same in each step."""
    if isinstance(value.owner, ir.Block):
        if value.owner != op.regions[0].blocks[0]:
            return 0
        m = indexing_maps(op)[ir.BlockArgument(value).arg_number]
        return None if ir.AffineDimExpr.get(loop) in list(m.results) else 0
    made = value.owner.operation
    if not _is_inside(made, op):
        return 0
    if made.name == INDEX:
        return int(_loop(made) == loop)
    steps = [_step(v, op, loop) for v in made.operands]
    if all(s == 0 for s in steps):
        return 0
    if None in steps:
        return None
    known = [s for s in steps if s is not None]
    if made.name == "arith.addi":
        return sum(known)
    if made.name == "arith.index_cast":
        return known[0]
    if made.name == "affine.apply":
        m = ir.AffineMapAttr(made.attributes["map"]).value
        return _step_of(m.results[0], known[: m.n_dims], known[m.n_dims :])
    return None


def _step_of(e: ir.AffineExpr, dims: Sequence[int], symbols: Sequence[int]) -> int | None:
    """Return the same of an affine expression, given the steps of what it is computed from."""
    if isinstance(e, ir.AffineDimExpr):
        return dims[ir.AffineDimExpr(e).position]
    if isinstance(e, ir.AffineSymbolExpr):
        return symbols[ir.AffineSymbolExpr(e).position]
    if isinstance(e, ir.AffineConstantExpr):
        return 0
    left, right = (_step_of(part, dims, symbols) for part in (ir.AffineBinaryExpr(e).lhs, ir.AffineBinaryExpr(e).rhs))
    if left is None or right is None:
        return None
    if isinstance(e, ir.AffineAddExpr):
        return left + right
    by = ir.AffineBinaryExpr(e).rhs
    if isinstance(e, ir.AffineMulExpr) and isinstance(by, ir.AffineConstantExpr):
        return left * ir.AffineConstantExpr(by).value
    return 0 if left == right == 0 else None


def _outside(value: ir.Value, op: ir.Operation) -> ir.Value:
    """Compute a number of the body in front of its generic, at the first step of the loop."""
    if isinstance(value.owner, ir.Block):
        if value.owner != op.regions[0].blocks[0]:
            return value
        number = ir.BlockArgument(value).arg_number
        return _first(op.operands[number], indexing_maps(op)[number])
    made = value.owner.operation
    if not _is_inside(made, op):
        return value
    if made.name == INDEX:
        return arith.ConstantOp(ir.IndexType.get(), 0).result
    operands = [_outside(v, op) for v in made.operands]
    clone = made.clone()
    for k, operand in enumerate(operands):
        clone.operands[k] = operand
    return clone.results[0]


def _first(operand: ir.Value, m: ir.AffineMap) -> ir.Value:
    """Return what a body reads of an operand at the first step."""
    if not isinstance(operand.type, ir.RankedTensorType):
        return operand
    zeros = [arith.ConstantOp(ir.IndexType.get(), 0).result for _ in m.results]
    return tensor.ExtractOp(operand, zeros).result


def _is_inside(made: ir.Operation, op: ir.Operation) -> bool:
    return made.parent is not None and made.parent.operation == op


def _loop(index: ir.Operation) -> int:
    return ir.IntegerAttr(index.attributes["dim"]).value


def _number(value: ir.Value) -> int | None:
    """Return the loop whose number a value is."""
    made = None if isinstance(value.owner, ir.Block) else value.owner.operation
    return _loop(made) if made is not None and made.name == INDEX else None
