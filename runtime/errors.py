"""What can go wrong with a library, one class a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class RuntimeFailure(Exception):
    """Base of all failures of linking, loading and running."""


class NoLinkerError(RuntimeFailure):
    """Nothing on this machine can link for the target."""

    def __init__(self, triple: str, tried: Sequence[str]) -> None:
        super().__init__(
            f"no linker for {triple}: looked for {', '.join(tried)}\n"
            "  install a C compiler, or pip install 'ansorc[zig]'"
        )


class LinkFailedError(RuntimeFailure):
    """The linker, or the compiler of the runtime, reported an error."""

    def __init__(self, command: Sequence[str], message: str) -> None:
        shown = " ".join(command[:3])
        super().__init__(f"linking failed: {shown} ...\n{message.strip()}")


class LoadFailedError(RuntimeFailure):
    """The file is not a library of ours, or not for this machine."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot load {path}: {reason}\n  expected a library that ansorc made for this machine")


class WrongInputError(RuntimeFailure):
    """An input of a run has the wrong name, type or shape, or is missing."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}\n  expected {expected}")


class RunFailedError(RuntimeFailure):
    """The library refused to run."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"run failed with status {status}: {message}")
