"""Pad the output channels of convolutions and products by zeros where they would fill no vector.

    conv ... -> tensor<1x32x32x3xf32>
    -->
    %p = conv ... -> tensor<1x32x32x4xf32>        with one more channel of zeros in the weight
    extract_slice %p[0, 0, 0, 0] [1, 32, 32, 3]

The elementwise operations behind (bias, activation) are padded along, as long as all they read of a channel is
constant, so that they stay in the registers of the anchor; and so are depthwise convolutions behind them. 255 channels
of a detection head become 256, 34 of a group 48, 12 become 16: three narrow vectors would take three times as long as a
wide one.
"""

from collections.abc import Mapping

import numpy as np
from mlir import ir
from mlir.dialects import tensor

from ansorc.dialect_passes.graph import weights as weights_of
from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import body, functions, indexing_maps, iterators, pad_amounts, segments, shape

NAMED = ("linalg.conv_1d_nwc_wcf", "linalg.conv_2d_nhwc_hwcf", "linalg.conv_3d_ndhwc_dhwcf", "linalg.matmul")
DEPTHWISE = ("linalg.depthwise_conv_1d_nwc_wc", "linalg.depthwise_conv_2d_nhwc_hwc")
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
        new_fill = _filled(fill, out)
        value = rebuilt(op, [op.operands[0], weight, new_fill], list(kind.shape), {})
    wider: dict[ir.Value, ir.Value] = {op.results[0]: value}
    gone, operations = [op], [o.operation for o in op.block.operations]
    for user in operations[operations.index(op) + 1 :]:
        reads = [v for v in user.operands if v in wider]
        if not reads or not _works_by_channels(user, wider):
            continue
        with ir.InsertionPoint(user), user.location:
            operands = _padded_operands(user, wider, wide, module, weights)
            if operands is None:
                continue
            sizes = [*shape(user.results[0])[:-1], wide]
            element = ir.RankedTensorType(user.results[0].type).element_type
            if user.name in DEPTHWISE:
                operands.append(_filled(user.operands[2].owner.operation, tensor.EmptyOp(sizes, element).result))
            elif user.name != "tensor.pad":
                operands.append(tensor.EmptyOp(sizes, element).result)
            wider[user.results[0]] = rebuilt(user, operands, sizes, {})
        gone.append(user)
    for old, value in wider.items():
        uses = [(use.owner.operation, use.operand_number) for use in old.uses]
        left = [(user, k) for user, k in uses if user not in gone]
        if left:
            rank, narrow = len(shape(value)), ir.RankedTensorType(old.type)
            with ir.InsertionPoint(old.owner), old.owner.operation.location:
                part = tensor.ExtractSliceOp(narrow, value, [], [], [], [0] * rank, list(narrow.shape), [1] * rank)
            for user, k in left:
                user.operands[k] = part.result
    for old in reversed(gone):
        old.erase()


def _filled(fill: ir.Operation, out: ir.Value) -> ir.Value:
    """Return what a fill writes, written into something else."""
    made = fill.clone()
    made.operands[1] = out
    made.results[0].set_type(out.type)
    return made.results[0]


def _works_by_channels(user: ir.Operation, wider: Mapping[ir.Value, ir.Value]) -> bool:
    """Whether an operation works on each channel by itself, and keeps the order of dims.

    A border does if nothing but depthwise convolutions reads it: others read a slice, best of what has none.
    """
    if user.name in DEPTHWISE:
        start = user.operands[2].owner
        return user.operands[0] in wider and not isinstance(start, ir.Block) and start.operation.name == "linalg.fill"
    if user.name == "tensor.pad":
        readers = {use.owner.operation.name for use in user.results[0].uses}
        return (
            len(user.operands) == 1
            and not any(amounts[-1] for amounts in pad_amounts(user))
            and (readers <= set(DEPTHWISE))
        )
    return _is_epilogue(user)


def _is_epilogue(user: ir.Operation) -> bool:
    """Whether an operation is elementwise."""
    if user.name != "linalg.generic" or "reduction" in iterators(user):
        return False
    rank = len(shape(user.results[0]))
    if segments(user)[1] != 1 or indexing_maps(user)[-1] != ir.AffineMap.get_identity(rank):
        return False
    names = {o.operation.name for o in user.regions[0].blocks[0].operations}
    return not names & {"linalg.index", "tensor.extract"}


def _padded_operands(
    user: ir.Operation, wider: Mapping[ir.Value, ir.Value], wide: int, module: ir.Module, weights: dict[str, np.ndarray]
) -> list[ir.Value] | None:
    if user.name == "tensor.pad":
        return [wider[user.operands[0]]]
    if user.name in DEPTHWISE:
        weight = _padded_constant(user.operands[1], wide, module, weights)
        return None if weight is None else [wider[user.operands[0]], weight]
    maps = indexing_maps(user)
    channel = maps[-1].results[-1]
    operands: list[ir.Value] = []
    for operand, m in zip(list(user.operands)[:-1], maps[:-1], strict=True):
        results = list(m.results)
        if operand in wider:
            if m != maps[-1]:
                return None
            operands.append(wider[operand])
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
