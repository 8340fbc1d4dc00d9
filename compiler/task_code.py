"""What compiling a task makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansorc.dialect_passes.kernel_facts import KernelFacts
from ansorc.runtime.llvm_binding import CodeReport


@dataclass(frozen=True)
class TaskCode:
    """A task at its goal."""

    facts: KernelFacts
    code: bytes
    """Text of the stage, or an object file."""
    transform: str = ""
    """The schedule's transform script."""
    failures: tuple[str, ...] = ()
    """Why kinds of schedules that come before this one were left out."""
    report: CodeReport | None = None
    """What is in the object file."""
    stages: Mapping[str, float] = field(default_factory=dict[str, float], compare=False)
    """Seconds that each stage took: up to `scheduled`, `llvm-mlir`, `llvm` and the goal."""
