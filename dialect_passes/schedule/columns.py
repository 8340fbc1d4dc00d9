"""Copy the windows that an anchor reads into columns, one behind the other (im2col): its product reads no windows then.

anchor reads x[n, oh * 2 + kh, ow * 2 + kw, c]
-->
p[n, oh, ow, kh, kw, c] = x[n, oh * 2 + kh, ow * 2 + kw, c]; anchor reads p
"""

from mlir import ir

from ansorc.dialect_passes.ir_walk import collect, indexing_maps, mentions
from ansorc.dialect_passes.schedule.build_generic import generic, plain_map
from ansorc.dialect_passes.schedule.shape_of_task import loop_extents

MARK = "ansorc.columns"
"""Of the copy."""


def run(function: ir.Operation) -> None:
    """Rewrite a function whose anchor reads windows of its first operand."""
    anchor = next(op for op in collect(function, "linalg.generic") if "ansorc.anchor" in op.attributes)
    maps, extents = indexing_maps(anchor), loop_extents(anchor)
    m = maps[0]
    loops = [d for d in range(m.n_dims) if any(mentions(e, {d}) for e in m.results)]
    number = {d: k for k, d in enumerate(loops)}
    dims = [ir.AffineDimExpr.get(number[d]) if d in number else ir.AffineConstantExpr.get(0) for d in range(m.n_dims)]
    renumbered = ir.AffineMap.get(len(loops), 0, dims)
    read = ir.AffineMap.get(len(loops), 0, [ir.AffineExpr.compose(e, renumbered) for e in m.results])
    with ir.InsertionPoint(anchor), anchor.location:
        copy = generic(
            [anchor.operands[0]], [read, ir.AffineMap.get_identity(len(loops))], [extents[d] for d in loops], 0,
            lambda inner: inner[0], {MARK: ir.UnitAttr.get()},
        )  # fmt: skip
    anchor.operands[0] = copy.results[0]
    maps[0] = plain_map(m.n_dims, loops)
    anchor.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(x) for x in maps])
