"""A task as numbers: the extents of its loops and how far each moves every operand's address.

Everything that is known of a candidate without lowering it is computed from this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from mlir import ir

from ansorc.dialect_passes import pitch
from ansorc.dialect_passes.ir_walk import indexing_maps, iterators, mentions, segments, shape
from ansorc.dialect_passes.schedule.block_channels import constant_arguments
from ansorc.dialect_passes.schedule.border import Border, border_of
from ansorc.dialect_passes.schedule.shape_of_task import TaskShape, inputs_used, loop_extents
from ansorc.dialect_passes.schedule.skip_taps import Skip, skips_of

FUNCTION_CYCLES, OPERATION_CYCLES = 10.0, 0.5
"""A function of `math` becomes some twenty operations on a vector; two operations start in a cycle."""

LARGE_RESULT, CACHE_LINE = 4 << 20, 64


@dataclass(frozen=True, order=True)
class Operand:
    """How one operand of the anchor lies in memory."""

    strides: tuple[int, ...]
    """Bytes from one iteration of each loop to the next: parallel loops (the channel last), then reductions."""
    size: int
    """Bytes of the whole tensor."""
    constant: bool
    """Whether it is a weight, whose memory a schedule may reorder ahead of time."""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, order=True)
class LoopNest:
    """The loops of a task with one anchor (or none) and an elementwise epilogue."""

    parallel: tuple[int, ...]
    """Extents of the root's loops; the last is the channel."""
    reductions: tuple[int, ...]
    """Extents of the anchor's reduction loops; empty without an anchor."""
    operands: tuple[Operand, ...]
    """What the anchor reads (the root, where there is none), then what it writes."""
    element_bytes: int
    contraction: bool
    """Whether a reduction runs over something besides a window, so that weights are read from a panel."""
    epilogue_cycles: float
    """About how long the root's body takes for one vector."""
    border: Border | None = None
    """Of what the anchor reads first, where the task pads it."""
    skips: tuple[Skip, ...] = ()
    """Loops that may leave out taps which lie in a border of zeros."""
    windows: bool = False
    """Whether products read windows that channels share: what is read first moves with loops and taps in one dim."""
    streams: bool = False
    """Whether the result may be written past the caches: it is large, and its rows are whole cache lines."""

    @cached_property
    def outer(self) -> tuple[int, ...]:
        """Extents of the parallel loops but the channel."""
        return self.parallel[:-1]

    @cached_property
    def shares_panel(self) -> tuple[bool, ...]:
        """For each parallel loop but the channel, whether its iterations read the same weights: not so for groups."""
        if not self.contraction:
            return (True,) * len(self.outer)
        channel = len(self.parallel) - 1
        panels = [o for o in self.operands[:-1] if o.strides[channel]]
        return tuple(all(o.strides[k] == 0 for o in panels) for k in range(channel))

    @cached_property
    def tileable(self) -> tuple[int, ...]:
        """The outer loops that a register tile may cover: the two innermost that are long and share weights."""
        wide = [k for k, (e, shares) in enumerate(zip(self.outer, self.shares_panel, strict=True)) if e > 1 and shares]
        return tuple(reversed(wide[-2:]))

    @cached_property
    def packable(self) -> Operand | None:
        """What is read by channels and may be packed at run time: an argument, not a weight."""
        if not self.contraction or len(self.parallel) < 2:
            return None
        channel = len(self.parallel) - 1
        padded = int(self.border is not None)  # no argument: its border is made by the task
        found = [o for o in self.operands[padded:-1] if o.strides[channel] == self.element_bytes]
        return found[0] if len(found) == 1 and not found[0].constant and len(found[0].shape) > 1 else None

    @cached_property
    def reads_weights(self) -> bool:
        """Whether what is read by channels are weights, in panels."""
        return self.contraction and any(o.constant and o.strides[len(self.parallel) - 1] for o in self.operands[:-1])

    @cached_property
    def slides(self) -> tuple[tuple[int, int, int], ...]:
        """Which outer loop moves a window over what is read first: its number, that of the taps, taps from one to next.

        Empty for everything but windows that each channel has for itself.
        """
        if self.contraction or not self.reductions:
            return ()
        count, found = len(self.parallel), list[tuple[int, int, int]]()
        strides = self.operands[0].strides
        for k in range(len(self.outer)):
            below = [(t, j) for j, t in enumerate(strides[count:]) if t and strides[k] % t == 0 and strides[k] >= t]
            if below and strides[k]:
                tap, j = max(below)
                found.append((k, j, strides[k] // tap))
        return tuple(s for s in found if s[2] <= self.reductions[s[1]])

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Which outer loops move what is read first, and which reductions: the dims of its windows as columns."""
        count, strides = len(self.parallel), self.operands[0].strides
        taps = tuple(k for k in range(len(self.reductions)) if strides[count + k])
        return tuple(k for k in range(count) if strides[k]), taps

    @cached_property
    def steps(self) -> int:
        """Iterations of the reduction loops together."""
        return prod(self.reductions)


def loop_nest(function: ir.Operation, task: TaskShape) -> LoopNest:
    """Describe an analysed task."""
    constants = frozenset(constant_arguments(function))
    op = task.anchor or task.root
    maps = indexing_maps(op)
    width = max(1, getattr(ir.RankedTensorType(task.root.results[0].type).element_type, "width", 64) // 8)
    operands = [
        Operand(_strides(value, maps[k]), bytes_of(value), _is_constant(value, constants), tuple(shape(value)))
        for k, value in ((k, op.operands[k]) for k in (*inputs_used(op), segments(op)[0]))
    ]
    return LoopNest(
        task.parallel, task.reductions, tuple(operands), width, task.contraction, body_cycles(task.root),
        border_of(task.anchor) if task.anchor is not None else None,
        skips_of(function, task) if task.contraction else (), task.contraction and _reads_windows(op),
        _streams(function, task),
    )  # fmt: skip


def _reads_windows(anchor: ir.Operation) -> bool:
    m, kinds, extents = indexing_maps(anchor)[0], iterators(anchor), loop_extents(anchor)
    channel = kinds.count("parallel") - 1
    if any(mentions(e, {channel}) for e in m.results):
        return False
    moved = [{kinds[d] for d in range(m.n_dims) if extents[d] > 1 and mentions(e, {d})} for e in m.results]
    return any(len(kinds) > 1 for kinds in moved)


def _streams(function: ir.Operation, task: TaskShape) -> bool:
    size = bytes_of(task.root.results[0])
    row = size // prod(task.parallel) * task.parallel[-1] if task.parallel else 0
    return size >= LARGE_RESULT and row % CACHE_LINE == 0 and pitch.of_result(function) is None


def _is_constant(value: ir.Value, constants: frozenset[int]) -> bool:
    return isinstance(value.owner, ir.Block) and ir.BlockArgument(value).arg_number in constants


def bytes_of(value: ir.Value) -> int:
    """Return the bytes of a tensor or a scalar."""
    kind = value.type
    element = ir.RankedTensorType(kind).element_type if isinstance(kind, ir.ShapedType) else kind
    return prod(shape(value)) * max(1, getattr(element, "width", 64) // 8)


def _strides(value: ir.Value, m: ir.AffineMap) -> tuple[int, ...]:
    sizes = shape(value)
    step = bytes_of(value) // prod(sizes) if sizes else 0
    weights = [prod(sizes[k + 1 :]) * step for k in range(len(sizes))]
    dims = range(m.n_dims)
    start = _address(m, [0] * m.n_dims, weights)
    return tuple(_address(m, [int(k == d) for k in dims], weights) - start for d in dims)


def _address(m: ir.AffineMap, point: list[int], weights: list[int]) -> int:
    values = ir.AffineMap.get(0, 0, [ir.AffineConstantExpr.get(p) for p in point])
    indices = [ir.AffineConstantExpr(ir.AffineExpr.compose(e, values)).value for e in m.results]
    return sum(i * w for i, w in zip(indices, weights, strict=True))


def body_cycles(op: ir.Operation) -> float:
    """Return about how long the body of an operation takes for one vector."""
    names = [o.operation.name for o in op.regions[0].blocks[0].operations]
    return sum(FUNCTION_CYCLES if name.startswith("math.") else OPERATION_CYCLES for name in names)
