"""The schedule that a task gets without any search."""

from dataclasses import dataclass

from mlir import ir

from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.schedule import block_channels, blocked, blocked_default, rows
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


KINDS = ("blocked", "rows", "loops")


def schedule(module: ir.Module, machine: Machine, allowed: tuple[str, ...] = KINDS) -> Schedule:
    """Choose a schedule for the only function of `module` and prepare its operations for the script.

    `allowed` are the kinds to try, in order; "loops" fits every task, and its script is made by `loops.emit` once
    results have their destinations.
    """
    function = next(functions(module))
    if "blocked" in allowed:
        try:
            return _blocked(function, analyse(function), machine)
        except (NoSingleAnchor, CannotBlock):
            pass
    if "rows" in allowed:
        script = rows.emit(function)
        if script is not None:
            return Schedule("rows", script, {}, vectorize=False)
    return Schedule("loops", None, {}, vectorize=False)


def _cycles_of_body(op: ir.Operation) -> float:
    """About half a cycle an operation; a function of `math` becomes some twenty of them."""
    names = [o.operation.name for o in op.regions[0].blocks[0].operations]
    return sum(10.0 if name.startswith("math.") else 0.5 for name in names)


def _blocked(function: ir.Operation, task: TaskShape, machine: Machine) -> Schedule:
    if not task.parallel:
        raise CannotBlock("no loops")
    element = ir.RankedTensorType(task.root.results[0].type).element_type
    found = blocked_default.Loops(task.parallel, task.reductions, task.contraction, _cycles_of_body(task.root))
    decisions = blocked_default.choose(found, machine, max(1, getattr(element, "width", 64) // 8))
    if decisions is None:
        raise CannotBlock("channels do not fill a vector")
    with function.context:
        for name, op in (("root", task.root), ("anchor", task.anchor), ("fill", task.fill)):
            if op is not None:
                op.attributes[f"ansorc.{name}"] = ir.UnitAttr.get()
    packings = block_channels.run(function, decisions.lanes, decisions.vectors)
    return Schedule("blocked", blocked.emit(decisions), packings, vectorize=True)
