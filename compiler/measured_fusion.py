"""Which chains of tasks become one, by measuring: the network runs with all of them as one task, and with none.

    models     [A+B]  C   D       a task each for A, B, C and D; brackets are one task
    all         [A+B] [C+D]
    none         A B   C   D      --> of each chain the faster way, if all of them together are faster than the models'

Kernels have default schedules meanwhile: a search that tuned both ways would spend half of its time on what is given
up. What was found is kept in the records, so that whoever compiles with them forms the tasks that they are of.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from ansorc.compiler.fusion import form_tasks, fuses, known_fusions
from ansorc.compiler.measuring.running_network import VariantTimes
from ansorc.compiler.network_variants import Variant, run_variants
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.records.database import Fusion, Records
from ansorc.compiler.search.task import calls_of
from ansorc.compiler.target import runs_here, target_key, usable_cores
from ansorc.compiler.tuning import WINS, expected_seconds, records_file
from ansorc.dialect_passes.graph.form_tasks import Fuse
from ansorc.dialect_passes.graph.outline import symbol_of

LEAST_SECONDS = 60.0
"""Of a search: measuring compiles every chain in both ways, and most often agrees with the models."""
MOST_RUNS = 4
"""A chain that is given up may leave others to be measured: attention its scores with the softmax."""


@dataclass
class Noted:
    """A decision about chains that remembers what it was asked, and said."""

    fuse: Fuse
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Of each chain that may become one task."""
    fused: set[str] = field(default_factory=set[str])

    def __call__(self, fused: str, parts: Sequence[str]) -> bool:
        """Decide, and note it."""
        name = symbol_of(fused)
        self.parts[name] = tuple(map(symbol_of, parts))
        if self.fuse(fused, parts):
            self.fused.add(name)
            return True
        return False


def form_fastest_tasks(source: Program, options: Options) -> Program:
    """Form the tasks of an imported model that is about to be tuned, and keep in the records what was measured."""
    path = records_file(options)
    options = replace(options, records="none" if path is None else str(path))
    models = Noted(fuses(options))
    plain = form_tasks(source, models)
    here = options.cluster is None and not options.cold and runs_here(options.target)
    hurry = expected_seconds(options) < LEAST_SECONDS
    if options.fuse_chains != "auto" or not here or hurry or not models.parts:
        return plain
    every = Noted(fuses(replace(options, fuse_chains="always")))
    none = fuses(replace(options, fuse_chains="never"))
    programs = {p.main: p for p in (plain, form_tasks(source, every), form_tasks(source, none))}
    new = (models.fused | every.fused) - known_fusions(options).keys()
    if not new or len(programs) == 1:
        return plain
    chosen, best, measured, networks = models, plain, Faster(models.fuse, {}, {}), dict[str, float]()
    for _ in range(MOST_RUNS):
        timed = run_variants([Variant(p) for p in programs.values()], options)
        if not timed:
            return plain
        networks = dict(zip(programs, (t.network for t in timed), strict=True))
        seconds = seconds_of_calls(list(programs.values()), timed)
        measured = Faster(models.fuse, seconds, {**every.parts, **models.parts, **chosen.parts})
        chosen = Noted(measured)
        best = form_tasks(source, chosen)
        if best.main in programs:
            break
        programs[best.main] = best
    if best.main not in networks or networks[best.main] >= WINS * networks[plain.main]:
        chosen, best = models, plain
    if path is not None:
        target, threads = target_key(options.target), options.threads or usable_cores()
        with Records(Path(path)) as records:
            records.add_fusions(measured.fusions(chosen.fused, target, threads))
    return best


@dataclass(frozen=True)
class Faster:
    """Whether a chain takes less as one task; what was not measured both ways is left to the models."""

    models: Fuse
    seconds: Mapping[str, float]
    """Of a call of each task."""
    chains: Mapping[str, Sequence[str]]

    def __call__(self, fused: str, parts: Sequence[str]) -> bool:
        """Decide; what differs by no more than noise is the models' choice."""
        wanted, name = self.models(fused, parts), symbol_of(fused)
        together, apart = self.seconds.get(name), self.apart(name, [symbol_of(part) for part in parts])
        if together is None or apart is None:
            return wanted
        return together < apart / WINS if wanted else together < WINS * apart

    def apart(self, name: str, parts: Sequence[str]) -> float | None:
        """Return what the parts of a chain take, some of them as one task where that is faster."""
        others = {n: p for n, p in self.chains.items() if n != name and n in self.seconds}
        return fewest_seconds(parts, self.seconds, others) if all(p in self.seconds for p in parts) else None

    def fusions(self, fused: Collection[str], target: str, threads: int) -> Iterator[Fusion]:
        """Yield what was measured of all chains, where those of some names are to be one task."""
        for name, parts in self.chains.items():
            together, apart = self.seconds.get(name), self.apart(name, parts)
            if together is not None and apart is not None:
                yield Fusion(name, target, threads, name in fused, together, apart, time.time())


def seconds_of_calls(programs: Sequence[Program], timed: Sequence[VariantTimes]) -> Mapping[str, float]:
    """Return what a call of each task takes, on average over the programs that call it, with its share of what lies
    between calls.
    """
    found: dict[str, list[float]] = {}
    for program, times in zip(programs, timed, strict=True):
        calls = calls_of(program.main)
        between = max(0.0, times.network - sum(times.tasks.values())) / sum(calls.values())
        for name, together in times.tasks.items():
            found.setdefault(name, []).append(together / calls[name] + between)
    return {name: fmean(seconds) for name, seconds in found.items()}


def fewest_seconds(parts: Sequence[str], seconds: Mapping[str, float], chains: Mapping[str, Sequence[str]]) -> float:
    """Return what tasks behind each other take at least, where some of them may be one of these chains."""
    if not parts:
        return 0.0
    ways = [seconds[parts[0]] + fewest_seconds(parts[1:], seconds, chains)]
    for name, replaced in chains.items():
        if tuple(parts[: len(replaced)]) == tuple(replaced):
            ways.append(seconds[name] + fewest_seconds(parts[len(replaced) :], seconds, chains))
    return min(ways)
