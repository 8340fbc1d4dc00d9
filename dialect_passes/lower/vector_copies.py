"""Turn what is still copied or filled into loops over vectors, which LLVM leaves as they are.

    linalg.fill ins(%zero) outs(%y : memref<?x28x64xf32, strided<[1920, 64, 1]>>)
    -->
    %z = memref.collapse_shape %y : memref<?x1792xf32, strided<[1920, 1]>>
    for %i { for %j = 0 to 1792 step 64 { vector.store %zeros, %z[%i, %j] : vector<64xf32> } }

Of plain loops LLVM would make the same, but not before it has unrolled those of constant extents in full, and asked of
each of their turns whether buffers overlap: kilobytes of code for the border of a convolution.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from mlir import ir
from mlir.dialects import arith, memref, scf, vector

from ansorc.dialect_passes.ir_walk import collect
from ansorc.dialect_passes.lower.copies import is_row, joined

VECTORS = 4
"""That a turn of a loop copies: four loads are under way at a time."""
WIDTHS = (8, 16, 32, 64)
"""Bits of elements that vectors can be stored of."""
AS_IT_IS = "#llvm.loop_annotation<unroll = <disable = true>, vectorize = <disable = true>>"


def run(module: ir.Module, vector_bytes: int) -> None:
    """Rewrite in place every `linalg.copy` and `linalg.fill` of rows whose length is known."""
    for op in collect(module.operation, "linalg.copy", "linalg.fill"):
        value, into = op.operands
        element = ir.MemRefType(into.type).element_type
        buffers = [v for v in op.operands if isinstance(v.type, ir.MemRefType)]
        if _width(element) not in WIDTHS or not all(_has_rows(b, element) for b in buffers):
            continue
        most = VECTORS * vector_bytes * 8 // _width(element)
        with ir.InsertionPoint(op), op.location:
            *sources, into = _with_long_rows(buffers)
            if sources:
                _store(into, most, lambda kind, at, source=sources[0]: vector.load(kind, source, at))
            else:
                _store(into, most, lambda kind, _, number=value: vector.broadcast(kind, number))
        op.erase()


def _has_rows(buffer: ir.Value, element: ir.Type) -> bool:
    kind = ir.MemRefType(buffer.type)
    return kind.rank > 0 and kind.element_type == element and kind.shape[-1] > 1 and is_row(kind, kind.rank - 1)


def _with_long_rows(buffers: list[ir.Value]) -> list[ir.Value]:
    """Return buffers of one shape with their last dims as one, as far as these are contiguous in all of them."""
    kinds = [ir.MemRefType(b.type) for b in buffers]
    rank = kinds[0].rank
    first = next(k for k in range(rank) if all(is_row(kind, k) for kind in kinds))
    groups = [*([k] for k in range(first)), list(range(first, rank))]
    return [joined(b, kind, groups) for b, kind in zip(buffers, kinds, strict=True)] if first < rank - 1 else buffers


def _width(element: ir.Type) -> int:
    return getattr(element, "width", 0)


def _store(into: ir.Value, most: int, value: Callable[[ir.VectorType, Sequence[ir.Value]], ir.Value]) -> None:
    """Store values into all rows of a buffer, at most so many elements at a time."""
    *outer, length = ir.MemRefType(into.type).shape
    element = ir.MemRefType(into.type).element_type

    def store(size: int, at: Sequence[ir.Value]) -> None:
        vector.store(value(ir.VectorType.get([size], element), at), into, at)

    def row(at: list[ir.Value]) -> None:
        whole = length - length % most
        if whole > most:
            with _loop(_index(whole), most) as start:
                store(most, [*at, start])
        elif whole:
            store(most, [*at, _index(0)])
        if length > whole:
            store(length - whole, [*at, _index(whole)])

    def rows(at: list[ir.Value]) -> None:
        dim = len(at)
        if dim == len(outer):
            row(at)
        elif outer[dim] == 1:
            rows([*at, _index(0)])
        else:
            known = outer[dim] >= 0
            with _loop(_index(outer[dim]) if known else memref.dim(into, _index(dim)), 1) as place:
                rows([*at, place])

    rows([])


@contextmanager
def _loop(end: ir.Value, step: int) -> Generator[ir.Value]:
    loop = scf.ForOp(_index(0), end, _index(step))
    loop.operation.attributes["loop_annotation"] = ir.Attribute.parse(AS_IT_IS)
    with ir.InsertionPoint(loop.body):
        yield loop.induction_variable
        scf.yield_([])


def _index(value: int) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value)
