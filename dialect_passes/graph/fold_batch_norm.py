"""Move the factor of a batch norm behind a convolution into the convolution's weight.

    generic(conv(x, w), s, b) { v * s + b }  -->  generic(conv(x, w * s), b) { v + b }

The same goes for a bias between them: (conv + c) * s + b = conv' + (c * s + b). Products are formed in float64.
"""

import numpy as np
from mlir import ir

from ansorc.dialect_passes.graph import weights as weights_of
from ansorc.dialect_passes.graph.rebuild import rebuilt
from ansorc.dialect_passes.ir_walk import body, functions, indexing_maps, iterators, segments, shape

CHANNEL_OF_WEIGHT = {
    "linalg.conv_1d_nwc_wcf": -1,
    "linalg.conv_2d_nhwc_hwcf": -1,
    "linalg.conv_3d_ndhwc_dhwcf": -1,
    "linalg.depthwise_conv_1d_nwc_wc": -1,
    "linalg.depthwise_conv_2d_nhwc_hwc": -1,
    "linalg.matmul": -1,
}


FORMS: dict[tuple[str, ...], tuple[int | None, int | None]] = {
    ("arith.mulf", "arith.addf", "linalg.yield"): (1, 2),
    ("arith.addf", "linalg.yield"): (None, 1),
    ("arith.mulf", "linalg.yield"): (1, None),
}
"""Bodies that are understood -> positions of the factor and the addend among the operands."""


def run(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Fold in place; changed weights are new entries of `weights`."""
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    for op in [o.operation for o in body(main).operations]:
        if op.name == "linalg.generic":
            _fold(op, module, weights)


def channel_body(op: ir.Operation) -> tuple[ir.Value | None, ir.Value | None] | None:
    """Return (factor, addend) operands of a generic `v * factor + addend` over the last dim of operand 0."""
    inputs, _ = segments(op)
    maps, kinds = indexing_maps(op), iterators(op)
    rank = len(kinds)
    if rank == 0:  # one number has no channels
        return None
    identity = ir.AffineMap.get_identity(rank, op.context)
    channel = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(rank - 1, op.context)], op.context)
    if "reduction" in kinds or maps[0] != identity or maps[-1] != identity or any(m != channel for m in maps[1:-1]):
        return None
    block = op.regions[0].blocks[0]
    steps = [o.operation for o in block.operations]
    names = tuple(o.name for o in steps)
    arguments = list(block.arguments)
    order = FORMS.get(names)
    if order is None or inputs != len(names):
        return None
    value = arguments[0]
    for step in steps[:-1]:
        if value not in list(step.operands):
            return None
        used = next((o for o in step.operands if o != value), None)
        expected = arguments[order[0] or 0] if step.name == "arith.mulf" else arguments[order[1] or 0]
        if used != expected:
            return None
        value = step.results[0]
    if steps[-1].operands[0] != value:
        return None
    operands = list(op.operands)
    factor, addend = (None if k is None else operands[k] for k in order)
    return factor, addend


def _single_user(value: ir.Value) -> bool:
    return len(list(value.uses)) == 1


def _fold(op: ir.Operation, module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    this = channel_body(op)
    if this is None:
        return
    source = op.operands[0].owner
    if isinstance(source, ir.Block) or not _single_user(op.operands[0]):
        return
    before = source.operation
    bias: ir.Value | None = None
    if before.name == "linalg.generic":
        inner = channel_body(before)
        if inner is None or inner[0] is not None or inner[1] is None:
            return
        bias = inner[1]
        anchor = before.operands[0].owner
        if isinstance(anchor, ir.Block) or not _single_user(before.operands[0]):
            return
        conv = anchor.operation
    else:
        conv = before
    if conv.name not in CHANNEL_OF_WEIGHT or (bias is None and this[0] is None):
        return
    arrays = [None if v is None else weights.get(weights_of.symbol_of(v) or "") for v in (*this, bias)]
    symbol = weights_of.symbol_of(conv.operands[1])
    if (
        symbol is None
        or symbol not in weights
        or any(v is not None and a is None for v, a in zip((*this, bias), arrays, strict=True))
    ):
        return
    factor, addend, earlier = (None if a is None else a.astype(np.float64) for a in arrays)
    scale = np.float64(1) if factor is None else factor
    total = (0.0 if earlier is None else earlier * scale) + (0.0 if addend is None else addend)
    dtype = weights[symbol].dtype
    with ir.InsertionPoint(conv), conv.location:
        result = conv.results[0]
        if factor is not None:
            kind = conv.operands[1].type
            scaled = weights[symbol].reshape(shape(conv.operands[1])) * factor
            weight = weights_of.add(module, weights, symbol, scaled.astype(dtype), kind)
            result = rebuilt(conv, [conv.operands[0], weight, *list(conv.operands)[2:]], shape(result), {})
    with ir.InsertionPoint(op), op.location:
        channels = shape(op.results[0])[-1]
        element = ir.RankedTensorType(op.results[0].type).element_type
        kind = ir.RankedTensorType.get([channels], element)
        vector = np.broadcast_to(np.asarray(total), [channels]).astype(dtype)
        constant = weights_of.add(module, weights, symbol, vector, kind)
        new = _add_channels(op, result, constant)
    op.results[0].replace_all_uses_with(new)
    op.erase()
    if bias is not None:
        before.erase()
    if factor is not None:
        conv.erase()


def _add_channels(op: ir.Operation, value: ir.Value, constant: ir.Value) -> ir.Value:
    rank = len(shape(value))
    dims = ", ".join(f"d{k}" for k in range(rank))
    kind, vector = value.type, constant.type
    element = ir.RankedTensorType(kind).element_type
    identity = f"affine_map<({dims}) -> ({dims})>"
    channel = f"affine_map<({dims}) -> (d{rank - 1})>"
    kinds = ", ".join(['"parallel"'] * rank)
    text = f"""
      func.func @f(%v: {kind}, %c: {vector}, %o: {kind}) -> {kind} {{
        %r = linalg.generic {{indexing_maps = [{identity}, {channel}, {identity}], iterator_types = [{kinds}]}}
          ins(%v, %c : {kind}, {vector}) outs(%o : {kind}) {{
        ^bb0(%a: {element}, %b: {element}, %z: {element}):
          %s = arith.addf %a, %b : {element}
          linalg.yield %s : {element}
        }} -> {kind}
        return %r : {kind}
      }}"""
    parsed = ir.Module.parse(text, op.context)
    template = parsed.body.operations[0].operation.regions[0].blocks[0].operations[0].operation
    new = template.clone()
    out = op.operands[segments(op)[0]]
    for k, operand in enumerate((value, constant, out)):
        new.operands[k] = operand
    return new.results[0]
