"""What passes between the second cache and what lies behind it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.speeds import CACHE_SHARE, MEMORY_BYTES_A_CYCLE, bytes_a_cycle
from ansorc.compiler.sketch.steps import AFTER_ALL
from ansorc.dialect_passes.schedule.machine import Machine


@dataclass(frozen=True)
class Traffic:
    """Bytes that pass between the second cache and what lies behind it."""

    weights: float
    """As they are fetched first: from memory, where the tasks of a network leave no room for all weights."""
    again: float
    """Weights that are fetched once more."""
    values: float
    """Inputs and results, which tasks before wrote and tasks behind read, as often as they are fetched."""
    in_use: float
    """Bytes of inputs and results."""

    def total(self, machine: Machine) -> float:
        """Return all of them; a quarter, where the second cache holds them: they are there, or come soon."""
        total = self.weights + self.again + self.values
        return total / 4 if self.is_near(machine) else total

    def is_near(self, machine: Machine) -> bool:
        """Whether half of the second cache holds what the task touches."""
        return self.weights + self.in_use <= machine.l2_bytes / 2

    def cycles(self, machine: Machine) -> float:
        """Return what they take."""
        if self.is_near(machine):
            return self.total(machine) / MEMORY_BYTES_A_CYCLE
        near = self.again / bytes_a_cycle(machine, self.weights) + self.values / bytes_a_cycle(machine, self.in_use)
        return self.weights / MEMORY_BYTES_A_CYCLE + near


def traffic(nest: LoopNest, machine: Machine, values: Values, panel: int, tiles: int) -> Traffic:
    """Return what passes between the second cache and what lies behind it.

    Chunks follow each other with the positions innermost: neighbours share their blocks of channels.
    """
    blocks = nest.parallel[-1] // (values["lanes"] * values["vectors"])
    positions = prod(e // values[f"chunk_{k}"] for k, e in enumerate(nest.outer))
    in_chunk = values["chunk_blocks"]
    room = machine.l2_bytes / 2
    weights, read, written = panel * blocks, input_bytes(nest), nest.operands[-1].size
    # How often all weights, and all of the input, are fetched.
    weight_times, read_times = 1, 1
    if panel * in_chunk > room:
        kept = panel <= CACHE_SHARE * machine.l2_bytes  # by itself: what passes beside it is read once
        weight_times = tiles if values["channels_inside"] or not kept else positions
    if read > room:
        again = not values["channels_inside"] and read / positions > room
        read_times = blocks if again else blocks // in_chunk
    shared = input_bytes(nest, shared=True)  # by all channels; of the rest, each channel reads its own
    results = written * (1 if values.get("stream") else 2)
    if values.get("finish") == AFTER_ALL:
        results += 3 * written  # sums are fetched, written and read
    passed = shared * read_times + (read - shared) + results
    return Traffic(weights, weights * (weight_times - 1), passed, read + written)


def input_bytes(nest: LoopNest, *, shared: bool = False) -> int:
    """Return the bytes of operands that are read by positions; only of those that all channels read, if `shared`."""
    channel = len(nest.outer)
    read = [o for o in nest.operands[:-1] if any(o.strides[:channel])]
    return sum(o.size for o in read if not (shared and o.strides[channel]))
