"""Fetch the weights of a reduction before they are needed.

    vector.load %panel[..., 0]; ...  -->  vector.load %panel[..., 0]; ...; memref.prefetch %panel[..., ahead]

Weights of a network come from memory at every run, and no hardware prefetcher runs as far ahead as memory is away.
Packed panels are contiguous: an address is right beyond the dim that it is counted in.
"""

from collections.abc import Collection

from mlir import ir
from mlir.dialects import arith, memref

from ansorc.dialect_passes.ir_walk import collect, functions

MARK = "ansorc.prefetch"


def mark(function: ir.Operation, arguments: Collection[int], ahead: int) -> None:
    """Say of arguments of a task that they are fetched so many elements ahead."""
    entries = [{n.name: n.attr for n in ir.DictAttr(a)} for a in ir.ArrayAttr(function.attributes["arg_attrs"])]
    with function.context:
        for k in arguments:
            entries[k][MARK] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), ahead)
        function.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(e) for e in entries])


def run(module: ir.Module) -> None:
    """Put a prefetch behind what every load of a vector from a marked argument is for; on buffers and vectors."""
    for function in functions(module):
        marked = _marked(function)
        for load in collect(function, "vector.load") if marked else ():
            source = _argument_of(load.operands[0])
            if source in marked:
                _insert(load, marked[source])


def _marked(function: ir.Operation) -> dict[int | None, int]:
    if "arg_attrs" not in function.attributes:
        return {}
    entries = [ir.DictAttr(a) for a in ir.ArrayAttr(function.attributes["arg_attrs"])]
    return {k: ir.IntegerAttr(e[MARK]).value for k, e in enumerate(entries) if MARK in e}


def _argument_of(value: ir.Value) -> int | None:
    while not isinstance(value.owner, ir.Block):
        if value.owner.operation.name != "memref.subview":
            return None
        value = value.owner.operation.operands[0]
    return ir.BlockArgument(value).arg_number


def _insert(load: ir.Operation, elements: int) -> None:
    *outer, last = list(load.operands)[1:]
    # Behind all that the loop computes: LLVM moves nothing across a prefetch, and would spill.
    with ir.InsertionPoint.at_block_terminator(load.operation.block), load.location:
        ahead = arith.addi(last, arith.constant(ir.IndexType.get(), elements))
        memref.prefetch(load.operands[0], [*outer, ahead], False, 3, True)
