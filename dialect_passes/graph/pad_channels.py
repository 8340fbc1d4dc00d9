"""Pad the output channels of convolutions and products by zeros where they would fill no vector.

    conv ... -> tensor<1x32x32x3xf32>
    -->
    %p = conv ... -> tensor<1x32x32x4xf32>        with one more channel of zeros in the weight
    extract_slice %p[0, 0, 0, 0] [1, 32, 32, 3]

The elementwise operations behind (bias, activation) are padded along, as long as all they read of a channel is
constant, so that they stay in the registers of the anchor. 255 channels of a detection head become 256, 34 of a group
48, 12 become 16: three narrow vectors would take three times as long as a wide one.
"""

import numpy as np
from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.graph import weights as weights_of
from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import body, functions, indexing_maps, iterators, segments, shape

NAMED = ("linalg.conv_1d_nwc_wcf", "linalg.conv_2d_nhwc_hwcf", "linalg.conv_3d_ndhwc_dhwcf", "linalg.matmul")
SMALLEST = 4
"""Lanes of the narrowest vector that schedules use."""
ENOUGH = 8
"""Multiples of it are left alone."""
WIDEST = 16


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Pad in place; padded weights are new entries of `weights`."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for op in [o.operation for o in body(main).operations]:
        if op.name in NAMED or _is_grouped(op):
            _pad_anchor(op, module, weights)


def padded(channels: int) -> int:
    """Return the next power of two up to 16, beyond it the next multiple of 16."""
    if channels > WIDEST:
        return -(-channels // WIDEST) * WIDEST
    return max(SMALLEST, 1 << (channels - 1).bit_length())


def _is_grouped(op: ir.Operation) -> bool:
    """Whether a generic multiplies by a weight whose last dim is the channel of the result."""
    if op.name != "linalg.generic" or "reduction" not in iterators(op) or segments(op) != (2, 1):
        return False
    data, weight, out = (list(m.results) for m in indexing_maps(op))
    if not out or not weight or weight[-1] != out[-1] or not isinstance(out[-1], ir.AffineDimExpr):
        return False
    return out[-1] not in (*data, *weight[:-1], *out[:-1]) and all(isinstance(e, ir.AffineDimExpr) for e in weight)


def _pad_anchor(op: ir.Operation, module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    sizes = shape(op.results[0])
    channels = sizes[-1]
    start = op.operands[2].owner
    if channels in (1, SMALLEST) or channels % ENOUGH == 0 or isinstance(start, ir.Block):
        return
    if channels < ENOUGH and op.name in NAMED and shape(op.operands[0])[-1] % WIDEST == 0:
        return  # vectors of what is summed are full
    fill = start.operation
    with ir.InsertionPoint(op), op.location:
        wide = padded(channels)
        weight = _padded_constant(op.operands[1], wide, module, weights)
        if weight is None or fill.name != "linalg.fill":
            return
        kind = ir.RankedTensorType.get([*sizes[:-1], wide], ir.RankedTensorType(op.results[0].type).element_type)
        out = tensor.EmptyOp(list(kind.shape), kind.element_type).result
        new_fill = fill.clone()
        new_fill.operands[1] = out
        new_fill.results[0].set_type(kind)
        value = rebuilt(op, [op.operands[0], weight, new_fill.results[0]], list(kind.shape), {})
    old = op
    while (user := _epilogue(old.results[0])) is not None:
        with ir.InsertionPoint(user), user.location:
            operands = _padded_operands(user, old.results[0], value, wide, module, weights)
            if operands is None:
                break
            sizes = [*shape(user.results[0])[:-1], wide]
            element = ir.RankedTensorType(user.results[0].type).element_type
            value = rebuilt(user, [*operands, tensor.EmptyOp(sizes, element).result], sizes, {})
        old.results[0].replace_all_uses_with(old.operands[-1])  # its user is replaced: only erased below
        old.erase()
        old = user
    rank = len(shape(value))
    narrow = ir.RankedTensorType(old.results[0].type)
    with ir.InsertionPoint(old), old.location:
        slice_ = tensor.ExtractSliceOp(narrow, value, [], [], [], [0] * rank, list(narrow.shape), [1] * rank)
    old.results[0].replace_all_uses_with(slice_.result)
    old.erase()


def _epilogue(value: ir.Value) -> ir.Operation | None:
    """Return the only user if it is elementwise and keeps the order of dims."""
    users = [use.owner.operation for use in value.uses]
    if len(users) != 1 or users[0].name != "linalg.generic" or "reduction" in iterators(users[0]):
        return None
    user = users[0]
    rank = len(shape(value))
    if segments(user)[1] != 1 or indexing_maps(user)[-1] != ir.AffineMap.get_identity(rank):
        return None
    names = {o.operation.name for o in user.regions[0].blocks[0].operations}
    return None if names & {"linalg.index", "tensor.extract"} else user


def _padded_operands(
    user: ir.Operation, old: ir.Value, value: ir.Value, wide: int, module: ir.Module, weights: dict[str, np.ndarray]
) -> list[ir.Value] | None:
    maps = indexing_maps(user)
    channel = maps[-1].results[-1]
    operands: list[ir.Value] = []
    for operand, m in zip(list(user.operands)[:-1], maps[:-1], strict=True):
        results = list(m.results)
        if operand == old:
            if m != maps[-1]:
                return None
            operands.append(value)
        elif channel not in results:
            operands.append(operand)
        else:
            constant = _padded_constant(operand, wide, module, weights) if results[-1] == channel else None
            if constant is None:
                return None
            operands.append(constant)
    return operands


def _padded_constant(value: ir.Value, wide: int, module: ir.Module, weights: dict[str, np.ndarray]) -> ir.Value | None:
    """Return a constant with zeros behind its last dim; None for what is not constant."""
    array, symbol = weights_of.numbers_of(value, weights)
    if array is None:
        return None
    sizes = shape(value)
    array = array.reshape(sizes)
    array = np.pad(array, np.array([(0, 0)] * (array.ndim - 1) + [(0, wide - sizes[-1])]))
    kind = ir.RankedTensorType.get(list(array.shape), ir.RankedTensorType(value.type).element_type)
    return weights_of.add(module, weights, symbol, array, kind)
