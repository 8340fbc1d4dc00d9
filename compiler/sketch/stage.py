"""The loops of one root in a transform script, and what is computed inside of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansorc.dialect_passes.schedule.words import fuse, match_attribute, tile


@dataclass
class Stage:
    """A root that is tiled, level by level, with its anchor and its fill fused into every loop.

    Operations carry the attributes `ansorc.<name>root`, `ansorc.<name>anchor` and `ansorc.<name>fill`.
    """

    lines: list[str]
    """The script, which grows."""
    name: str
    """Empty for the only stage, or its name and a dot."""
    extents: list[int]
    """What the loops so far leave of the root's; inner loops that are never cut may be left out."""
    parts: tuple[str, ...] = ("anchor", "fill")
    """What is fused, in order."""
    handles: dict[str, str] = field(default_factory=dict[str, str])
    """The current handle of the root and each part."""
    level: int = 0

    def __post_init__(self) -> None:
        for part in ("root", *self.parts):
            if part in self.handles:
                continue
            self.handles[part] = self._fresh(part)
            self.lines.append(match_attribute(self.handles[part], f"ansorc.{self.name}{part}"))

    def descend(self, sizes: Sequence[int], kind: str) -> str:
        """Tile the root, and compute the parts inside; return the loop's handle, "" where nothing is cut.

        A size of 0 leaves a loop as it is.
        """
        cut = [0 if s in (0, e) else s for s, e in zip(sizes, self.extents, strict=True)]
        if not any(cut):
            return ""
        self.level += 1
        self.extents = [c or e for c, e in zip(cut, self.extents, strict=True)]
        while not cut[-1]:
            cut.pop()
        loop, root = self._fresh("loop"), self._fresh("root")
        self.lines.append(tile(self.handles["root"], root, [loop], cut, kind))
        self.handles["root"] = root
        for part in self.parts:
            loop = self.move(part, loop)
        return loop

    def walk(self, dim: int, size: int) -> str:
        """Loop over one dim; return as `descend` does."""
        return self.descend([size if k == dim else 0 for k in range(len(self.extents))], "for")

    def move(self, part: str, loop: str) -> str:
        """Compute a part, or the root, inside of a loop; return the loop's new handle."""
        self.level += 1
        fused, into = self._fresh(part), self._fresh("into")
        self.lines.append(fuse(self.handles[part], fused, loop, into))
        self.handles[part] = fused
        return into

    def enter(self, loop: str) -> str:
        """Compute the root and its parts inside of a loop of another stage; return the loop's new handle."""
        for part in ("root", *self.parts):
            loop = self.move(part, loop)
        return loop

    def apart(self, part: str) -> Stage:
        """Return a stage of its own for a part, which is tiled by itself from here on."""
        handles = {"root": self.handles[part]}
        return Stage(self.lines, f"{self.name}{part}.", list(self.extents), (), handles, self.level)

    def _fresh(self, word: str) -> str:
        return f"%{self.name.replace('.', '_')}{word}{self.level}"
