"""The default schedule of a task with one anchor (or none) whose channels are blocked.

    forall (cb, n, oh by chunk) {
      for oh { for ow by row_tile { accumulators; for kh, kw, ci { fma }; epilogue; store } } }

The epilogue is the root: it is tiled down to the register tile, and the anchor and its fill are fused into every
loop, so an accumulator is born, summed, finished and stored once.
"""

from dataclasses import dataclass

from ansorc.dialect_passes.schedule.words import OP, cse, fuse, match_attribute, match_ops, patterns, script, tile


@dataclass(frozen=True)
class BlockedDecisions:
    """Loops of the root are [cb, outer..., vector, lane]; those of the anchor have its reductions behind them."""

    lanes: int
    vectors: int
    row_tile: int
    row: int
    """Which of [cb, outer...] the register tile covers."""
    chunk: tuple[int, ...]
    """Tile sizes of the parallel chunk for [cb, outer...]; 0: the whole extent."""
    extents: tuple[int, ...]
    """Extents of [cb, outer...]."""
    reductions: tuple[int, ...]
    """Extents of the anchor's reduction loops; empty without an anchor."""
    unroll: bool
    """Unroll the reduction loops (small windows without channel reduction)."""


def emit(d: BlockedDecisions) -> str:
    """Return the transform script that tiles and fuses; vectorization follows in its own scripts."""
    steps = [match_attribute("%root0", "ansorc.root")]
    followers = ["anchor", "fill"] if d.reductions else []
    steps += [match_attribute(f"%{name}0", f"ansorc.{name}") for name in followers]
    level = 0

    def descend(sizes: list[int], kind: str) -> None:
        nonlocal level
        if kind == "for" and not any(sizes):
            return
        loops = [f"%loop{level + 1}"]
        steps.append(tile(f"%root{level}", f"%root{level + 1}", loops, sizes, kind))
        into = loops[0]
        for k, name in enumerate(followers):
            steps.append(fuse(f"%{name}{level}", f"%{name}{level + 1}", into, f"%into{level + 1}_{k}"))
            into = f"%into{level + 1}_{k}"
        level += 1

    if any(d.chunk):
        descend(list(d.chunk), "forall")
    inner = [c or e for c, e in zip(d.chunk, d.extents, strict=True)]
    for k in range(len(inner)):
        if inner[k] > 1 and k != d.row:
            descend([0] * k + [1], "for")
    row_loop = ""
    if inner[d.row] > d.row_tile:
        descend([0] * d.row + [d.row_tile], "for")
        row_loop = f"%loop{level}"
    if d.reductions:
        steps += _reduce(d, f"%anchor{level}")
    if row_loop and inner[d.row] % d.row_tile:
        steps.append(f'  %cast = transform.cast {row_loop} : {OP} to !transform.op<"scf.for">')
        steps.append(f'  %main, %rest = transform.loop.peel %cast : (!transform.op<"scf.for">) -> ({OP}, {OP})')
    steps += [
        match_ops("%f", "func.func"),
        patterns("%f", "linalg.fold_unit_extent_dims_via_slices", "scf.for_loop_canonicalization", "canonicalization"),
        cse("%f"),
    ]
    return script(*steps)


def _reduce(d: BlockedDecisions, anchor: str) -> list[str]:
    tiled = [1 if extent > 1 else 0 for extent in d.reductions]
    if not any(tiled):
        return []
    parallel = [0] * (len(d.extents) + 2)
    loops = [f"%reduce{k}" for k, t in enumerate(tiled) if t]
    steps = [tile(anchor, "%step", loops, [*parallel, *tiled], "for")]
    if d.unroll:
        factors = [e for e in d.reductions if e > 1]
        steps += [
            f"  transform.loop.unroll {loop} {{factor = {factor}}} : {OP}"
            for loop, factor in reversed(list(zip(loops, factors, strict=True)))
        ]
    return steps
