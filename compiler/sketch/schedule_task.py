"""Give a task its schedule: a candidate, the default that its kind's model likes best, or plain loops."""

from __future__ import annotations

from dataclasses import dataclass

from mlir import ir

from ansorc.compiler.errors import IllegalDecisionError, UnusableScriptError
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import DOES_NOT_FIT, TaskSpace, described
from ansorc.compiler.sketch.kinds import sketched, spaces
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule import rows
from ansorc.dialect_passes.schedule.machine import Machine


@dataclass(frozen=True)
class Schedule:
    """A transform script (None: nothing to tile) and the layout that it wants of constant arguments."""

    kind: str
    script: str | None
    packings: dict[int, Packing]
    vectorize: bool
    candidate: Candidate | None = None


LAST_KIND = "loops"
"""It fits every task."""


def all_kinds(*, exact: bool = False) -> tuple[str, ...]:
    """Return the names of all kinds in the order in which they are tried; or only those that are exact."""
    return (*(name for name, kind in sketched().items() if kind.exact or not exact), "rows", LAST_KIND)


def schedule(
    module: ir.Module, machine: Machine, allowed: tuple[str, ...], candidate: Candidate | None = None
) -> Schedule:
    """Choose a schedule for the only function of `module` and prepare its operations for the script.

    `allowed` are the kinds to try; "loops" fits every task, and its script is made by `loops.emit` once results have
    their destinations. A given `candidate` is taken as it is; raises IllegalDecisionError where it does not fit.
    """
    function = next(functions(module))
    if candidate is not None:
        return _given(function, machine, candidate)
    choices = [choice for space in spaces(function, machine, allowed) if (choice := space.choose()) is not None]
    for choice in sorted(choices, key=lambda c: c.cycles):
        try:
            return _prepared(function, choice.candidate)
        except DOES_NOT_FIT:
            continue
    if "rows" in allowed:
        script = rows.emit(function)
        if script is not None:
            return Schedule("rows", script, {}, vectorize=False)
    return Schedule("loops", None, {}, vectorize=False)


def replay(module: ir.Module, script: str) -> Schedule:
    """Prepare the only function of `module` for a script that a kind wrote, perhaps edited since.

    Raises UnusableScriptError.
    """
    attributes = _parsed(script, module.context).operation.attributes
    if "ansorc.kind" not in attributes:
        raise UnusableScriptError("its module has no attribute ansorc.kind")
    name = ir.StringAttr(attributes["ansorc.kind"]).value
    if name not in sketched():
        raise UnusableScriptError(f"no schedules of kind {name!r} exist; known: {', '.join(sketched())}")
    kind = sketched()[name]
    missing = [n for n in kind.prepared if f"ansorc.{n}" not in attributes]
    if missing:
        raise UnusableScriptError(f"its module has no attribute ansorc.{missing[0]}: it is not of kind {name}")
    values = {
        name.removeprefix("ansorc."): ir.IntegerAttr(attributes[name]).value
        for name in attributes
        if name.startswith("ansorc.") and isinstance(attributes[name], ir.IntegerAttr)
    }
    function = next(functions(module))
    try:
        described(kind, function)
        return Schedule(name, script, kind.prepare(function, values), vectorize=True)
    except KeyError as error:
        raise UnusableScriptError(f"its module has no attribute ansorc.{error.args[0]}") from error
    except DOES_NOT_FIT as error:
        raise UnusableScriptError(f"the task does not fit kind {name}: {error}") from error


def _parsed(script: str, context: ir.Context) -> ir.Module:
    said: list[str] = []

    def hear(diagnostic: ir.Diagnostic) -> bool:
        said.append(f"{diagnostic.location}: {diagnostic.message}".removeprefix("loc(").replace("):", ":", 1))
        return True

    handler = context.attach_diagnostic_handler(hear)
    try:
        return ir.Module.parse(script, context)
    except ir.MLIRError as error:  # pyright: ignore[reportAttributeAccessIssue]
        raise UnusableScriptError("; ".join(said) or str(error)) from error
    finally:
        handler.detach()  # pyright: ignore[reportAttributeAccessIssue]


def _given(function: ir.Operation, machine: Machine, candidate: Candidate) -> Schedule:
    name = candidate.sketch.kind
    if name not in sketched():
        raise IllegalDecisionError("kind", name, f"one of {', '.join(sketched())}")
    kind = sketched()[name]
    try:
        nest = described(kind, function)
    except DOES_NOT_FIT as error:
        raise IllegalDecisionError("kind", name, f"one that fits the task ({error})") from error
    wrong = TaskSpace(kind, nest, machine).illegal(candidate)
    if wrong is not None:
        raise wrong
    return _prepared(function, candidate)


def _prepared(function: ir.Operation, candidate: Candidate) -> Schedule:
    kind = sketched()[candidate.sketch.kind]
    packings = kind.prepare(function, candidate.values)
    return Schedule(kind.name, kind.emit(candidate), packings, vectorize=True, candidate=candidate)
