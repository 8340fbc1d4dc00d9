"""Cut a bufferized task into sections: one function for each top-level `scf.forall`, and for what stands between.

    func @task(%x, %y) { fill ...; scf.forall (%i, %j) in (4, 8) { BODY } }
    -->
    func @task_s0(%x, %y, %lo, %hi) { fill ... }                      1 chunk
    func @task_s1(%x, %y, %lo, %hi) { for %c = %lo to %hi { %i, %j = delinearize %c; BODY } }    32 chunks

A buffer that is allocated at the top level becomes one more argument, `scratch`.
"""

from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import affine, arith, func, memref, scf

from ansorc.dialect_passes.ir_walk import body, collect, functions, shape
from ansorc.dialect_passes.kernel_facts import Section

PURE = (
    "arith.",
    "affine.apply",
    "affine.min",
    "affine.max",
    "affine.delinearize_index",
    "affine.linearize_index",
    "memref.subview",
    "memref.expand_shape",
    "memref.collapse_shape",
    "memref.cast",
    "memref.reinterpret_cast",
    "memref.assume_alignment",
    "memref.get_global",
    "ub.",
    "vector.broadcast",
    "vector.step",
)
"""Operations (by prefix) that every section may have a copy of, where all that they are computed from is such, too."""


COLUMNS = "ansorc.columns"
"""Of a function: how many chunks of its parallel loop read the same input, where its first dim is cut into so many."""
WRITES = ("vector.transfer_write", "vector.store", "vector.scatter", "vector.maskedstore")


@dataclass(frozen=True)
class SectionedTask:
    """The sections of a task, in order, and the bytes of each scratch argument (they follow the task's own)."""

    sections: tuple[Section, ...]
    scratch: tuple[int, ...]


def run(module: ir.Module) -> SectionedTask:
    """Replace the only function of `module` by its sections."""
    function = next(functions(module))
    _drop_results(function)
    read_only = _read_only(function)
    scratch = _scratch_arguments(function)
    groups = _group(function)
    name = ir.StringAttr(function.attributes["sym_name"]).value
    columns = 1
    if COLUMNS in function.attributes:
        columns = ir.IntegerAttr(function.attributes[COLUMNS]).value
        del function.attributes[COLUMNS]
    sections: list[Section] = []
    for k in range(len(groups)):
        clone = function.clone(ir.InsertionPoint(function))
        clone.attributes["sym_name"] = ir.StringAttr.get(f"{name}_s{k}")
        if "sym_visibility" in clone.attributes:
            del clone.attributes["sym_visibility"]
        extents = _keep_only(clone, k, read_only)
        sections.append(Section(f"{name}_s{k}", prod(extents), columns if extents[:1] == [columns] else 1))
    function.erase()
    return SectionedTask(tuple(sections), scratch)


def _drop_results(function: ir.Operation) -> None:
    """Results are destination arguments by now; say so instead of returning them."""
    ret = list(body(function).operations)[-1].operation
    for value in ret.operands:
        if not isinstance(value.owner, ir.Block):
            raise ResultNotInPlaceError(str(value))
    with ir.InsertionPoint(ret), ret.location:
        func.ReturnOp([])
    ret.erase()


class ResultNotInPlaceError(Exception):
    """Bufferization made a result in a buffer of its own instead of in its destination."""


class SharedValueError(Exception):
    """One section computes from memory what another one needs in registers."""


