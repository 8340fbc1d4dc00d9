"""The loops of a chain of operations: which loops of different operations run over the same dimension.

S[b, m, n] += Q[b, m, k] K[b, n, k];  P[b, m, n] = f(S[b, m, n]);  O[b, m, d] += P[b, m, n] V[b, n, d]
-->
five classes of loops, {b} {m} {n} {k} {d}; b and m are parallel everywhere: a block of rows can be computed alone
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, indexing_maps, iterators, segments
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
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


@dataclass(frozen=True)
class Chain:
    """The operations of a chain in order, and the extent of each class of loops."""

    stages: tuple[Stage, ...]
    extents: tuple[int, ...]

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
        return tuple(c for c in first.parallel if all(c in s.parallel for s in self.stages))


def generics(function: ir.Operation) -> list[ir.Operation]:
    """Return the operations of a task; raises CannotBlock where they are not all generics of one result."""
    found: list[ir.Operation] = []
    for op in [o.operation for o in body(function).operations]:
        if op.name == "linalg.generic" and len(op.results) == 1:
            found.append(op)
        elif op.name not in ("arith.constant", "tensor.empty", "func.return"):
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
    maps = [indexing_maps(op) for op in ops]
    for k, op in enumerate(ops):
        for loop in range(maps[k][0].n_dims):
            find((k, loop))
        for operand, m in zip(op.operands, maps[k], strict=True):
            if operand not in made:
                continue
            producer = made[operand]
            for e, written in zip(m.results, maps[producer][-1].results, strict=True):
                if not (isinstance(e, ir.AffineDimExpr) and isinstance(written, ir.AffineDimExpr)):
                    raise CannotBlock("a part of a chain reads windows of another")
                ours, theirs = (k, ir.AffineDimExpr(e).position), (producer, ir.AffineDimExpr(written).position)
                parent[find(ours)] = find(theirs)
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
    return Chain(tuple(stages), tuple(extents))
