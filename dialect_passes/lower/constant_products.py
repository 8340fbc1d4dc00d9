"""Write products by small constant matrices out as straight vector code: transforms of Winograd's and Strassen's.

    y[i, j, c] += A[i, k] * B[j, l] * x[k, l, c]     with constant A and B, c in vectors
    -->
    y = A x B^T, a few additions for each vector

or by one matrix alone, whose rows may be two loops: y[i, j, c] += A[i, j, k] * x[k, c].

Rows that differ only in the signs of their odd (or even) entries, as those of opposite points do, share their sums; so
do columns. Zeros and ones cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from mlir import ir
from mlir.dialects import arith, vector
from numpy.typing import NDArray

from ansorc.dialect_passes.ir_walk import collect, indexing_maps, iterators, shape

Matrix = NDArray[np.float64]
CONTRACT = arith.FastMathFlags.contract
MAX_VALUES = 4096
"""Most scalars that a transform reads: it is tiled to one tile and one vector."""


def run(module: ir.Module) -> bool:
    """Rewrite all such generics of the module whose operands are small; return whether there are any."""
    matched = [(op, found) for op in collect(module.operation, "linalg.generic") if (found := _match(op)) is not None]
    for op, found in matched:
        _rewrite(op, found)
    return bool(matched)


@dataclass(frozen=True)
class _Product:
    left: Matrix
    right: Matrix
    rows: tuple[int, ...]
    """Extents of the loops that the rows of the left matrix are."""
    data: list[str]
    """What each dim of x is: "row0", "column0", "unit", or the number of a loop."""
    result: list[str]
    """The same of y; "row1" is the second loop of the rows."""


def _match(op: ir.Operation) -> _Product | None:
    kinds = iterators(op)
    reductions = kinds.count("reduction")
    if reductions not in (1, 2) or len(op.operands) != reductions + 2:
        return None
    found = [_constant(operand) for operand in list(op.operands)[1:-1]]
    left, right = found[0], found[1] if reductions == 2 else np.ones((1, 1))
    if left is None or right is None or right.ndim != 2:
        return None
    if int(np.prod(shape(op.operands[0]))) > MAX_VALUES:
        return None
    x, *factors, y = indexing_maps(op)
    *rows, read_row = factors[0].results
    *columns, read_column = factors[1].results if reductions == 2 else [read_row]
    if any(kinds[ir.AffineDimExpr(e).position] != "reduction" for e in (read_row, read_column)):
        return None
    data = _roles(x, shape(op.operands[0]), [read_row], [read_column])
    result = _roles(y, shape(op.operands[-1]), rows, columns)
    loops = [r for r in data if r.isdigit()]
    if "" in (*data, *result) or loops != [r for r in result if r.isdigit()] or not data[-1].isdigit():
        return None
    return _Product(left.reshape(-1, left.shape[-1]), right, left.shape[:-1], data, result)


def _roles(
    m: ir.AffineMap, sizes: list[int], rows: Sequence[ir.AffineExpr], columns: Sequence[ir.AffineExpr]
) -> list[str]:
    """Say what each dim of an operand is; "" where it is more than one loop."""
    known = [*((e, f"row{k}") for k, e in enumerate(rows)), *((e, f"column{k}") for k, e in enumerate(columns))]
    roles: list[str] = []
    for e, size in zip(m.results, sizes, strict=True):
        parts = [e.lhs, e.rhs] if isinstance(e, ir.AffineAddExpr) else [e]
        role = next((role for loop, role in known if loop in parts), "")
        if role:  # perhaps with a loop over tiles, of which there is one
            roles.append(role)
        elif size == 1:
            roles.append("unit")
        else:
            roles.append(str(ir.AffineDimExpr(e).position) if isinstance(e, ir.AffineDimExpr) else "")
    return roles


def _constant(value: ir.Value) -> Matrix | None:
    if not isinstance(value.type, ir.RankedTensorType) or len(shape(value)) < 2:
        return None
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None
    attribute = value.owner.operation.attributes["value"]
    if ir.DenseElementsAttr(attribute).is_splat:
        return np.full(shape(value), float(ir.FloatAttr(ir.DenseElementsAttr(attribute).get_splat_value()).value))
    return np.array(ir.DenseFPElementsAttr(attribute), dtype=np.float64).reshape(shape(value))


def _rewrite(op: ir.Operation, found: _Product) -> None:
    x, out = op.operands[0], op.operands[len(op.operands) - 1]
    element = ir.RankedTensorType(out.type).element_type
    loops = [s for s, role in zip(shape(x), found.data, strict=True) if role.isdigit()]
    rows, columns = found.left.shape[1], found.right.shape[1]
    index = ir.IndexType.get(op.context)
    with ir.InsertionPoint(op), op.location:
        zero = arith.constant(index, 0)
        padding = arith.constant(element, 0.0)
        whole = vector.transfer_read(
            ir.VectorType.get(shape(x), element), x, [zero] * len(shape(x)), _identity(len(shape(x))), padding,
            _inside(len(shape(x))),
        )  # fmt: skip
        fresh = _is_zero(out)
        if fresh:  # the zeros of a fill, in all that we make: all of them would be overwritten
            out = out.owner.operation.operands[len(out.owner.operation.operands) - 1]
        start = vector.transfer_read(
            ir.VectorType.get(shape(out), element), out, [zero] * len(shape(out)), _identity(len(shape(out))), padding,
            _inside(len(shape(out))),
        )  # fmt: skip
        made = start
        sums = _Sums(ir.VectorType.get(loops[-1:], element))
        for place in product(*(range(s) for s in loops[:-1])):
            tile = [
                [_extract(whole, _at(place, found.data, (r,), c)) for c in range(columns)] for r in range(rows)
            ]  # fmt: skip
            half = [sums.apply(found.right, row) for row in tile]
            full = [sums.apply(found.left, list(column)) for column in zip(*half, strict=True)]
            for j, column in enumerate(full):
                for i, value in enumerate(column):
                    at = _at(place, found.result, np.unravel_index(i, found.rows), j)
                    total = value if fresh else arith.addf(_extract(start, at), value, fastmath=CONTRACT)
                    made = vector.insert(total, made, [], at)
        written = vector.transfer_write(
            out.type, made, out, [zero] * len(shape(out)), _identity(len(shape(out))), _inside(len(shape(out)))
        )
    op.results[0].replace_all_uses_with(written)
    op.erase()


def _is_zero(value: ir.Value) -> bool:
    """Whether a value was filled with zeros."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "linalg.generic":
        return False
    filled = list(value.owner.operation.regions[0].blocks[0].operations)[-1].operands[0]
    if isinstance(filled.owner, ir.Block) or filled.owner.operation.name != "arith.constant":
        return False
    return float(ir.FloatAttr(filled.owner.operation.attributes["value"]).value) == 0.0


