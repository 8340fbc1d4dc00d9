"""What schedules need to know of a processor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Vector registers of a CPU."""

    vector_bytes: int
    vector_registers: int
    x86: bool

    def lanes(self, element_bytes: int) -> int:
        """Return how many elements one vector register holds."""
        return max(1, self.vector_bytes // element_bytes)
