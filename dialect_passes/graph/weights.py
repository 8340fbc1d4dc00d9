"""Read and make the weights that a module loads."""

import numpy as np
from mlir import ir

LOAD = "ml_program.global_load_const"


def symbol_of(value: ir.Value) -> str | None:
    """Return the symbol of the global that a value is loaded from."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != LOAD:
        return None
    return ir.FlatSymbolRefAttr(value.owner.operation.attributes["global"]).value


def add(module: ir.Module, weights: dict[str, np.ndarray], like: str, array: np.ndarray, kind: ir.Type) -> ir.Value:
    """Store `array` under a new symbol made from `like`, and load it at the insertion point as type `kind`."""
    symbol, count = f"{like}_folded", 1
    while symbol in weights:
        symbol, count = f"{like}_folded{count}", count + 1
    weights[symbol] = np.ascontiguousarray(array)
    with ir.InsertionPoint.at_block_begin(module.body):
        made = ir.Operation.parse(f"ml_program.global private @{symbol}(#ml_program.extern<{kind}>) : {kind}")
        ir.InsertionPoint.at_block_begin(module.body).insert(made)
    return ir.Operation.create(LOAD, [kind], [], {"global": ir.FlatSymbolRefAttr.get(symbol)}).results[0]
