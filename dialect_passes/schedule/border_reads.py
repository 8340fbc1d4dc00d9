"""Reads of a padded tensor that nobody makes: vectors that lie in the border are read from a vector of it.

    %p = "ansorc.pad"(%x); %s = tensor.extract_slice %p[%i, %j] [2, 7]; vector.transfer_read %s[0, 0] : vector<2x7x16>
    -->
    %inside = does %i - 1 lie in %x, and %j - 1?
    vector.transfer_read (%inside ? view of %x[%i - 1, %j - 1] : a vector of zeros) : vector<16>; ...

What is known to lie in %x is read there, and what is known not to is a constant. Where rows of a register tile may end
in a border, there is a second one for tiles that read none:

    scf.if %all_inside { the tile, reading %x } else { the tile, asking for each vector }

No masked loads: those of nothing are slow on some processors, and others have none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from mlir import ir
from mlir.dialects import affine, arith, bufferization, memref, scf, vector

from ansorc.dialect_passes.ir_walk import collect, shape
from ansorc.dialect_passes.schedule.border_pieces import ALIGNMENT, Surrounded
from ansorc.dialect_passes.slices import offsets_of

KNOWN_BEFORE = ("affine.apply", "arith.constant", "ub.poison")
"""What a tile computes with, and stays before its versions."""


@dataclass(frozen=True)
class Index:
    """A sum of values, each times a number, and of a number."""

    terms: tuple[tuple[ir.Value, int], ...] = ()
    number: int = 0

    def plus(self, other: ir.Value | int, factor: int = 1) -> Index:
        """Return the sum with a multiple of something."""
        if isinstance(other, int):
            return Index(self.terms, self.number + factor * other)
        return Index((*self.terms, (other, factor)), self.number)

    def emit(self) -> ir.Value:
        """Compute it at the insertion point."""
        expr = ir.AffineExpr.get_constant(self.number)
        for k, (_, factor) in enumerate(self.terms):
            expr = expr + ir.AffineDimExpr.get(k) * factor
        return affine.apply(ir.AffineMap.get(len(self.terms), 0, [expr]), [value for value, _ in self.terms])


Asked = tuple[tuple[Index, int], ...]
"""Indices of the source, and the extents that they have to be below."""


@dataclass(frozen=True)
class _Row:
    """A vector of the source."""

    at: tuple[Index, ...]
    """Where it begins."""
    along: int
    """The dim that it lies along."""
    asked: Asked
    """What has to be known, for it to lie in the source."""
    outside: bool
    """Whether it is known to lie in the border."""


@dataclass(frozen=True)
class _Piece:
    """Where a slice lies in the padded tensor."""

    starts: tuple[Index, ...]
    """For each dim of the padded tensor, the index of the slice's first element."""
    steps: tuple[int, ...]
    dims: tuple[int, ...]
    """For each dim of the slice, the number of the padded tensor's."""


def run(function: ir.Operation, padded: ir.Value, border: Surrounded) -> None:
    """Rewrite all reads of slices of a tensor; `padded` is what `border` says."""
    source, sizes = shape(border.source), shape(padded)
    bordered = [k for k, (inner, outer) in enumerate(zip(source, sizes, strict=True)) if inner < outer]
    blocks = defaultdict[ir.Block, dict[ir.Operation, list[_Row]]](dict)
    for read in collect(function, "vector.transfer_read"):
        piece = _piece(read.operands[0], padded)
        if piece is not None:
            blocks[read.block][read] = _rows(read, piece, border, bordered)
    chunks: dict[ir.Block, tuple[ir.Value, ir.Value]] = {}
    for block, reads in blocks.items():
        asked = {a for rows in reads.values() for row in rows for a in row.asked}
        ends = {row.at[bordered[-1]] for rows in reads.values() for row in rows if not row.outside}
        if any(index.terms for index in ends) and _may_have_versions(block, asked):
            copies = _two_versions(block, _all_inside(asked, next(iter(reads))))
            others = {copies[read]: rows for read, rows in reads.items()}
            tile = _Tile(border, chunks, known_inside=True)
            for read, rows in reads.items():
                tile.replace(read, rows)
            reads = others
        tile = _Tile(border, chunks)
        for read, rows in reads.items():
            tile.replace(read, rows)
    _forget(padded)


def _forget(value: ir.Value) -> None:
    """Erase slices that nobody reads."""
    for user in [use.owner.operation for use in value.uses if use.owner.operation.name == "tensor.extract_slice"]:
        _forget(user.results[0])
        if not list(user.results[0].uses):
            user.erase()


