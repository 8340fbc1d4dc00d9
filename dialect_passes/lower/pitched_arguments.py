"""Let arguments and destinations that lie in rows of larger values have the strides of those.

    func @task(%x: tensor<8x24xf32> {ansorc.pitch = array<i64: 24, 96>}, ...)
    -->
    func @task(%m: memref<8x24xf32, strided<[96, 1]>>, ...) { %x = bufferization.to_tensor %m restrict; ... }

Schedules know nothing of it: they see tensors.
"""

from mlir import ir
from mlir.dialects import bufferization

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.ir_walk import body, functions, shape


class RowsAreMixedError(Exception):
    """A schedule gave an argument dims that reach over the end of a row."""


def run(module: ir.Module) -> None:
    """Rewrite the pitched arguments of every function of `module`, whose results have destinations already."""
    for function in functions(module):
        pitches = pitch.of_arguments(function)
        if not pitches:
            continue
        block = body(function)
        ret = list(block.operations)[-1].operation
        first_result = len(block.arguments) - len(ret.operands)
        for number, lies in pitches.items():
            argument = block.arguments[number]
            strides = lies.strides(shape(argument))
            if strides is None:
                raise RowsAreMixedError(f"argument {number} is {argument.type}, in rows of {lies.row}")
            _lay_out(argument, strides, ret, number - first_result)
        results = [v.type for v in list(block.operations)[-1].operands]
        kind = ir.FunctionType.get([a.type for a in block.arguments], results)
        function.attributes["function_type"] = ir.TypeAttr.get(kind)


def _lay_out(argument: ir.BlockArgument, strides: list[int], ret: ir.Operation, result: int) -> None:
    """Make a buffer of a tensor; that of a result is written, and not returned."""
    kind = ir.RankedTensorType(argument.type)
    layout = ir.StridedLayoutAttr.get(0, strides)
    buffer = ir.MemRefType.get(list(kind.shape), kind.element_type, layout)
    with ir.InsertionPoint.at_block_begin(argument.owner), ir.Location.unknown():
        # The argument's uses are taken over before it changes its type.
        value = bufferization.ToTensorOp(kind, argument, restrict=True, writable=result >= 0)
    argument.replace_all_uses_except(value.result, value.operation)
    argument.set_type(buffer)
    if result >= 0:
        with ir.InsertionPoint(ret), ir.Location.unknown():
            bufferization.MaterializeInDestinationOp(None, ret.operands[result], argument, restrict=True, writable=True)
            kept = [v for k, v in enumerate(ret.operands) if k != result]
            ir.Operation.create("func.return", [], kept)
        ret.erase()
