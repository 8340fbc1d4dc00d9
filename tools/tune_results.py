"""What a search has found: each task's best program, and how near it is to the peak."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ansorc.compiler.network_variants import Variant, run_variants
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.search.task import calls_of
from ansorc.compiler.search.tuner import Tuned
from ansorc.tools.limits import Limits


def result_lines(title: str, tuned: Tuned, limits: Limits, options: Options) -> Iterable[str]:
    """Return what was found: for each task its best program, its time and how near that is to the peak."""
    peak = limits.fma_one_core if options.threads == 1 else limits.fma_all_cores
    total = 0.0
    for progress in tuned.progress:
        task = progress.task
        if task.name not in tuned.best:
            yield f"{task.name} {task.shape}: default ({progress.dead or 'no trial'})"
            continue
        candidate, seconds = tuned.best[task.name], tuned.seconds[task.name]
        total += task.weight * seconds
        gflops = task.flops / seconds / 1e9
        yield f"{task.name} {task.shape} x{task.weight}: {1e3 * seconds:.4f} ms, {gflops:.1f} GFLOP/s, " + (
            f"{100 * gflops / peak:.0f}% of the FMA peak; {candidate.sketch.kind}"
        )
        yield from program_lines(json.loads(candidate.to_json()))
    yield f"{title}: {1e3 * total:.4f} ms"


def network_lines(sources: Iterable[Program], tuned: Tuned, options: Options) -> Iterable[str]:
    """Return what the tasks of each network take together, and what it takes when it runs, beside default schedules."""
    for source in sources:
        calls = calls_of(source.main)
        together = sum(count * tuned.seconds.get(name, 0.0) for name, count in calls.items())
        line = f"{source.name}: tasks alone {1e3 * together:.4f} ms"
        best = {name: candidate for name, candidate in tuned.best.items() if name in source.code}
        here = options.cluster is None and not options.cold and not tuned.interrupted
        timed = run_variants([Variant(source), Variant(source, best)], options) if here else ()
        if timed:
            default, chosen = timed
            line += f", in the network {1e3 * sum(chosen.tasks.values()):.4f} ms; "
            line += f"it runs {1e3 * chosen.network:.4f} ms, with default schedules {1e3 * default.network:.4f} ms"
        yield line


def program_lines(raw: dict[str, dict[str, object]]) -> Iterable[str]:
    """Return the steps of a candidate with its numbers in their places."""
    decisions = raw["decisions"]

    def filled(field: object) -> str:
        if isinstance(field, list):
            return "[" + ", ".join(filled(f) for f in field) + "]"
        return f"{field}={decisions[field]}" if isinstance(field, str) and field in decisions else str(field)

    for name, *fields in raw["sketch"]["steps"]:  # pyright: ignore[reportGeneralTypeIssues]
        yield f"    {name:<12} {' '.join(filled(f) for f in fields)}"