def _scratch_arguments(function: ir.Operation) -> tuple[int, ...]:
    block, sizes = body(function), []
    for op in [o.operation for o in block.operations]:
        if op.name == "memref.alloc":
            value = op.results[0]
            width = ir.MemRefType(value.type).element_type
            sizes.append(prod(shape(value)) * max(1, getattr(width, "width", 64) // 8))
            op.results[0].replace_all_uses_with(block.add_argument(value.type, op.location))
            op.erase()
    for op in [o.operation for o in block.operations]:
        if op.name == "memref.dealloc":
            op.erase()
    if "arg_attrs" in function.attributes:
        del function.attributes["arg_attrs"]
    return tuple(sizes)


def _owner(value: ir.Value) -> ir.Operation | None:
    return None if isinstance(value.owner, ir.Block) else value.owner.operation


def _read_only(function: ir.Operation) -> set[int]:
    """Return the numbers of the arguments that are not written to."""
    if "arg_attrs" not in function.attributes:
        return set()
    entries = [ir.DictAttr(a) for a in ir.ArrayAttr(function.attributes["arg_attrs"])]
    writable = "bufferization.writable"
    return {k for k, a in enumerate(entries) if writable in a and not ir.BoolAttr(a[writable]).value}


def _group(function: ir.Operation) -> list[list[int]]:
    """Positions of the top-level operations of each section."""
    groups: list[list[int]] = []
    serial = False
    computed: set[ir.Operation] = set()
    for position, op in enumerate(body(function).operations):
        name = op.operation.name
        if name in ("func.return", "memref.alloc"):
            continue
        if name.startswith(PURE) and not any(_owner(operand) in computed for operand in op.operands):
            continue
        computed.add(op.operation)
        if name == "scf.forall":
            groups.append([position])
            serial = False
        elif serial:
            groups[-1].append(position)
        else:
            groups.append([position])
            serial = True
    return groups


def _keep_only(function: ir.Operation, index: int, read_only: set[int]) -> list[int]:
    groups = _group(function)
    operations = [o.operation for o in body(function).operations]
    kept = [operations[p] for p in groups[index]]
    block = body(function)
    unchanged: list[ir.Value] = [block.arguments[k] for k in read_only]
    for position in reversed(range(len(operations))):
        op = operations[position]
        if not any(position in group for k, group in enumerate(groups) if k != index):
            continue
        if any(True for result in op.results for _ in result.uses):
            # Two sections share what is the same wherever it is computed: each has a copy.
            if not _computed_anywhere(op, unchanged):
                raise SharedValueError(f"two sections need {op}, which reads what a section may write")
            continue
        op.erase()
    with function.location:
        lo = block.add_argument(ir.IndexType.get(), function.location)
        hi = block.add_argument(ir.IndexType.get(), function.location)
    extents = _chunk_loop(kept[0], lo, hi) if kept[0].name == "scf.forall" else []
    _allocate_on_stack(function)
    kind = ir.FunctionType.get([a.type for a in block.arguments], [])
    function.attributes["function_type"] = ir.TypeAttr.get(kind)
    return extents


def _computed_anywhere(op: ir.Operation, unchanged: list[ir.Value]) -> bool:
    """Whether an operation has no effect, and reads nothing but what no section changes."""
    if op.name in ("vector.transfer_read", "vector.load", "memref.load"):
        return _buffer_of(op.operands[0]) in unchanged
    return op.name.startswith(("vector.", "arith.", "math.")) and op.name not in WRITES


def _buffer_of(view: ir.Value) -> ir.Value:
    while not isinstance(view.owner, ir.Block) and view.owner.operation.name.startswith("memref."):
        if view.owner.operation.name in ("memref.alloc", "memref.alloca", "memref.get_global"):
            break
        view = view.owner.operation.operands[0]
    return view


def _allocate_on_stack(function: ir.Operation) -> None:
    """Buffers inside of a chunk are small and live no longer than it does."""
    for op in collect(function, "memref.alloc"):
        with ir.InsertionPoint.at_block_begin(body(function)), op.location:
            stack = memref.alloca(op.results[0].type, [], [], alignment=64)
        op.results[0].replace_all_uses_with(stack)
        op.erase()
    for op in collect(function, "memref.dealloc"):
        op.erase()


def _chunk_loop(forall: ir.Operation, lo: ir.Value, hi: ir.Value) -> list[int]:
    names = ("staticLowerBound", "staticUpperBound", "staticStep")
    lower, upper, step = (list(ir.DenseI64ArrayAttr(forall.attributes[n])) for n in names)
    extents = [-(-(u - low) // s) for low, u, s in zip(lower, upper, step, strict=True)]
    inner = forall.regions[0].blocks[0]
    with ir.InsertionPoint(forall), forall.location:
        one = arith.constant(ir.IndexType.get(), 1)
        loop = scf.ForOp(lo, hi, one)
        with ir.InsertionPoint(loop.body):
            terminator = scf.YieldOp([]).operation
        rest: ir.Value = loop.induction_variable
        values: list[ir.Value] = []
        with ir.InsertionPoint(terminator):
            for k in reversed(range(len(extents))):
                if extents[k] == 1:
                    index: ir.Value = arith.constant(ir.IndexType.get(), 0)
                else:
                    d = ir.AffineDimExpr.get(0)
                    last = all(e == 1 for e in extents[:k])
                    index = (
                        rest
                        if last
                        else affine.apply(ir.AffineMap.get(1, 0, [ir.AffineExpr.get_mod(d, extents[k])]), [rest])
                    )
                    if not last:
                        rest = affine.apply(
                            ir.AffineMap.get(1, 0, [ir.AffineExpr.get_floor_div(d, extents[k])]), [rest]
                        )
                scaled = ir.AffineDimExpr.get(0) * step[k] + lower[k]
                values.insert(0, affine.apply(ir.AffineMap.get(1, 0, [scaled]), [index]))
    for argument, value in zip(inner.arguments, values, strict=True):
        argument.replace_all_uses_with(value)
    for op in [o.operation for o in inner.operations]:
        if op.name != "scf.forall.in_parallel":
            op.move_before(terminator)
    forall.erase()
    return extents
