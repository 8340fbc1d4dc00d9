"""What schedules need to know of a processor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Vector registers and caches of a CPU core, and how many cores there are."""

    vector_bytes: int
    vector_registers: int
    x86: bool
    l1_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20
    l3_bytes: int = 16 << 20
    l3_bytes_a_cycle: float = 8.0
    """What one core reads of the last cache in a cycle of its own."""
    fma_ports: int = 2
    """Multiply-adds of whole vectors that begin in a cycle."""
    cores: int = 8
    """How many share the work, at most."""

    @property
    def scalable(self) -> bool:
        """Whether vectors are those of SVE, longer than NEON's."""
        return not self.x86 and self.vector_bytes > 16

    def lanes(self, element_bytes: int) -> int:
        """Return how many elements one vector register holds."""
        return max(1, self.vector_bytes // element_bytes)
