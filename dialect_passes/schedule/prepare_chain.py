"""Bring a chain into the form that its schedule assumes.

Views at its borders become types of arguments; contractions are sums of products and nothing else (see
isolate_contractions); behind each stands an elementwise operation over the same loops, the root of its register tiles;
every reduction has a fill of its own.
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, indexing_maps, iterators, segments
from ansorc.dialect_passes.schedule import isolate_contractions
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, retype
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, generics, is_chain, role_of
from ansorc.dialect_passes.schedule.shape_of_task import add_epilogue

VIEWS = ("tensor.expand_shape", "tensor.collapse_shape")


def run(function: ir.Operation) -> None:
    """Rewrite `function` in place; raises CannotBlock, before anything is changed, where it is no chain."""
    operations = [o.operation for o in body(function).operations]
    found = [o for o in operations if o.name == "linalg.generic"]
    if not is_chain(found):
        raise CannotBlock("one anchor, or none")
    _retype_arguments(function)
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


def _own_fill(op: ir.Operation) -> None:
    at = segments(op)[0]
    filled = op.operands[at]
    if isinstance(filled.owner, ir.Block) or filled.owner.operation.name != "linalg.generic":
        raise CannotBlock("a reduction starts from a tensor")
    if len(list(filled.uses)) > 1:
        op.operands[at] = filled.owner.operation.clone(ir.InsertionPoint(op)).results[0]
