"""Static memory plan: where every value of @main lies.

A task's result that is returned goes straight into the output's buffer; every other one gets an offset in one arena for
as long as it is alive (see `allocate`). An elementwise task may write over an argument that dies. The parts of a
concatenation lie in the whole, which is alive from the first of them on.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from math import prod

from mlir import ir

from ansorc.dialect_passes.graph.place_parts import place_of, viewed
from ansorc.dialect_passes.ir_walk import body, collect, functions, indexing_maps, iterators, shape

ALIGNMENT = 64


class Base(Enum):
    """What an address is relative to."""

    ARENA = "arena"
    WEIGHT = "weight"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True)
class Placement:
    """An address: `offset` bytes in the arena, in the weight `symbol`, or in the input or output `index`."""

    base: Base
    offset: int = 0
    index: int = 0
    symbol: str = ""


@dataclass(frozen=True)
class Call:
    """One call of a task, in program order."""

    task: str
    arguments: tuple[Placement, ...]
    result: Placement


@dataclass(frozen=True)
class Buffer:
    """A value in the arena, alive from the call `first` up to and including the call `last`."""

    size: int
    first: int
    last: int
    offset: int = -1


@dataclass(frozen=True)
class MemoryPlan:
    """Calls with addresses, and what the arena takes."""

    calls: tuple[Call, ...]
    buffers: tuple[Buffer, ...]
    arena_bytes: int
    lower_bound_bytes: int
    """The largest set of values that are alive at one call."""
    naive_bytes: int
    """The sum of all values."""

    def __str__(self) -> str:
        ratio = self.arena_bytes / self.lower_bound_bytes if self.lower_bound_bytes else 1.0
        return (
            f"memory: arena {self.arena_bytes / 1e6:.2f} MB, lower bound {self.lower_bound_bytes / 1e6:.2f} MB "
            f"(x{ratio:.2f}), without reuse {self.naive_bytes / 1e6:.2f} MB"
        )


def plan(module: ir.Module) -> MemoryPlan:
    """Plan a module of the stage `linalg` (task bodies may be missing: then nothing is done in place)."""
    tasks = {ir.StringAttr(f.attributes["sym_name"]).value: f for f in functions(module)}
    operations = [o.operation for o in body(tasks["main"]).operations]
    fixed: dict[ir.Value, Placement] = {
        a: Placement(Base.INPUT, index=k) for k, a in enumerate(body(tasks["main"]).arguments)
    }
    for op in operations:
        if op.name == "ml_program.global_load_const":
            symbol = ir.FlatSymbolRefAttr(op.attributes["global"]).value
            fixed[op.results[0]] = Placement(Base.WEIGHT, symbol=symbol)
    for k, value in enumerate(operations[-1].operands):
        fixed[viewed(value)] = Placement(Base.OUTPUT, index=k)
    calls = [op for op in operations if op.name == "func.call"]
    last: dict[ir.Value, int] = {}
    for k, call in enumerate(calls):
        for operand in call.operands:
            last[place_of(operand)[0]] = k
    buffers, buffer_of = _buffers(calls, fixed, last, tasks)
    placed = allocate(buffers)

    def where(value: ir.Value) -> Placement:
        whole, elements, _ = place_of(value)
        offset = elements * element_bytes(whole)
        if whole in fixed:
            return replace(fixed[whole], offset=offset)
        return Placement(Base.ARENA, offset=placed[buffer_of[whole]].offset + offset)

    return MemoryPlan(
        tuple(Call(_callee(c), tuple(where(v) for v in c.operands), where(c.results[0])) for c in calls),
        tuple(placed),
        max((b.offset + b.size for b in placed), default=0),
        lower_bound(buffers),
        sum(b.size for b in buffers),
    )


def _buffers(
    calls: list[ir.Operation],
    fixed: dict[ir.Value, Placement],
    last: dict[ir.Value, int],
    tasks: dict[str, ir.Operation],
) -> tuple[list[Buffer], dict[ir.Value, int]]:
    buffers: list[Buffer] = []
    buffer_of: dict[ir.Value, int] = {}
    for k, call in enumerate(calls):
        result = place_of(call.results[0])[0]
        if result in fixed or result in buffer_of:
            continue
        size = -(-bytes_of(result) // ALIGNMENT) * ALIGNMENT
        end = last.get(result, k)
        operands = [place_of(o)[0] for o in call.operands]
        for position in in_place_arguments(tasks[_callee(call)]) if result == call.results[0] else ():
            operand = operands[position]
            if place_of(call.operands[position]) != (viewed(call.operands[position]), 0, None):
                continue  # it lies in rows, and the result does not
            reused = buffer_of.get(operand)
            # Another view of the argument may be read in another order.
            alone = operands.count(operand) == 1
            if reused is not None and alone and last[operand] == k and buffers[reused].size == size:
                buffers[reused] = replace(buffers[reused], last=max(end, buffers[reused].last))
                buffer_of[result] = reused
                break
        else:
            buffer_of[result] = len(buffers)
            buffers.append(Buffer(size, k, end))
    return buffers, buffer_of


def _callee(call: ir.Operation) -> str:
    return ir.FlatSymbolRefAttr(call.attributes["callee"]).value


def bytes_of(value: ir.Value) -> int:
    """Return the size of a tensor."""
    return prod(shape(value)) * element_bytes(value)


def element_bytes(value: ir.Value) -> int:
    """Return the size of an element of a tensor."""
    return max(1, getattr(ir.RankedTensorType(value.type).element_type, "width", 64) // 8)


def in_place_arguments(function: ir.Operation) -> list[int]:
    """Arguments that an elementwise task reads only where it writes, element by element."""
    if len(function.regions[0].blocks) == 0:
        return []
    block = body(function)
    structured = [
        o.operation
        for o in block.operations
        if o.operation.name not in ("arith.constant", "tensor.empty", "func.return")
    ]
    if any(o.name != "linalg.generic" or "reduction" in iterators(o) for o in structured):
        return []
    if any(collect(o, "tensor.extract", "linalg.index") for o in structured):
        return []
    allowed = list(range(len(block.arguments)))
    for op in structured:
        maps = indexing_maps(op)
        if maps[-1] != ir.AffineMap.get_identity(maps[-1].n_dims):
            return []
        for operand, m in zip(op.operands, maps, strict=True):
            if isinstance(operand.owner, ir.Block) and m != maps[-1]:
                number = ir.BlockArgument(operand).arg_number
                allowed = [a for a in allowed if a != number]
            elif not isinstance(operand.owner, ir.Block) and m != maps[-1] and operand.owner.operation in structured:
                return []
    result = list(block.operations)[-1].operands[0]
    return [a for a in allowed if block.arguments[a].type == result.type]


def lower_bound(buffers: list[Buffer]) -> int:
    """Return the size of the largest set of buffers that are alive together."""
    count = max((b.last for b in buffers), default=-1) + 1
    alive = [0] * count
    for b in buffers:
        for k in range(b.first, b.last + 1):
            alive[k] += b.size
    return max(alive, default=0)


GOOD_ENOUGH = 1.02
BLURRED_ORDERS = 60


def allocate(buffers: list[Buffer]) -> list[Buffer]:
    """Give every buffer an offset so that no two overlap in time and space, and halves lie where halves did before.

    Buffers that are never alive together have one place after another, in the middle of the largest of them:

        |  first half of A   |   second half of A  |
             |  of B         |   of B        |

    Threads share rows, so that a core writes the same half of each buffer, and need not take from another core's cache
    what it overwrites (`tests/native/halves.c`). More threads than two find what is theirs in part.

    The smallest arena of several greedy orders: by size and, while that is far from the lower bound, by blurred size
    (seeded).
    """
    best = _places(buffers, lambda b: (-b.size, b.first))
    for seed in range(BLURRED_ORDERS):
        if _size(buffers, best) <= GOOD_ENOUGH * lower_bound(buffers):
            break
        best = min(best, _places(buffers, _blurred(seed)), key=lambda places: _size(buffers, places))
    placed = list(buffers)
    start = 0
    for place in best:
        size = max(buffers[k].size for k in place)
        for k in place:
            middle = (size - buffers[k].size) // 2
            placed[k] = replace(buffers[k], offset=start + middle // ALIGNMENT * ALIGNMENT)
        start += size
    return placed


def _size(buffers: list[Buffer], places: list[list[int]]) -> int:
    return sum(max(buffers[k].size for k in place) for place in places)


def _blurred(seed: int) -> Callable[[Buffer], tuple[float, ...]]:
    generator = random.Random(seed)
    return lambda b: (-b.size * generator.uniform(0.5, 2.0), b.first)


def _places(buffers: list[Buffer], order: Callable[[Buffer], tuple[float, ...]]) -> list[list[int]]:
    """Put each buffer, in order, where it fits into what is there, or exceeds it least; return whose each place is."""
    places: list[tuple[int, list[int]]] = []
    for k in sorted(range(len(buffers)), key=lambda i: order(buffers[i])):
        b = buffers[k]
        free = [
            n for n, (_, mine) in enumerate(places)
            if all(buffers[m].last < b.first or b.last < buffers[m].first for m in mine)
        ]  # fmt: skip
        if free:
            n = min(free, key=lambda n: (max(0, b.size - places[n][0]), places[n][0]))
            size, mine = places[n]
            places[n] = max(size, b.size), [*mine, k]
        else:
            places.append((b.size, [k]))
    return [mine for _, mine in places]
