"""What the user can get wrong, one class a mistake; a message says what was found and what to do.

Mistakes in a model are `ansorc.frontends.errors.ModelError`, failures of a compiled library and of
linking are in `ansorc.runtime.errors`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path


class AnsorcError(Exception):
    """Base of all mistakes that the compiler reports by a message alone."""


class UnknownTargetError(AnsorcError):
    """`--target` names nothing that we know."""

    def __init__(self, text: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(text, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown target {text!r}.{hint} Known targets: {', '.join(known)}")
        self.text = text
        self.known = tuple(known)


class NotYetError(AnsorcError):
    """The interface has room for a feature that is not built."""

    def __init__(self, feature: str, instead: str) -> None:
        super().__init__(f"{feature} is not available yet: {instead}")


class InvalidOptionError(AnsorcError):
    """An option has a value outside its range."""

    def __init__(self, option: str, found: object, expected: str) -> None:
        super().__init__(f"{option} is {found!r}: expected {expected}")


class InvalidKnobError(AnsorcError):
    """An environment variable has a value that we cannot read."""

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(f"environment variable {name} is {found!r}: expected {expected}")


class UnusableRulesError(AnsorcError):
    """A module of ANSORC_RULES adds no kinds of schedules."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(
            f"module {module} of ANSORC_RULES: {reason}; expected a module that can be imported, "
            "with a sequence RULES of ansorc.compiler.sketch.kind.Kind"
        )


class ClusterError(AnsorcError):
    """Nobody of a cluster can do what is asked for."""

    def __init__(self, address: str, reason: str, hint: str = "") -> None:
        super().__init__(f"cluster {address}: {reason}" + (f"; {hint}" if hint else ""))


class UnwritableOutputError(AnsorcError):
    """The output cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}")


class UnknownStageError(AnsorcError):
    """A stage does not exist, or lies before the one which the input is in."""

    def __init__(self, stage: str, known: Sequence[str]) -> None:
        super().__init__(f"cannot emit stage {stage!r}: possible here: {', '.join(known)}")


class InvalidStageTextError(AnsorcError):
    """The text of a stage cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot read {path}: {reason}\nexpected a file that ansorc --emit wrote")


class UnknownPassError(AnsorcError):
    """A pipeline cannot be read or names a pass that nobody registered."""

    def __init__(self, pipeline: str, reason: str) -> None:
        super().__init__(f"cannot run pipeline {pipeline!r}: {reason}")


class TaskFailedError(AnsorcError):
    """A task could not be compiled; other tasks and this process are unharmed."""

    def __init__(self, task: str, reason: str, detail: str = "", reproduce: str = "") -> None:
        lines = [f"compiling {task} failed: {reason}"]
        lines += [f"  | {line}" for line in detail.strip().splitlines()]
        if reproduce:
            lines.append(f"to reproduce: {reproduce}")
        super().__init__("\n".join(lines))
        self.task = task
        self.reason = reason


class IllegalDecisionError(AnsorcError):
    """A candidate does not fit its task."""

    def __init__(self, decision: str, found: object, expected: str, task: str = "") -> None:
        where = f"schedule of {task}" if task else "schedule"
        super().__init__(f"{where}: {decision} is {found}: expected {expected}")
        self.decision, self.found, self.expected = decision, found, expected


class UnusableScriptError(AnsorcError):
    """A transform script cannot be replayed on a task."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot replay the schedule: {reason}\nexpected a script that ansorc --dump-dir wrote for this task"
        )
        self.reason = reason


class UnusableModelError(AnsorcError):
    """The file of a cost model cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot use the cost model {path}: {reason}\nexpected a file that ansorc-tune wrote")


class UnusableRecordsError(AnsorcError):
    """The file of records cannot be read or written."""

    def __init__(self, path: Path, reason: str, hint: str = "") -> None:
        super().__init__(f"cannot use the records {path}: {reason}" + (f"\n{hint}" if hint else ""))


class NothingToTuneError(AnsorcError):
    """No task of a model has a choice of schedules."""

    def __init__(self, model: str, tasks: int) -> None:
        super().__init__(
            f"{model}: none of its {tasks} tasks has a choice of schedules, so there is nothing to tune\n"
            "compile it without --trials and --seconds"
        )


class InvalidStageForTuningError(AnsorcError):
    """A search or records were asked for beside a model whose schedules are made already."""

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"the input is of stage {stage!r}: its schedules are made already; "
            "tune the model, or the text of stage 'linalg'"
        )


class DifferentResultError(AnsorcError):
    """A model with given schedules computes something else than with default ones."""

    def __init__(self, model: str, output: str, error: float, allowed: float) -> None:
        super().__init__(
            f"{model}: with these schedules, output {output!r} differs from that of the default schedules "
            f"by {error:.2g} of its largest number, more than {allowed:g}: nothing is written\n"
            "leave the records out, or compile with --exact"
        )
