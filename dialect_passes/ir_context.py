"""The context that all of our modules live in."""

from mlir import ir


def context() -> ir.Context:
    """Make a context in which `ansorc.*` attributes may stand anywhere."""
    made = ir.Context()
    made.allow_unregistered_dialects = True
    made.enable_multithreading(False)
    made.emit_error_diagnostics = True
    return made
