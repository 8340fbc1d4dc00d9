"""Let threads fill the border of a result row by row, each around the rows that it computes.

    linalg.fill %out[0, :] (above), %out[13, :] (below), %out[1:13, 0] (left), %out[1:13, 13] (right)
    -->
    scf.forall (%i) in (12) { if %i == 0 { fill above }; if %i == 11 { fill below }; fill left and right of row %i }

One thread would take as long as all of them for a share of the result, and write lines of the cache that others read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from mlir import ir
from mlir.dialects import arith, linalg, memref, scf

from ansorc.dialect_passes.ir_walk import body, functions, shape

LEAST_ELEMENTS = 1024
"""Of a border, below which a call more takes longer."""


@dataclass(frozen=True)
class _Fill:
    """A fill of a part of a buffer, at the top level of a function."""

    op: ir.Operation
    part: ir.Operation
    """The subview."""
    offsets: list[int]
    sizes: list[int]


def run(module: ir.Module) -> None:
    """Rewrite the fills of every function of `module`, in place."""
    for function in functions(module):
        for fills in list(_borders(function)):
            _share(fills)


def _borders(function: ir.Operation) -> Iterator[list[_Fill]]:
    """Yield fills of parts of one buffer, with one value, behind each other."""
    found: list[_Fill] = []
    for op in [o.operation for o in body(function).operations]:
        if op.name == "memref.subview":
            continue
        fill = _fill(op)
        if found and (fill is None or _place(fill) != _place(found[0])):
            yield found
            found = []
        found += [] if fill is None else [fill]


def _fill(op: ir.Operation) -> _Fill | None:
    if op.name != "linalg.fill" or isinstance(op.operands[1].owner, ir.Block):
        return None
    part = op.operands[1].owner.operation
    if part.name != "memref.subview" or len(part.operands) > 1 or len(list(part.results[0].uses)) > 1:
        return None
    names = ("static_offsets", "static_sizes", "static_strides")
    offsets, sizes, strides = (list(ir.DenseI64ArrayAttr(part.attributes[n])) for n in names)
    keeps_rank, is_dense = len(sizes) == len(shape(part.results[0])), set(strides) <= {1}
    return _Fill(op, part, offsets, sizes) if keeps_rank and is_dense else None


def _buffer(fill: _Fill) -> ir.Value:
    return fill.part.operands[0]


def _place(fill: _Fill) -> tuple[ir.Value, ir.Value]:
    return _buffer(fill), fill.op.operands[0]


def _share(fills: Sequence[_Fill]) -> None:
    extents = shape(_buffer(fills[0]))
    dim = next((k for k, extent in enumerate(extents) if extent > 1), None)
    if dim is None or sum(prod(f.sizes) for f in fills) < LEAST_ELEMENTS:
        return
    rows, first = max((f.sizes[dim], f.offsets[dim]) for f in fills)
    if rows < 2:
        return
    index = ir.IndexType.get()
    with ir.InsertionPoint(fills[-1].op), fills[-1].op.location:
        loop = ir.Operation.create(
            "scf.forall", [], [],
            {
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0, 0, 0]),
                "staticLowerBound": ir.DenseI64ArrayAttr.get([0]),
                "staticUpperBound": ir.DenseI64ArrayAttr.get([rows]),
                "staticStep": ir.DenseI64ArrayAttr.get([1]),
            },
            regions=1,
        )  # fmt: skip
        block = loop.regions[0].blocks.append(index, arg_locs=[loop.location])
        row = block.arguments[0]
        with ir.InsertionPoint(block):
            for fill in fills:
                if (fill.sizes[dim], fill.offsets[dim]) == (rows, first):
                    at = arith.addi(row, arith.constant(index, first)) if first else row
                    _refill(fill, [1 if k == dim else size for k, size in enumerate(fill.sizes)], dim, at)
                    continue
                owner = 0 if fill.offsets[dim] < first else rows - 1
                mine = arith.cmpi(arith.CmpIPredicate.eq, row, arith.constant(index, owner))
                branch = scf.IfOp(mine)
                with ir.InsertionPoint(branch.then_block):
                    _refill(fill, fill.sizes, dim, None)
                    scf.YieldOp([])
            ir.Operation.create("scf.forall.in_parallel", regions=1).regions[0].blocks.append()
    for fill in fills:
        fill.op.erase()
        fill.part.erase()


def _refill(fill: _Fill, sizes: Sequence[int], dim: int, at: ir.Value | None) -> None:
    """Fill a part again, of other sizes; `at` is where it begins along `dim`, if that is computed."""
    offsets = [at if at is not None and k == dim else offset for k, offset in enumerate(fill.offsets)]
    part = memref.subview(_buffer(fill), offsets, list(sizes), [1] * len(sizes))
    linalg.fill(fill.op.operands[0], outs=[part])
