"""Whether threads share the rows of a task's chunks, so that its input stays with a core, or all chunks alike.

    8 blocks of channels, 7 of rows; two threads
    rows:    each takes all blocks of 3 rows, and half of those of the 4th, as in the tasks before and after
    chunks:  each takes 4 blocks of all rows: half of the weights, and what the other core wrote, too

A line that both cores have read is slow to write again: 4 ns where they share a cache, 15 where they do not (Zen 4,
`tests/native/shared_lines.c`).
"""

from ansorc.compiler.sketch.kind import Values
from ansorc.compiler.sketch.loop_nest import LoopNest

MOST_WEIGHTS = 8
"""Bytes of weights for each of input, beyond which reading all of them on every core takes longer."""


def chunk_columns(nest: LoopNest, values: Values) -> int:
    """Return how many chunks read the same input, if threads share rows of them; 1 if they share all chunks."""
    channel = len(nest.outer)
    weights = sum(o.size for o in nest.operands[:-1] if o.strides[channel]) if nest.contraction else 0
    inputs = sum(o.size for o in nest.operands[:-1] if not o.strides[channel])
    blocks = nest.parallel[-1] // (values["lanes"] * values["vectors"])
    # A script that was written by hand does not say how it cuts.
    cut = values.get("chunk_blocks", blocks)
    return blocks // cut if weights <= MOST_WEIGHTS * inputs else 1
