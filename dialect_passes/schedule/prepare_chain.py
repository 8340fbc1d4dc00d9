"""Bring a chain into the form that its schedule assumes.

Views at its borders become types of arguments; contractions are sums of products and nothing else (see
isolate_contractions); behind each stands an elementwise operation over the same loops, the root of its register tiles;
every reduction has a fill of its own.
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, indexing_maps, iterators, segments
from ansorc.dialect_passes.schedule import isolate_contractions, move_borders
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, retype
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, generics, is_chain, role_of
from ansorc.dialect_passes.schedule.shape_of_task import add_epilogue, loop_extents

VIEWS = ("tensor.expand_shape", "tensor.collapse_shape")


def run(function: ir.Operation) -> None:
    """Rewrite `function` in place; raises CannotBlock, before anything is changed, where it is no chain."""
    operations = [o.operation for o in body(function).operations]
    found = [o for o in operations if o.name == "linalg.generic"]
    if not is_chain(found):
        raise CannotBlock("one anchor, or none")
    _retype_arguments(function)
    for op in found:
        _drop_unit_reductions(op)
    retype(function)
    move_borders.run(function)
    isolate_contractions.run(generics(function))
    for op in generics(function):
        if role_of(op) == CONTRACTION and root_of(op) is None:
            add_epilogue(op)
        if "reduction" in iterators(op):
            _own_fill(op)


def root_of(contraction: ir.Operation) -> ir.Operation | None:
    """Return the elementwise operation that alone reads a contraction's result, and all of it."""
    users = {use.owner.operation for use in contraction.results[0].uses}
    if len(users) != 1:
        return None
    user = users.pop()
    if user.name != "linalg.generic" or "reduction" in iterators(user):
        return None
    reads = [m for o, m in zip(user.operands, indexing_maps(user), strict=True) if o == contraction.results[0]]
    whole = len(reads) == 1 and reads[0].is_permutation and indexing_maps(user)[-1].is_permutation
    return user if whole else None


def _retype_arguments(function: ir.Operation) -> None:
    """Let views of arguments, and of the result, be the types of those: memory stays as it is."""
    block = body(function)
    for argument in block.arguments:
        users = [use.owner.operation for use in argument.uses]
        if len(users) == 1 and users[0].name in VIEWS:
            argument.set_type(users[0].results[0].type)
            users[0].results[0].replace_all_uses_with(argument)
            users[0].erase()
    ret = list(block.operations)[-1].operation
    for k, value in enumerate(list(ret.operands)):
        if not isinstance(value.owner, ir.Block) and value.owner.operation.name in VIEWS:
            view = value.owner.operation
            ret.operands[k] = view.operands[0]
            if not list(view.results[0].uses):
                view.erase()
    retype(function)


def _drop_unit_reductions(op: ir.Operation) -> None:
    """Take the window of a convolution of 1x1 out of its loops, and out of the type of its weights."""
    extents, kinds, maps = loop_extents(op), iterators(op), indexing_maps(op)
    reductions = [k for k, kind in enumerate(kinds) if kind == "reduction"]
    dropped = [k for k in reductions if extents[k] == 1]
    if dropped == reductions:  # a sum of one product stays a sum
        dropped = dropped[:-1]
    weights = {v: m for v, m in zip(op.operands, maps, strict=True) if _has_unit_dims(v, m, dropped)}
    if not dropped or not all(isinstance(v.owner, ir.Block) and len(list(v.uses)) == 1 for v in weights):
        return
    kept = [k for k in range(len(kinds)) if k not in dropped]
    zero = ir.AffineConstantExpr.get(0)
    renamed = [zero if k in dropped else ir.AffineDimExpr.get(kept.index(k)) for k in range(len(kinds))]
    without = ir.AffineMap.get(len(kept), 0, renamed)
    changed: list[ir.AffineMap] = []
    for value, m in zip(op.operands, maps, strict=True):
        results = [ir.AffineExpr.compose(e, without) for e in m.results]
        if value in weights:
            wide = [k for k, e in enumerate(m.results) if not _is_dim(e, dropped)]
            kind = ir.RankedTensorType(value.type)
            value.set_type(ir.RankedTensorType.get([kind.shape[k] for k in wide], kind.element_type))
            results = [results[k] for k in wide]
        changed.append(ir.AffineMap.get(len(kept), 0, results))
    op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in changed])
    op.attributes["iterator_types"] = ir.ArrayAttr.get([ir.ArrayAttr(op.attributes["iterator_types"])[k] for k in kept])


def _has_unit_dims(value: ir.Value, m: ir.AffineMap, loops: list[int]) -> bool:
    """Whether a tensor has dims that are read by some loops alone."""
    return isinstance(value.type, ir.RankedTensorType) and any(_is_dim(e, loops) for e in m.results)


def _is_dim(e: ir.AffineExpr, loops: list[int]) -> bool:
    return isinstance(e, ir.AffineDimExpr) and ir.AffineDimExpr(e).position in loops


def _own_fill(op: ir.Operation) -> None:
    at = segments(op)[0]
    filled = op.operands[at]
    if isinstance(filled.owner, ir.Block) or filled.owner.operation.name != "linalg.generic":
        raise CannotBlock("a reduction starts from a tensor")
    if len(list(filled.uses)) > 1:
        op.operands[at] = filled.owner.operation.clone(ir.InsertionPoint(op)).results[0]