def _at(place: tuple[int, ...], roles: list[str], row: Sequence[Any], column: int) -> list[int]:
    """Return where a vector is in an operand: the last dim is its own."""
    numbers, left = {f"row{k}": int(r) for k, r in enumerate(row)} | {"column0": column, "unit": 0}, list(place)
    return [numbers[r] if r in numbers else left.pop(0) for r in roles[:-1]]


def _extract(source: ir.Value, at: list[int]) -> ir.Value:
    return vector.extract(source, [], at)


def _identity(rank: int) -> ir.AffineMapAttr:
    return ir.AffineMapAttr.get(ir.AffineMap.get_identity(rank))


def _inside(rank: int) -> ir.ArrayAttr:
    return ir.ArrayAttr.get([ir.BoolAttr.get(True)] * rank)


@dataclass(frozen=True)
class _Sums:
    """Linear combinations of vectors, at the insertion point."""

    kind: ir.VectorType

    def apply(self, matrix: Matrix, values: list[ir.Value]) -> list[ir.Value]:
        """Return matrix @ values."""
        matrix, values = self._pair_columns(matrix, values)
        results: list[ir.Value | None] = [None] * len(matrix)
        for r in range(len(matrix)):
            if results[r] is not None:
                continue
            other = next((q for q in range(r + 1, len(matrix)) if _opposite(matrix[r], matrix[q])), None)
            if other is None:
                results[r] = self.combine(matrix[r], values)
                continue
            even = self.combine((matrix[r] + matrix[other]) / 2, values)
            odd = self.combine((matrix[r] - matrix[other]) / 2, values)
            results[r] = arith.addf(even, odd, fastmath=CONTRACT)
            results[other] = arith.subf(even, odd, fastmath=CONTRACT)
        return [r for r in results if r is not None]

    def _pair_columns(self, matrix: Matrix, values: list[ir.Value]) -> tuple[Matrix, list[ir.Value]]:
        """Replace pairs of values whose columns differ only in signs by their sum and their difference."""
        columns, made = [matrix[:, k] for k in range(matrix.shape[1])], list(values)
        for c in range(len(columns)):
            other = next((q for q in range(c + 1, len(columns)) if _opposite(columns[c], columns[q])), None)
            if other is None:
                continue
            same, differs = (columns[c] + columns[other]) / 2, (columns[c] - columns[other]) / 2
            total = arith.addf(made[c], made[other], fastmath=CONTRACT)
            difference = arith.subf(made[c], made[other], fastmath=CONTRACT)
            made[c], made[other] = total, difference
            columns[c], columns[other] = same, differs
        return np.stack(columns, axis=1), made

    def combine(self, row: Matrix, values: list[ir.Value]) -> ir.Value:
        """Return the sum of row[k] * values[k]; positive terms first, so that the first needs no sign."""
        total: ir.Value | None = None
        terms = sorted((t for t in zip(row, range(len(values)), strict=True) if t[0]), key=lambda t: t[0] != 1.0)
        for factor, k in terms:
            if total is not None and abs(factor) == 1.0:
                make = arith.addf if factor > 0 else arith.subf
                total = make(total, values[k], fastmath=CONTRACT)
                continue
            term = values[k] if factor == 1.0 else arith.mulf(values[k], self.constant(factor), fastmath=CONTRACT)
            total = term if total is None else arith.addf(total, term, fastmath=CONTRACT)
        return total if total is not None else self.constant(0.0)

    def constant(self, value: float) -> ir.Value:
        """A vector of one number."""
        number = ir.FloatAttr.get(self.kind.element_type, float(value))
        return arith.constant(self.kind, ir.DenseElementsAttr.get_splat(self.kind, number))


def _opposite(a: Matrix, b: Matrix) -> bool:
    """Whether two rows differ in signs alone, and in some but not all that are not zero."""
    return bool((abs(a) == abs(b)).all() and (a != b).any() and ((a == b) & (a != 0)).any())
