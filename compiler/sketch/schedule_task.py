"""Give a task its schedule: a candidate, or the default of the first kind that fits."""

from __future__ import annotations

from dataclasses import dataclass

from mlir import ir

from ansorc.compiler.errors import UnusableScriptError
from ansorc.compiler.sketch import analytic, register_tile
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.loop_nest import LoopNest, loop_nest
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.schedule import block_channels, pack_operand, rows
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, Packing
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import NoSingleAnchor, TaskShape, analyse


@dataclass(frozen=True)
class Schedule:
    """A transform script (None: nothing to tile) and the layout that it wants of constant arguments."""

    kind: str
    script: str | None
    packings: dict[int, Packing]
    vectorize: bool
    candidate: Candidate | None = None


KINDS = ("register-tile", "rows", "loops")


def schedule(
    module: ir.Module, machine: Machine, allowed: tuple[str, ...] = KINDS, candidate: Candidate | None = None
) -> Schedule:
    """Choose a schedule for the only function of `module` and prepare its operations for the script.

    `allowed` are the kinds to try, in order; "loops" fits every task, and its script is made by `loops.emit` once
    results have their destinations. A given `candidate` is taken as it is; raises IllegalDecisionError where it does
    not fit.
    """
    function = next(functions(module))
    if candidate is not None or "register-tile" in allowed:
        try:
            task = analyse(function)
            nest = nest_of(function, task)
            if candidate is None:
                candidate = analytic.choose(nest, machine)
                if candidate is None:
                    raise CannotBlock("channels do not fill a vector")
            elif (wrong := register_tile.illegal(candidate, nest, machine)) is not None:
                raise wrong
            return _register_tile(function, task, candidate)
        except (NoSingleAnchor, CannotBlock):
            if candidate is not None and "register-tile" not in allowed:
                raise
    if "rows" in allowed:
        script = rows.emit(function)
        if script is not None:
            return Schedule("rows", script, {}, vectorize=False)
    return Schedule("loops", None, {}, vectorize=False)


def replay(module: ir.Module, script: str) -> Schedule:
    """Prepare the only function of `module` for a script that `register_tile.emit` wrote, perhaps edited since.

    Raises UnusableScriptError.
    """
    function = next(functions(module))
    try:
        attributes = ir.Module.parse(script, module.context).operation.attributes
    except ir.MLIRError as error:  # pyright: ignore[reportAttributeAccessIssue]
        raise UnusableScriptError(str(error)) from error
    missing = [name for n in register_tile.PREPARED if (name := f"ansorc.{n}") not in attributes]
    if missing:
        raise UnusableScriptError(f"its module has no attribute {missing[0]}: it is not of kind {register_tile.KIND}")
    lanes, vectors, pack = (ir.IntegerAttr(attributes[f"ansorc.{n}"]).value for n in register_tile.PREPARED)
    try:
        task = analyse(function)
        if lanes < 1 or vectors < 1 or not task.parallel or task.parallel[-1] % (lanes * vectors):
            raise UnusableScriptError(f"{vectors} vectors of {lanes} lanes do not divide the channels of the task")
        if pack and nest_of(function, task).packable is None:
            raise UnusableScriptError("the task has no operand to pack")
        packings = _prepare(function, task, lanes, vectors, bool(pack))
        return Schedule(register_tile.KIND, script, packings, vectorize=True)
    except (NoSingleAnchor, CannotBlock) as error:
        raise UnusableScriptError(f"the task has no register tiles: {error}") from error


def nest_of(function: ir.Operation, task: TaskShape) -> LoopNest:
    """Describe an analysed task in numbers; raises CannotBlock where it has no loops."""
    if not task.parallel:
        raise CannotBlock("no loops")
    return loop_nest(task, frozenset(block_channels.constant_arguments(function)))


def _register_tile(function: ir.Operation, task: TaskShape, candidate: Candidate) -> Schedule:
    values = candidate.values
    packings = _prepare(function, task, values["lanes"], values["vectors"], bool(values["pack"]))
    return Schedule(register_tile.KIND, register_tile.emit(candidate), packings, vectorize=True, candidate=candidate)


def _prepare(function: ir.Operation, task: TaskShape, lanes: int, vectors: int, pack: bool) -> dict[int, Packing]:
    """Mark the operations that a script names, split the channels, and pack."""
    with function.context:
        for name, op in (("root", task.root), ("anchor", task.anchor), ("fill", task.fill)):
            if op is not None:
                op.attributes[f"ansorc.{name}"] = ir.UnitAttr.get()
    packings = block_channels.run(function, lanes, vectors)
    if pack:
        pack_operand.run(function)
    return packings