def _piece(value: ir.Value, padded: ir.Value) -> _Piece | None:
    """Return where a value lies in `padded`; None where it is no slice of that."""
    if value == padded:
        rank = len(shape(padded))
        return _Piece((Index(),) * rank, (1,) * rank, tuple(range(rank)))
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "tensor.extract_slice":
        return None
    cut = value.owner.operation
    piece = _piece(cut.operands[0], padded)
    if piece is None:
        return None
    sizes, steps = (list(ir.DenseI64ArrayAttr(cut.attributes[n])) for n in ("static_sizes", "static_strides"))
    starts, moved = list(piece.starts), list(piece.steps)
    for dim, offset, step in zip(piece.dims, offsets_of(cut), steps, strict=True):
        starts[dim] = starts[dim].plus(offset, moved[dim])
        moved[dim] *= step
    left = iter(zip(piece.dims, sizes, strict=True))
    # Dims that are left out are 1 long.
    kept = tuple(next(dim for dim, extent in left if extent == size) for size in shape(value))
    return _Piece(tuple(starts), tuple(moved), kept)


def _rows(read: ir.Operation, piece: _Piece, border: Surrounded, bordered: Sequence[int]) -> list[_Row]:
    """Return the vectors that a read is made of, in their order."""
    results = ir.AffineMapAttr(read.attributes["permutation_map"]).value.results
    moved = [piece.dims[ir.AffineDimExpr(e).position] for e in results]
    starts = [start.plus(-low) for start, low in zip(piece.starts, border.low, strict=True)]
    for place, dim in zip(list(read.operands)[1:], piece.dims, strict=False):
        starts[dim] = starts[dim].plus(_number(place), piece.steps[dim])
    made, source = list[_Row](), shape(border.source)
    for numbers in product(*(range(n) for n in ir.VectorType(read.results[0].type).shape[:-1])):
        at = list(starts)
        for dim, k in zip(moved, numbers, strict=False):
            at[dim] = at[dim].plus(k, piece.steps[dim])
        asked = tuple((at[dim], source[dim]) for dim in bordered if at[dim].terms)
        outside = any(not at[dim].terms and not 0 <= at[dim].number < source[dim] for dim in bordered)
        made.append(_Row(tuple(at), moved[-1], asked, outside))
    return made


def _number(value: ir.Value) -> ir.Value | int:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return value
    return ir.IntegerAttr(value.owner.operation.attributes["value"]).value


def _may_have_versions(block: ir.Block, asked: set[tuple[Index, int]]) -> bool:
    """Whether a block is the body of a loop, and all that one tile is; what is asked is known before, and may be so."""
    *content, end = [op.operation for op in block.operations]
    values = [value for index, _ in asked for value, _ in index.terms]
    computed = {value.owner.operation for value in values if not isinstance(value.owner, ir.Block)}
    later = [op for op in content if op.name not in KNOWN_BEFORE]
    if end.name != "scf.yield" or any(op in computed or list(op.regions) for op in later):
        return False
    return all(count > 0 for count in _ranges(asked).values())  # some tile can lie inside


def _ranges(asked: set[tuple[Index, int]]) -> dict[tuple[Index, int], int]:
    """Return the least of indices that differ by numbers, with their extent, and how many it is to be below."""
    numbers = defaultdict[tuple[tuple[tuple[ir.Value, int], ...], int], list[int]](list)
    for index, extent in asked:
        numbers[index.terms, extent].append(index.number)
    return {(Index(t, min(known)), e): e - max(known) + min(known) for (t, e), known in numbers.items()}


def _all_inside(asked: set[tuple[Index, int]], first: ir.Operation) -> ir.Value:
    """Compute before an operation whether all indices are below their extents."""
    with ir.InsertionPoint(first), first.location:
        return _all([_below(least.emit(), count) for (least, _), count in _ranges(asked).items()])


def _below(index: ir.Value, extent: int) -> ir.Value:
    # As if without a sign: what lies before the first is large.
    return arith.cmpi(arith.CmpIPredicate.ult, index, arith.constant(ir.IndexType.get(), extent))


def _all(tests: Sequence[ir.Value]) -> ir.Value:
    made, *others = tests
    for test in others:
        made = arith.andi(made, test)
    return made


def _two_versions(block: ir.Block, condition: ir.Value) -> dict[ir.Operation, ir.Operation]:
    """Move what a loop does into one branch, and a copy into the other; return the copies by what they are of."""
    *content, end = [op.operation for op in block.operations]
    tests = {op for op in content[: content.index(condition.owner.operation) + 1] if op.name.startswith("arith.")}
    moved = [op for op in content if op.name not in KNOWN_BEFORE and op not in tests]
    results = [
        value for value in end.operands if not isinstance(value.owner, ir.Block) and value.owner.operation in moved
    ]
    with ir.InsertionPoint(end), end.location:
        either = scf.IfOp(condition, [value.type for value in results], has_else=True)
    copies, same = dict[ir.Operation, ir.Operation](), dict[ir.Value, ir.Value]()
    with ir.InsertionPoint(either.regions[1].blocks[0]), end.location:
        for op in moved:
            copies[op] = clone = op.clone()
            for k, operand in enumerate(clone.operands):
                clone.operands[k] = same.get(operand, operand)
            same |= dict(zip(op.results, clone.results, strict=True))
        scf.yield_([same[value] for value in results])
    with ir.InsertionPoint(either.then_block), end.location:
        last = scf.YieldOp(results)
    for op in moved:
        op.move_before(last)
    for value, made in zip(results, either.results, strict=True):
        for k, operand in enumerate(end.operands):
            if operand == value:
                end.operands[k] = made
    return copies


