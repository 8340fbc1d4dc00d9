"""What closed-form models count with: how much begins, and how many bytes come, in a cycle.

Cycles are those of a core that begins FMA_PORTS multiply-adds of whole vectors in each. One that begins fewer has more
of its own in one of those, and more bytes come: machines say what theirs are.
"""

from dataclasses import replace

from ansorc.dialect_passes.schedule.machine import Machine

FMA_PORTS, LOAD_PORTS, FMA_LATENCY = 2, 2, 5
L2_BYTES_A_CYCLE, MEMORY_BYTES_A_CYCLE = 48.0, 8.0
CACHE_SHARE = 0.75
"""Of a cache, for what is to be found there again."""


def bytes_a_cycle(machine: Machine, size: float) -> float:
    """Return how fast values come from behind the second cache: `size` bytes of them are in use at a time."""
    if size > CACHE_SHARE * machine.l3_bytes:
        return MEMORY_BYTES_A_CYCLE
    return max(MEMORY_BYTES_A_CYCLE, machine.l3_bytes_a_cycle * FMA_PORTS / machine.fma_ports)


def without_last_cache(machine: Machine) -> Machine:
    """Return a machine whose last cache is no faster than memory."""
    return replace(machine, l3_bytes_a_cycle=0.0)


def behind_l1(machine: Machine, size: float) -> float:
    """Return how fast all that a task touches comes, once."""
    return bytes_a_cycle(machine, size) if size > machine.l2_bytes / 2 else L2_BYTES_A_CYCLE
