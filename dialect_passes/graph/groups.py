"""A task in the making, and what an operation is in it."""

from dataclasses import dataclass, field

from mlir import ir

from ansorc.dialect_passes.ir_walk import indexing_maps, iterators, reassociation, segments

SHADOWS = ("arith.constant", "tensor.empty", "linalg.fill")
"""Operations without inputs of their own: every task that needs one gets a copy."""
VIEWS = ("tensor.expand_shape", "tensor.collapse_shape")
PRODUCTS = ("linalg.matmul", "linalg.batch_matmul")


@dataclass
class Group:
    """A task in the making."""

    root: ir.Operation
    members: list[ir.Operation] = field(default_factory=list[ir.Operation])
    """From the last to the first."""
    anchors: int = 0
    reductions: int = 0
    slices: int = 0
    pads: int = 0
    fixed: bool = False
    """Nothing may join."""


def is_anchor(op: ir.Operation) -> bool:
    """Whether the operation is one that a schedule is built around."""
    if op.name == "linalg.generic":
        return "reduction" in iterators(op) and not is_row_reduction(op)
    return op.name.startswith("linalg.") and op.name not in (
        "linalg.transpose", "linalg.copy", "linalg.fill", "linalg.broadcast",
    )  # fmt: skip


def is_product(op: ir.Operation) -> bool:
    """Whether an operation multiplies matrices, or as many pairs of them as it has loops before theirs."""
    if op.name in PRODUCTS:
        return True
    if op.name != "linalg.generic" or segments(op) != (2, 1):
        return False
    names = [o.operation.name for o in op.regions[0].blocks[0].operations][:-1]
    kinds = iterators(op)
    if names != ["arith.mulf", "arith.addf"] or kinds != ["parallel"] * (len(kinds) - 1) + ["reduction"]:
        return False
    return len(kinds) > 3 and indexing_maps(op) == product_maps(len(kinds) - 3)


def product_maps(lead: int) -> list[ir.AffineMap]:
    """Return what products of matrices read and write, if `lead` loops before theirs choose the matrices."""
    batch = [ir.AffineDimExpr.get(d) for d in range(lead)]
    m, n, k = (ir.AffineDimExpr.get(lead + d) for d in range(3))
    return [ir.AffineMap.get(lead + 3, 0, [*batch, *read]) for read in ((m, k), (k, n), (m, n))]


def before_collapse(value: ir.Value) -> ir.Value:
    """Return what is collapsed to make a value, if nothing else reads either, and the last dim stays as it is.

    Whoever makes it writes it into the middle of a border as well as the value itself.
    """
    op = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if op is None or op.name != "tensor.collapse_shape":
        return value
    alone = all(len(list(v.uses)) == 1 for v in (value, op.operands[0]))
    return op.operands[0] if alone and len(reassociation(op)[-1]) == 1 else value


def is_row_reduction(op: ir.Operation) -> bool:
    """Whether a generic reduces trailing dims of operands that it reads in order, as softmax does."""
    if op.name != "linalg.generic":
        return False
    kinds = iterators(op)
    parallel = kinds.count("parallel")
    if parallel == len(kinds) or kinds != ["parallel"] * parallel + ["reduction"] * (len(kinds) - parallel):
        return False
    maps = indexing_maps(op)
    identity = ir.AffineMap.get_identity(len(kinds), op.context)
    return maps[0] == identity and all(is_leading(m) for m in maps)


def is_leading(m: ir.AffineMap) -> bool:
    """(d0, d1, d2) -> (d0, d1): plain dims from the first on."""
    return all(isinstance(e, ir.AffineDimExpr) and ir.AffineDimExpr(e).position == k for k, e in enumerate(m.results))


def is_elementwise(op: ir.Operation) -> bool:
    """Whether every element of the result is computed on its own."""
    return op.name == "linalg.copy" or (op.name == "linalg.generic" and "reduction" not in iterators(op))
