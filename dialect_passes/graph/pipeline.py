"""The graph passes in their order: from an imported module to tasks."""

from collections.abc import Callable

import numpy as np
from mlir import ir
from mlir.passmanager import PassManager

from ansorc.dialect_passes.graph import (
    fold_batch_norm,
    fold_constants,
    form_tasks,
    move_transposes,
    pad_channels,
    pad_columns,
    settle_transposes,
    sink_reshapes,
    unstack_products,
)
from ansorc.dialect_passes.ir_walk import collect

TIDY = "builtin.module(canonicalize,cse)"

PASSES: tuple[Callable[[ir.Module, dict[str, np.ndarray]], None], ...] = (
    unstack_products.run,
    fold_constants.run,
    move_transposes.run,
    move_transposes.run,  # views that it moved to meet are none now
    settle_transposes.run,
    fold_batch_norm.run,
    sink_reshapes.run,
    sink_reshapes.run,  # views of views are one view now
    fold_constants.run,  # biases that were expanded
    pad_channels.run,
    pad_columns.run,
)


def run(module: ir.Module, weights: dict[str, np.ndarray], fuse: form_tasks.Fuse = form_tasks.never) -> None:
    """Run all passes in place, tidying between them; `weights` gains and loses entries.

    `fuse` decides which chains become one task (see form_tasks).
    """
    tidy = PassManager.parse(TIDY, module.context)
    tidy.run(module.operation)
    for step in PASSES:
        step(module, weights)
        module.operation.verify()
        tidy.run(module.operation)
    form_tasks.run(module, weights, fuse)
    module.operation.verify()
    _drop_unused(module, weights)


def _drop_unused(module: ir.Module, weights: dict[str, np.ndarray]) -> None:
    """Forget the weights that no operation loads any more."""
    loads = collect(module.operation, "ml_program.global_load_const")
    loaded = {ir.FlatSymbolRefAttr(op.attributes["global"]).value for op in loads}
    for op in [o.operation for o in module.body.operations]:
        if op.name == "ml_program.global":
            symbol = ir.StringAttr(op.attributes["sym_name"]).value
            if symbol not in loaded:
                op.erase()
                weights.pop(symbol, None)
