"""Small queries over MLIR operations that several passes need."""

from collections.abc import Iterator

from mlir import ir


def text_of(op: ir.Operation, *, locations: bool = False, verified: bool = False) -> str:
    """Print an operation."""
    return str(op.get_asm(enable_debug_info=locations, assume_verified=verified))


def functions(module: ir.Module) -> Iterator[ir.Operation]:
    """Yield the `func.func` operations of a module, in order."""
    for op in module.body.operations:
        if op.operation.name == "func.func":
            yield op.operation


def body(function: ir.Operation) -> ir.Block:
    """Return the entry block of a function."""
    return function.regions[0].blocks[0]


def collect(root: ir.Operation, *names: str) -> list[ir.Operation]:
    """Return all operations under `root` whose name is one of `names`, in post-order."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name in names:
            found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(visit)  # pyright: ignore[reportCallIssue] walk_order has a default
    return found


def indexing_maps(op: ir.Operation) -> list[ir.AffineMap]:
    """Return the indexing maps of a `linalg.generic`."""
    return [ir.AffineMapAttr(a).value for a in ir.ArrayAttr(op.attributes["indexing_maps"])]


def iterators(op: ir.Operation) -> list[str]:
    """Return the iterator types of a `linalg.generic`: "parallel" or "reduction"."""
    texts = [str(a) for a in ir.ArrayAttr(op.attributes["iterator_types"])]
    return ["reduction" if "reduction" in t else "parallel" for t in texts]


def segments(op: ir.Operation) -> tuple[int, int]:
    """Return the numbers of input and output operands of a destination-style operation."""
    sizes = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    return sizes[0], sizes[1]


def pad_amounts(pad: ir.Operation) -> tuple[list[int], list[int]]:
    """Return how much a `tensor.pad` adds to each dim before and behind."""
    low, high = (list(ir.DenseI64ArrayAttr(pad.attributes[name])) for name in ("static_low", "static_high"))
    return low, high


def permutation(transpose: ir.Operation) -> list[int]:
    """Return the source's dim that each dim of a linalg.transpose's result is."""
    return list(ir.DenseI64ArrayAttr(transpose.attributes["permutation"]))


def reassociation(view: ir.Operation) -> list[list[int]]:
    """Return which dims of the larger side each dim of the smaller side of a collapse_shape or expand_shape is."""
    groups = ir.ArrayAttr(view.attributes["reassociation"])
    return [[ir.IntegerAttr(d).value for d in ir.ArrayAttr(group)] for group in groups]


def value_of(pad: ir.Operation) -> ir.Attribute:
    """Return what a `tensor.pad` pads with."""
    return list(pad.regions[0].blocks[0].operations)[-1].operands[0].owner.operation.attributes["value"]


def shape(value: ir.Value) -> list[int]:
    """Return the static shape of a tensor or memref value; a scalar has none."""
    kind = value.type
    return list(kind.shape) if isinstance(kind, ir.ShapedType) else []


def mentions(expr: ir.AffineExpr, dims: set[int]) -> bool:
    """Whether an index depends on one of some loops."""
    if isinstance(expr, ir.AffineDimExpr):
        return ir.AffineDimExpr(expr).position in dims
    if isinstance(expr, ir.AffineBinaryExpr):
        return any(mentions(e, dims) for e in (ir.AffineBinaryExpr(expr).lhs, ir.AffineBinaryExpr(expr).rhs))
    return False


def index_at(expr: ir.AffineExpr, loops: int, moved: int | None) -> int:
    """Return an index where all of so many loops are at 0, except for one that is at 1."""
    point = [ir.AffineConstantExpr.get(int(k == moved)) for k in range(loops)]
    return ir.AffineConstantExpr(ir.AffineExpr.compose(expr, ir.AffineMap.get(0, 0, point))).value