@dataclass
class _Tile:
    """What the reads of one block are made of, each thing once."""

    border: Surrounded
    chunks: dict[ir.Block, tuple[ir.Value, ir.Value]]
    """By where a chunk begins: a vector of the border in memory, and the source there."""
    known_inside: bool = False
    """Whether nothing that is asked needs to be."""
    indices: dict[Index, ir.Value] = field(default_factory=dict[Index, ir.Value])
    tests: dict[Asked, ir.Value] = field(default_factory=dict[Asked, ir.Value])
    rows: dict[_Row, ir.Value] = field(default_factory=dict[_Row, ir.Value])

    def replace(self, read: ir.Operation, rows: Sequence[_Row]) -> None:
        """Read one vector after the other; reads come in their order."""
        kind = ir.VectorType(read.results[0].type)
        width = ir.VectorType.get(kind.shape[-1:], kind.element_type)
        with ir.InsertionPoint(read), read.location:
            vectors = [self._row(row, width, read) for row in rows]
            made = vectors[0]
            if len(kind.shape) > 1:
                made = _splat(kind, ir.FloatAttr.get(kind.element_type, 0.0))
                for place, row in zip(product(*(range(n) for n in kind.shape[:-1])), vectors, strict=True):
                    made = vector.insert(row, made, [], list(place))
        read.results[0].replace_all_uses_with(made)
        read.erase()

    def _row(self, row: _Row, kind: ir.VectorType, read: ir.Operation) -> ir.Value:
        if row not in self.rows:
            self.rows[row] = self._read(row, kind, read)
        return self.rows[row]

    def _read(self, row: _Row, kind: ir.VectorType, read: ir.Operation) -> ir.Value:
        if row.outside:
            return _splat(kind, self.border.value)
        at, rank = [self._index(index) for index in row.at], len(row.at)
        value = arith.constant(self.border.element, self.border.value)
        inside = ir.ArrayAttr.get([ir.BoolAttr.get(True)])
        if self.known_inside or not row.asked:
            along = ir.AffineMapAttr.get(ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(row.along)]))
            return vector.transfer_read(kind, self.border.source, at, along, value, inside)
        around, buffer = self._chunk(kind, read)
        sizes = [kind.shape[0] if dim == row.along else 1 for dim in range(rank)]
        dynamic = [ir.ShapedType.get_dynamic_size()] * rank
        view = memref.SubViewOp(around.type, buffer, at, [], [], dynamic, sizes, [1] * rank).result
        view = arith.select(self._inside(row.asked), view, around)
        along = ir.AffineMapAttr.get(ir.AffineMap.get_identity(1))
        return vector.transfer_read(kind, view, [self._index(Index())], along, value, inside)

    def _chunk(self, kind: ir.VectorType, read: ir.Operation) -> tuple[ir.Value, ir.Value]:
        """Return a vector of the border and the source, in buffers, made where the read's chunk begins."""
        first, element = read, self.border.element
        while first.parent is not None and first.parent.operation.name not in ("func.func", "scf.forall"):
            first = first.parent.operation
        if first.block not in self.chunks:
            with ir.InsertionPoint(first):
                made = memref.alloc(ir.MemRefType.get(kind.shape, element), [], [], alignment=ALIGNMENT)
                vector.store(_splat(kind, self.border.value), made, [arith.constant(ir.IndexType.get(), 0)])
                layout = ir.StridedLayoutAttr.get(ir.ShapedType.get_dynamic_stride_or_offset(), [1])
                around = memref.cast(ir.MemRefType.get(kind.shape, element, layout), made)
                whole = ir.MemRefType.get(shape(self.border.source), element)
                self.chunks[first.block] = around, bufferization.to_buffer(whole, self.border.source, read_only=True)
        return self.chunks[first.block]

    def _index(self, index: Index) -> ir.Value:
        if index not in self.indices:
            self.indices[index] = index.emit() if index.terms else arith.constant(ir.IndexType.get(), index.number)
        return self.indices[index]

    def _inside(self, asked: Asked) -> ir.Value:
        if asked not in self.tests:
            for one in asked:
                if (one,) not in self.tests:
                    self.tests[one,] = _below(self._index(one[0]), one[1])
            self.tests[asked] = _all([self.tests[one,] for one in asked])
        return self.tests[asked]


def _splat(kind: ir.VectorType, number: ir.Attribute) -> ir.Value:
    return arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, number))
