"""What became of a candidate that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

FATES = ("measured", "compile error", "compile timeout", "crash", "run timeout", "wrong answer")
"""`measured` is the only one with times; `crash` is of the process that ran it."""


@dataclass(frozen=True)
class Trial:
    """The fate of one candidate."""

    fate: str
    times: tuple[float, ...] = ()
    """Seconds a call, of each repeat, in order."""
    reason: str = ""
    """Why it has no times."""
    compile_seconds: float = 0.0
    code_bytes: int = 0
    vector_spills: int = 0
    code: str = ""
    """Digest of its object: equal objects are measured once."""

    @property
    def seconds(self) -> float | None:
        """The median of its repeats; None where there is none."""
        return median(self.times) if self.times else None
