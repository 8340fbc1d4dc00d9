"""Read and make the weights that a module loads."""

import numpy as np
from mlir import ir

LOAD = "ml_program.global_load_const"


def symbol_of(value: ir.Value) -> str | None:
    """Return the symbol of the global that a value is loaded from."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != LOAD:
        return None
    return ir.FlatSymbolRefAttr(value.owner.operation.attributes["global"]).value


def numbers_of(value: ir.Value, weights: dict[str, np.ndarray]) -> tuple[np.ndarray | None, str]:
    """Return the numbers of a weight or an inline float constant (None: it is neither), and a name for them."""
    symbol = symbol_of(value)
    if symbol is not None:
        return weights.get(symbol), symbol
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.constant":
        return None, ""
    attribute = value.owner.operation.attributes["value"]
    if not isinstance(attribute, ir.DenseFPElementsAttr):
        return None, ""
    return np.array(ir.DenseElementsAttr(attribute)), "constant"


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


def take_inline(module: ir.Module) -> dict[str, np.ndarray]:
    """Read the globals whose numbers stand in the text."""
    return {
        ir.StringAttr(op.attributes["sym_name"]).value: np.array(ir.DenseElementsAttr(op.attributes["value"]))
        for op in globals_of(module)
        if isinstance(op.attributes["value"], ir.DenseElementsAttr)
    }


def put_inline(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Write numbers into the text of the globals which they belong to."""
    for op in globals_of(module):
        array = weights.get(ir.StringAttr(op.attributes["sym_name"]).value)
        if array is not None:
            kind = ir.ShapedType(ir.TypeAttr(op.attributes["type"]).value)
            numbers = array.reshape(kind.shape)
            op.attributes["value"] = ir.DenseElementsAttr.get(numbers, type=kind.element_type)  # pyright: ignore[reportCallIssue, reportArgumentType] it takes buffers


def globals_of(module: ir.Module) -> list[ir.Operation]:
    return [o.operation for o in module.body.operations if o.operation.name == "ml_program.global"]
