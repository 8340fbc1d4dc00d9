"""Arguments of tasks that begin and end with zeros, in each dim.

An argument says so in its attribute `ansorc.border`: how many each dim begins with, then how many each ends with.
"""

from mlir import ir

ATTRIBUTE = "ansorc.border"


def of_argument(function: ir.Operation, number: int) -> tuple[tuple[int, int], ...]:
    """Return how many zeros each dim of an argument begins and ends with; nothing where it has no border."""
    if "arg_attrs" not in function.attributes:
        return ()
    entry = ir.DictAttr(ir.ArrayAttr(function.attributes["arg_attrs"])[number])
    if ATTRIBUTE not in entry:
        return ()
    amounts = list(ir.DenseI64ArrayAttr(entry[ATTRIBUTE]))
    return tuple(zip(amounts[: len(amounts) // 2], amounts[len(amounts) // 2 :], strict=True))
