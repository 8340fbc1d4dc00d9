"""Our passes by the name that `ansorc-opt` and messages use.

A pass is a function "module:function"; the tables hold strings, so that looking one up imports
only that one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

GRAPH_PASSES: dict[str, str] = {
    "ansorc-unstack-products": "ansorc.dialect_passes.graph.unstack_products:run",
    "ansorc-fold-constants": "ansorc.dialect_passes.graph.fold_constants:run",
    "ansorc-fold-batch-norm": "ansorc.dialect_passes.graph.fold_batch_norm:run",
    "ansorc-move-transposes": "ansorc.dialect_passes.graph.move_transposes:run",
    "ansorc-settle-transposes": "ansorc.dialect_passes.graph.settle_transposes:run",
    "ansorc-sink-reshapes": "ansorc.dialect_passes.graph.sink_reshapes:run",
    "ansorc-pad-channels": "ansorc.dialect_passes.graph.pad_channels:run",
    "ansorc-pad-columns": "ansorc.dialect_passes.graph.pad_columns:run",
    "ansorc-form-tasks": "ansorc.dialect_passes.graph.form_tasks:run",
}
"""Passes `run(module, weights)`, which read and change the numbers beside the IR too."""

MODULE_PASSES: dict[str, str] = {
    "ansorc-order-loops": "ansorc.dialect_passes.lower.order_loops:run",
    "ansorc-collapse-loops": "ansorc.dialect_passes.lower.collapse_loops:run",
    "ansorc-collapse-reductions": "ansorc.dialect_passes.lower.collapse_reductions:run",
    "ansorc-contract": "ansorc.dialect_passes.lower.contract:run",
    "ansorc-reassociate": "ansorc.dialect_passes.lower.reassociate:run",
    "ansorc-maxima": "ansorc.dialect_passes.lower.maxima:run",
    "ansorc-expand-math": "ansorc.dialect_passes.lower.expand_math:run",
    "ansorc-reciprocals": "ansorc.dialect_passes.lower.reciprocals:run",
    "ansorc-explicit-copies": "ansorc.dialect_passes.lower.explicit_copies:run",
    "ansorc-copies": "ansorc.dialect_passes.lower.copies:run",
    "ansorc-share-borders": "ansorc.dialect_passes.lower.share_borders:run",
    "ansorc-strided-slices": "ansorc.dialect_passes.lower.strided_slices:run",
    "ansorc-pitched-arguments": "ansorc.dialect_passes.lower.pitched_arguments:run",
    "ansorc-destination": "ansorc.dialect_passes.lower.destination:run",
    "ansorc-prefetch": "ansorc.dialect_passes.lower.prefetch:run",
    "ansorc-sections": "ansorc.dialect_passes.lower.sections:run",
}
"""Passes `run(module)`."""


def names() -> list[str]:
    """List our passes."""
    return [*GRAPH_PASSES, *MODULE_PASSES]


def find(name: str) -> Callable[..., Any]:
    """Import a pass; KeyError if there is none of this name."""
    module, _, function = {**GRAPH_PASSES, **MODULE_PASSES}[name].partition(":")
    return getattr(importlib.import_module(module), function)


def takes_weights(name: str) -> bool:
    """Whether the pass is called with the weights as its second argument."""
    return name in GRAPH_PASSES


def describe(name: str) -> str:
    """Return the first line of a pass's documentation."""
    run = find(name)
    text = run.__doc__ or importlib.import_module(run.__module__).__doc__ or ""
    return text.strip().partition("\n")[0]
