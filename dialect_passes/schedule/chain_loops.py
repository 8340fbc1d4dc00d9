"""The loops of a chain of operations: which loops of different operations run over the same dimension.

S[b, m, n] += Q[b, m, k] K[b, n, k];  P[b, m, n] = f(S[b, m, n]);  O[b, m, d] += P[b, m, n] V[b, n, d]
-->
five classes of loops, {b} {m} {n} {k} {d}; b and m are parallel everywhere: a block of rows can be computed alone

Where one operation reads windows of another, a loop of the latter has a class of its own: a block of rows needs as much
of it as its windows cover (see Window).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, index_at, indexing_maps, iterators, mentions, segments
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.border import LATER
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents

FILL, CONTRACTION, REDUCTION, MAP = "fill", "contraction", "reduction", "map"


@dataclass(frozen=True)
class Stage:
    """One operation of a chain."""

    op: ir.Operation
    role: str
    loops: tuple[int, ...]
    """The class of each loop: those of the result in order, then the reductions."""
    reductions: int
    """How many of them are reductions."""

    @property
    def parallel(self) -> tuple[int, ...]:
        """The classes of the loops of the result."""
        return self.loops[: len(self.loops) - self.reductions]

    def operand_loops(self, number: int) -> tuple[int | None, ...]:
        """Return the class that each dim of an operand is read by; None where an index is compound."""
        return tuple(
            self.loops[ir.AffineDimExpr(e).position] if isinstance(e, ir.AffineDimExpr) else None
            for e in indexing_maps(self.op)[number].results
        )


@dataclass(frozen=True, order=True)
class Window:
    """Which part of a class of loops an iteration of another needs: `reach` from `stride` times its number on."""

    loops: int
    rows: int
    """The class whose iterations read it."""
    stride: int
    reach: int

    def covered(self, rows: int) -> int:
        """Return how much of it so many rows need."""
        return (rows - 1) * self.stride + self.reach


@dataclass(frozen=True)
class Chain:
    """The operations of a chain in order, and the extent of each class of loops."""

    stages: tuple[Stage, ...]
    extents: tuple[int, ...]
    windows: tuple[Window, ...] = ()

    def consumers(self, value: ir.Value) -> list[Stage]:
        """Return the stages that read a value."""
        return [s for s in self.stages if value in list(s.op.operands)[: segments(s.op)[0]]]

    @property
    def common(self) -> tuple[int, ...]:
        """The classes that are parallel in every stage, in the order of the first contraction's loops.

        Raises CannotBlock where there is no contraction.
        """
        first = next((s for s in self.stages if s.role == CONTRACTION), None)
        if first is None:
            raise CannotBlock("nothing is multiplied by a matrix")
        rows = {w.loops: w.rows for w in self.windows}
        reached = [{rows.get(c, c) for c in s.parallel} for s in self.stages]
        return tuple(rows.get(c, c) for c in first.parallel if all(rows.get(c, c) in found for found in reached))


def generics(function: ir.Operation) -> list[ir.Operation]:
    """Return the operations of a task; raises CannotBlock where they are not all generics of one result."""
    found: list[ir.Operation] = []
    for op in [o.operation for o in body(function).operations]:
        if op.name == "linalg.generic" and len(op.results) == 1:
            found.append(op)
        elif op.name not in ("arith.constant", "tensor.empty", "func.return", LATER):
            raise CannotBlock(op.name)
    return found


def role_of(op: ir.Operation) -> str:
    """Return what an operation does in a chain."""
    maps, kinds = indexing_maps(op), iterators(op)
    parallel = kinds.count("parallel")
    if not segments(op)[0]:
        return FILL
    if parallel == len(kinds):
        return MAP
    if maps[-1] != ir.AffineMap.get(len(kinds), 0, [ir.AffineDimExpr.get(k) for k in range(parallel)]):
        raise CannotBlock("a reduction's loops are in another order than its result")
    rows = {ir.AffineDimExpr.get(k) for k in range(parallel)}
    plain = [{e for e in m.results if isinstance(e, ir.AffineDimExpr)} for m in maps[:-1]]
    return CONTRACTION if any(not rows <= found and len(found) > 1 for found in plain) and len(plain) > 1 else REDUCTION


def is_chain(ops: Sequence[ir.Operation]) -> bool:
    """Whether operations are more than one anchor with an epilogue: several contractions, or one and row reductions."""
    roles = [role_of(op) for op in ops]
    return CONTRACTION in roles and roles.count(CONTRACTION) + roles.count(REDUCTION) > 1


def analyse(function: ir.Operation) -> Chain:
    """Group the loops of a task's operations into classes; raises CannotBlock."""
    ops = generics(function)
    parent: dict[tuple[int, int], tuple[int, int]] = {}

    def find(key: tuple[int, int]) -> tuple[int, int]:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    made = {op.results[0]: k for k, op in enumerate(ops)}
    windows: list[tuple[tuple[int, int], tuple[int, int], int, int]] = []
    maps = [indexing_maps(op) for op in ops]
    for k, op in enumerate(ops):
        for loop in range(maps[k][0].n_dims):
            find((k, loop))
        for operand, m in zip(op.operands, maps[k], strict=True):
            if operand not in made:
                continue
            producer = made[operand]
            for e, written in zip(m.results, maps[producer][-1].results, strict=True):
                if not isinstance(written, ir.AffineDimExpr):
                    raise CannotBlock("a part of a chain is written by a compound index")
                theirs = (producer, ir.AffineDimExpr(written).position)
                if isinstance(e, ir.AffineDimExpr):
                    parent[find((k, ir.AffineDimExpr(e).position))] = find(theirs)
                else:
                    row, stride, reach = _window(op, e)
                    windows.append((theirs, (k, row), stride, reach))
    roots = list(dict.fromkeys(find(key) for key in list(parent)))
    extents = [0] * len(roots)
    stages: list[Stage] = []
    for k, op in enumerate(ops):
        loops = tuple(roots.index(find((k, loop))) for loop in range(maps[k][0].n_dims))
        if len(set(loops)) != len(loops):
            raise CannotBlock("two loops of one operation run over the same dimension")
        for c, extent in zip(loops, loop_extents(op), strict=True):
            extents[c] = max(extents[c], extent)
        stages.append(Stage(op, role_of(op), loops, iterators(op).count("reduction")))
    found = {Window(roots.index(find(t)), roots.index(find(r)), stride, reach) for t, r, stride, reach in windows}
    if len({w.loops for w in found}) < len(found) or {w.loops for w in found} & {w.rows for w in found}:
        raise CannotBlock("several windows of one value, or windows of windows")
    return Chain(tuple(stages), tuple(extents), tuple(sorted(found)))


def _window(op: ir.Operation, e: ir.AffineExpr) -> tuple[int, int, int]:
    """Return which parallel loop a compound index moves by, how far a step, and what all reductions reach."""
    kinds, extents = iterators(op), loop_extents(op)
    loops = [d for d in range(len(kinds)) if mentions(e, {d})]
    rows = [d for d in loops if kinds[d] == "parallel"]
    steps = {d: index_at(e, len(kinds), d) - index_at(e, len(kinds), None) for d in loops}
    if len(rows) != 1 or index_at(e, len(kinds), None) or any(step <= 0 for step in steps.values()):
        raise CannotBlock("a part of a chain reads another by a compound index that is no window")
    return rows[0], steps[rows[0]], 1 + sum(steps[d] * (extents[d] - 1) for d in loops if d != rows[0])
