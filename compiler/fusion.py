"""Whether a chain of tasks becomes one: always, never, or where it was measured, or models promise, to take less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.options import NO_RECORDS, Options
from ansorc.compiler.program import Program, split_tasks
from ansorc.compiler.records.database import Fusion, Records
from ansorc.compiler.records.shipped import ShippedSchedules
from ansorc.compiler.sketch import plain_cost
from ansorc.compiler.sketch.chain import ChainKind
from ansorc.compiler.sketch.kinds import spaces
from ansorc.compiler.sketch.loop_nest import bytes_of
from ansorc.compiler.sketch.speeds import MEMORY_BYTES_A_CYCLE, without_last_cache
from ansorc.compiler.target import target_key, usable_cores
from ansorc.compiler.task_job import machine_of
from ansorc.dialect_passes.graph import pipeline
from ansorc.dialect_passes.graph.form_tasks import Fuse, never
from ansorc.dialect_passes.graph.outline import symbol_of
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import body, functions
from ansorc.dialect_passes.schedule.machine import Machine

TASK_CYCLES = 2_000.0
"""What a task more costs as threads meet once more; besides, what one wrote is read by others."""


def form_tasks(source: Program, fuse: Fuse) -> Program:
    """Run the graph passes on an imported model; `fuse` decides about chains."""
    weights = dict(source.weights)
    with context(), ir.Location.unknown():
        module = ir.Module.parse(source.main)
        pipeline.run(module, weights, fuse)
        return split_tasks(replace(source, weights=weights), module)


def fuses(options: Options) -> Fuse:
    """Return the decision that options ask for: by what is known of chains, else by models."""
    # What tasks write for each other takes room in it from others.
    machine = without_last_cache(machine_of(options.target))
    if options.fuse_chains == "never":
        return never
    if options.fuse_chains == "always":
        return lambda fused, parts: _chained(fused, machine) is not None
    known = known_fusions(options)

    def decide(fused: str, parts: Sequence[str]) -> bool:
        measured = known.get(symbol_of(fused))
        return _pays(fused, parts, machine) if measured is None else measured

    return decide


def known_fusions(options: Options) -> Mapping[str, bool]:
    """Return which chains were measured inside of a network on a machine like this one, and whether they are one task
    since: those of `options.records`, and those that are shipped.
    """
    if options.cold or options.records == NO_RECORDS:
        return {}
    threads, key = options.threads or usable_cores(), target_key(options.target)
    found: list[Fusion] = []
    with ShippedSchedules(options.target, threads) as shipped:
        found += shipped.fusions()
    if options.records is not None and Path(options.records).exists():
        with Records(Path(options.records)) as records:
            found += records.fusions()
    return {f.task: f.fuse for f in found if (f.target, f.threads) == (key, threads)}


def _pays(fused: str, parts: Sequence[str], machine: Machine) -> bool:
    together = _chained(fused, machine)
    if together is None:
        return False
    between = sum(TASK_CYCLES + _result_bytes(part) / MEMORY_BYTES_A_CYCLE for part in parts[:-1])
    return together < sum(_alone(part, machine) for part in parts) + between


@lru_cache(maxsize=256)
def _chained(text: str, machine: Machine) -> float | None:
    """Return the estimated cycles of a task as a chain; None where it does not fit that kind."""
    cycles = _choices(text, machine).get(ChainKind.name)
    if cycles is None:
        return None
    with context(), ir.Location.unknown():
        return cycles if kernel.plan(ir.Module.parse(text), machine, (ChainKind.name,)).kind == ChainKind.name else None


@lru_cache(maxsize=256)
def _alone(text: str, machine: Machine) -> float:
    choices = _choices(text, machine)
    if choices:
        return min(choices.values())
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        kernel.prepare(module)
        return plain_cost.estimate(next(functions(module)), machine)


@lru_cache(maxsize=256)
def _result_bytes(text: str) -> int:
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        return bytes_of(list(body(next(functions(module))).operations)[-1].operands[0])


def _choices(text: str, machine: Machine) -> dict[str, float]:
    """Return the fewest estimated cycles by kind."""
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        kernel.prepare(module)
        chosen = [(s.kind.name, s.choose()) for s in spaces(next(functions(module)), machine)]
        return {name: choice.cycles for name, choice in chosen if choice is not None}
