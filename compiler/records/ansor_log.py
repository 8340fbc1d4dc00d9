"""Lines of the original Ansor's logs (TVM's auto_scheduler, v0.2 to v0.6), and the decisions that they stand for.

Its programs are not ours: tiles of the structure SSRSRS (OSDI'20, 4.1) become those of the register-tiled sketch that
are most like them. What was measured so teaches a cost model which tiles are fast, and is no time of our schedules.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.dialect_passes.schedule.border import EACH_CHUNK, STEP_BEFORE

COMMENT = "#"
SPATIAL_LENGTHS, REDUCTION_LENGTHS = 3, 1
"""Inner extents of a spatial loop split in four (SSRSRS), and of a reduction split in two."""
PARALLEL = 3
"""The annotation (AN) of a parallel loop."""
PADDED = 1
"""The stage that pads, right behind the input."""
_CPU = re.compile(r"-mcpu=(\S+)")
Steps = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Split:
    """A loop of the anchor: its extent and those of its inner levels, outermost first."""

    extent: int
    inner: tuple[int, ...]


@dataclass(frozen=True)
class Tiling:
    """What Ansor did with the loops of an anchor."""

    spatial: tuple[Split, ...]
    reductions: tuple[Split, ...]
    fused: int
    """Loops, of the outermost levels, whose iterations run in parallel."""
    border: int | None
    """Who pads, as decisions say it; None where the padding was inlined, or there is none."""


@dataclass(frozen=True)
class Line:
    """One program that Ansor measured."""

    workload: str
    """The function that defined it, or the hash of what Relay made."""
    arguments: tuple[Any, ...]
    compiler: str
    """`llvm` for CPUs, or one for GPUs."""
    cpu: str
    """LLVM's name of the processor; empty where the target does not name one."""
    threads: int
    """0: lines before v0.5 do not say."""
    tiling: Tiling | None
    """None: no stage has tiles of the structure SSRSRS."""
    seconds: float | None
    """The mean of its runs; None if it failed."""
    created: float


def is_log(first: str) -> bool:
    """Whether this is the first line of such a log, as far as one can tell."""
    try:
        raw = json.loads(first)
    except ValueError:
        return first.startswith(COMMENT)
    return isinstance(raw, dict) and {"i", "r", "v"} <= raw.keys()


def from_line(text: str) -> Line:
    """Read a line, its steps with it; raises ValueError for what is none."""
    try:
        raw = json.loads(text)
        (key, target, *hardware), (_, steps) = raw["i"]
        costs, error, _, created, *_ = raw["r"]
        workload, *arguments = json.loads(key)
        compiler, *_ = target.split()
        threads = int(hardware[0][0]) if hardware else 0
        seconds = None if error else sum(costs) / len(costs)
        if seconds is not None and not 0 < seconds < inf:
            raise ValueError(f"a program that took {seconds} s")
        tiling, when = _tiling(steps), float(created)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as wrong:
        raise ValueError(f"not a line of Ansor's logs: {type(wrong).__name__}: {wrong}") from wrong
    cpu = _CPU.search(target)
    return Line(
        str(workload),
        tuple(arguments),
        compiler,
        cpu[1] if cpu else "",
        max(0, threads),
        tiling,
        seconds,
        when,
    )


def _tiling(steps: Steps) -> Tiling | None:
    """Return how the anchor is tiled; None where no stage has tiles of the structure SSRSRS."""
    splits = [s for s in steps if s[0] == "SP"]
    tiled = Counter(s[1] for s in splits if len(s[4]) == SPATIAL_LENGTHS)
    if not tiled:
        return None
    ((anchor, _),) = tiled.most_common(1)
    mine = [_split(s[3], s[4]) for s in splits if s[1] == anchor]
    # Where the results leave registers in a stage of their own, that one's outer loops are the parallel ones.
    stages = {anchor, *(s[1] for s in steps if s[0] == "FSP")}
    parallel = {s[1] for s in steps if s[0] == "AN" and s[2] == 0 and s[3] == PARALLEL} & stages
    fused = [len(s[2]) for s in steps if s[0] == "FU" and s[1] in parallel and 0 in s[2]]
    places = [s[0] for s in steps if s[0] in {"CA", "CR"} and s[1] == PADDED]
    return Tiling(
        tuple(s for s in mine if len(s.inner) == SPATIAL_LENGTHS),
        tuple(s for s in mine if len(s.inner) == REDUCTION_LENGTHS),
        max(fused, default=len(parallel)),
        {"CA": EACH_CHUNK, "CR": STEP_BEFORE}[places[-1]] if places else None,
    )


def _split(extent: Any, inner: Sequence[Any]) -> Split:
    """Return a split whose numbers are numbers; an extent of 0 is one that Ansor did not know."""
    if not all(isinstance(n, int) and n >= least for n, least in ((extent, 0), *((n, 1) for n in inner))):
        raise ValueError(f"a loop of {extent!r} iterations is split by {inner!r}")
    return Split(extent, tuple(inner))


def decisions_of(tiling: Tiling, space: TaskSpace[Any]) -> Mapping[str, int] | None:
    """Return the legal decisions that are most like a tiling; None where the space is of other loops.

    Ansor's innermost level is what it keeps in registers, and the levels below the parallel loops are our chunk.
    """
    loops, extents = tiling.spatial, space.sketch.parallel
    numbers = [k for k, extent in enumerate(extents) if extent > 1]
    long = [(j, s) for j, s in enumerate(loops) if s.extent > 1]
    reductions = [s.extent for s in tiling.reductions if s.extent > 1]
    same = [s.extent for _, s in long] == [extents[k] for k in numbers]
    if not same or not numbers or reductions != [e for e in space.sketch.reductions if e > 1]:
        return None
    wanted: dict[str, int] = {}
    for k, (j, split) in zip(numbers, long, strict=True):
        wanted[f"tile_{k}"] = split.inner[-1]
        wanted[f"chunk_{k}"] = _in_a_chunk(split, j, len(loops), tiling.fused)
    channels = len(extents) - 1
    width, chunk = wanted.pop(f"tile_{channels}", 1), wanted.pop(f"chunk_{channels}", 1)
    lanes = min(space.machine.lanes(space.nest.element_bytes), width)
    wanted |= {"lanes": lanes, "vectors": max(1, width // lanes), "chunk_blocks": max(1, chunk // width)}
    if tiling.reductions:
        wanted["unroll"] = tiling.reductions[-1].inner[-1]
    if tiling.border is not None:
        wanted["border"] = tiling.border
    return space.nearest(wanted)


def _in_a_chunk(split: Split, place: int, loops: int, fused: int) -> int:
    """Return how many iterations of a loop one parallel iteration has: all levels but those that are fused."""
    if place >= fused:
        return split.extent
    return prod(split.inner[1:] if fused > loops + place else split.inner)
