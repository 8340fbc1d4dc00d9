"""Collapse neighbouring loops of an elementwise task that every operand reads together.

    generic over 1x64x64x3, every operand read as it lies  -->  generic over 12288

Three channels fill no vector; the whole tensor does. Memory stays as it is, only the types of the arguments change.
"""

from math import prod

from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import body, collect, functions, indexing_maps, iterators, shape

Groups = list[list[int]]


def run(module: ir.Module) -> None:
    """Collapse the loops of every function of `module` that is elementwise throughout."""
    for function in functions(module):
        generics = _elementwise(function)
        if generics:
            groups = _groups(generics, _row_starts(function, shape(generics[0].results[0])))
            if len(groups) < len(iterators(generics[0])):
                _collapse(function, groups)


def _elementwise(function: ir.Operation) -> list[ir.Operation]:
    """Return the generics of a task of nothing else, over one set of loops in order; none for other tasks."""
    operations = [o.operation for o in body(function).operations]
    generics = [o for o in operations if o.name == "linalg.generic"]
    plain = ("linalg.generic", "arith.constant", "tensor.empty", "func.return")
    if not generics or any(o.name not in plain for o in operations):
        return []
    extents = shape(generics[0].results[0])
    for g in generics:
        maps = indexing_maps(g)
        if "reduction" in iterators(g) or shape(g.results[0]) != extents or len(g.results) != 1:
            return []
        if list(list(g.regions[0].blocks[0].arguments)[-1].uses):
            return []  # a reduction of one step: what it starts from matters
        if collect(g, "tensor.extract", "linalg.index") or maps[-1] != ir.AffineMap.get_identity(len(extents)):
            return []
        if any(not isinstance(e, ir.AffineDimExpr) for m in maps for e in m.results):
            return []
        if any(dims != sorted(dims) for dims in map(_dims, maps)):
            return []
    return generics


def _dims(m: ir.AffineMap) -> list[int]:
    return [ir.AffineDimExpr(e).position for e in m.results]


def _row_starts(function: ir.Operation, extents: list[int]) -> set[int]:
    """Return the loops that begin a row of an argument or a result which lies in a larger value."""
    result = pitch.of_result(function)
    rows = {p.row for p in (*pitch.of_arguments(function).values(), *([result] if result else []))}
    return {d for d in range(len(extents)) if extents[d] != 1 and prod(extents[d:]) in rows}


def _groups(generics: list[ir.Operation], row_starts: set[int]) -> Groups:
    """Split the loops into the longest runs that each operand reads as a whole or not at all, and in one row."""
    extents = shape(generics[0].results[0])
    reads = [set(_dims(m)) for g in generics for m in indexing_maps(g)]
    groups: Groups = []
    for dim, extent in enumerate(extents):
        wide = [d for d in groups[-1] if extents[d] != 1] if groups else []
        together = extent == 1 or not wide or all((dim in r) == (wide[0] in r) for r in reads)
        if groups and together and dim not in row_starts:
            groups[-1].append(dim)
        else:
            groups.append([dim])
    return groups


def _collapse(function: ir.Operation, groups: Groups) -> None:
    block = body(function)
    generics = [o.operation for o in block.operations if o.operation.name == "linalg.generic"]
    extents = shape(generics[0].results[0])
    sizes = [prod(extents[d] for d in group) for group in groups]

    def kept(m: ir.AffineMap) -> list[int]:
        wide = {d for d in _dims(m) if extents[d] != 1}
        return [k for k, group in enumerate(groups) if wide & set(group)]

    types: dict[ir.Value, list[int]] = {}
    for g in generics:
        for operand, m in zip(g.operands, indexing_maps(g), strict=True):
            wanted = [sizes[k] for k in (range(len(groups)) if m == indexing_maps(g)[-1] else kept(m))]
            if isinstance(operand.owner, ir.Block) and types.setdefault(operand, wanted) != wanted:
                return  # read in two ways
    for argument in block.arguments:
        if argument in types:
            element = ir.RankedTensorType(argument.type).element_type
            argument.set_type(ir.RankedTensorType.get(types[argument], element))
    identity = ir.AffineMap.get_identity(len(groups))
    kinds = ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * len(groups))
    for g in generics:
        maps = indexing_maps(g)
        dim = ir.AffineDimExpr.get
        changed = [
            identity if m == maps[-1] else ir.AffineMap.get(len(groups), 0, [dim(k) for k in kept(m)])
            for m in maps[:-1]
        ]
        with ir.InsertionPoint(g), g.location:
            out = tensor.EmptyOp(sizes, ir.RankedTensorType(g.results[0].type).element_type).result
            operands = [*list(g.operands)[:-1], out]
            new = rebuilt(g, operands, sizes, {"indexing_maps": [*changed, identity], "iterator_types": kinds})
        g.results[0].replace_all_uses_with(new)
        g.erase()
    for op in [o.operation for o in block.operations if o.operation.name == "tensor.empty"]:
        if not list(op.results[0].uses):
            op.erase()
    results = [v.type for v in list(block.operations)[-1].operands]
    kind = ir.FunctionType.get([a.type for a in block.arguments], results)
    function.attributes["function_type"] = ir.TypeAttr.get(kind)
