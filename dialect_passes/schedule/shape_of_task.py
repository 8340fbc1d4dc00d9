"""What a schedule has to know about a task: its root, its anchor, its fill and their extents."""

from dataclasses import dataclass
from math import prod

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, collect, indexing_maps, iterators, segments, shape
from ansorc.dialect_passes.schedule.build_generic import generic

LONG = 16
"""Steps of an innermost reduction that stays a loop."""


@dataclass(frozen=True)
class TaskShape:
    """The operations that matter to a schedule, and the extents of their loops."""

    root: ir.Operation
    """The generic that writes the result (before a trailing pad, and a collapse before that)."""
    anchor: ir.Operation | None
    """The generic with reductions; None where the task is elementwise."""
    fill: ir.Operation | None
    parallel: tuple[int, ...]
    """Extents of the root's loops (all of them parallel, the last one is the channel)."""
    reductions: tuple[int, ...]
    contraction: bool
    """Whether a reduction runs over something besides a window: weights are read from a panel."""

    @property
    def work(self) -> int:
        """Steps of the innermost body."""
        return prod(self.parallel) * prod(self.reductions)


class NoSingleAnchor(Exception):
    """The task is more than one anchor with an elementwise epilogue."""


def loop_extents(op: ir.Operation) -> list[int]:
    """Return the static extents of the loops of a `linalg.generic`."""
    extents = [0] * len(iterators(op))
    for operand, m in zip(op.operands, indexing_maps(op), strict=True):
        for e, size in zip(m.results, shape(operand), strict=True):
            if isinstance(e, ir.AffineDimExpr):
                extents[ir.AffineDimExpr(e).position] = size
    return extents


def analyse(function: ir.Operation) -> TaskShape:
    """Find root, anchor and fill, and give an anchor without epilogue one that copies; raises NoSingleAnchor."""
    block = body(function)
    if len(list(block.operations)[-1].operands) != 1:
        raise NoSingleAnchor("several results")
    root = _producer(list(block.operations)[-1].operands[0])
    for view in ("tensor.pad", "tensor.collapse_shape"):
        if root is not None and root.name == view:
            root = _producer(root.operands[0])
    if root is None or root.name != "linalg.generic":
        raise NoSingleAnchor(f"result made by {root.name if root else 'an argument'}")
    if "reduction" in iterators(root):
        anchor = root
        root = add_epilogue(anchor)
    else:
        anchor = _anchor_before(root)
    extents = loop_extents(root)
    parallel = sum(k == "parallel" for k in iterators(root))
    fill, reductions, contraction = None, (), False
    if anchor is not None:
        fill = _producer(anchor.operands[segments(anchor)[0]])
        count = sum(k == "parallel" for k in iterators(anchor))
        if count != parallel:
            raise NoSingleAnchor("anchor and epilogue have different loops")
        reductions = tuple(loop_extents(anchor)[count:])
        contraction = _is_contraction(anchor)
    known = {o for o in (root, anchor, fill) if o is not None}
    for op in block.operations:
        other = op.operation
        if other.name == "linalg.generic" and other not in known:
            raise NoSingleAnchor("several structured operations")
    return TaskShape(root, anchor, fill, tuple(extents[:parallel]), reductions, contraction)


def add_epilogue(anchor: ir.Operation) -> ir.Operation:
    """Put an elementwise copy behind an anchor that is its own root: only a consumer can be tiled with its fill."""
    old = anchor.results[0]
    identity = ir.AffineMap.get_identity(len(shape(old)))
    with anchor.location, ir.InsertionPoint(anchor):
        copy = generic([old], [identity, identity], shape(old), 0, lambda inner: inner[0])
    copy.move_after(anchor)
    old.replace_all_uses_except(copy.results[0], copy)
    return copy


def inputs_used(op: ir.Operation) -> list[int]:
    """Return which inputs the body of a generic reads: of a pool's window only the shape matters."""
    arguments = list(op.regions[0].blocks[0].arguments)[: segments(op)[0]]
    return [k for k, argument in enumerate(arguments) if list(argument.uses)]


def _producer(value: ir.Value) -> ir.Operation | None:
    return None if isinstance(value.owner, ir.Block) else value.owner.operation


def _anchor_before(root: ir.Operation) -> ir.Operation | None:
    count = segments(root)[0]
    found: list[ir.Operation] = []
    for operand, m in zip(list(root.operands)[:count], indexing_maps(root), strict=False):
        producer = _producer(operand)
        if producer is None or producer.name in ("arith.constant", "tensor.empty"):
            continue
        if producer.name != "linalg.generic" or m != ir.AffineMap.get_identity(m.n_dims):
            raise NoSingleAnchor(f"epilogue reads {producer.name} in another order")
        found.append(producer)
    if len(found) > 1 or (found and "reduction" not in iterators(found[0])):
        raise NoSingleAnchor("several producers")
    return found[0] if found else None


def sums_long_products(function: ir.Operation) -> bool:
    """Whether all that the operations of a task sum are products with panels, many at a time: no windows, no rows."""
    sums = [op for op in collect(function, "linalg.generic") if "reduction" in iterators(op)]
    return bool(sums) and all(_is_contraction(op) and loop_extents(op)[-1] >= LONG for op in sums)


def _is_contraction(anchor: ir.Operation) -> bool:
    """Whether some operand is read by channel and reduction alone, and another without the channel."""
    channel = ir.AffineDimExpr.get(iterators(anchor).count("parallel") - 1)
    maps = indexing_maps(anchor)
    with_channel = [channel in list(maps[k].results) for k in inputs_used(anchor)]
    return any(with_channel) and not all(with_channel)
