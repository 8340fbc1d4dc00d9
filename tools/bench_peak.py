"""`ansorc-bench peak`: the limits that every other figure is divided by."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ansorc.compiler.target import usable_cores
from ansorc.tools.limits import Limits, measure_limits
from ansorc.tools.measure import BUSY_CORES, processor, undisturbed


@click.command()
@click.option("--threads", default=0, help="Cores beside one [default: all].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def peak(threads: int, as_json: bool) -> None:
    """Measure arithmetic, bandwidth and parallel steps of this machine.

    FMA is f32 multiply-adds on the widest vectors. Bandwidths are of reading a working set that the level holds;
    copy counts bytes read and bytes written. Each figure is a median. Where other processes disturb, all
    is measured again, three times at most.
    """
    limits, others = undisturbed(lambda: measure_limits(threads or usable_cores()))
    click.echo(json.dumps(asdict(limits)) if as_json else f"{processor()}\n{limits_text(limits)}")
    if others > BUSY_CORES:
        click.echo(too_low(limits, others), err=True)


def too_low(limits: Limits, others: float) -> str:
    """Return a warning that other processes disturbed the measurement."""
    return f"other processes used {others:.1f} cores: the figures of {limits.threads} cores are too low"


def limits_text(limits: Limits) -> str:
    """Return a table of the limits."""
    many = f"{limits.threads} cores"
    lines = [
        f"{limits.cpu}, vectors of {limits.vector_bits} bits",
        f"{'':<22} {'1 core':>10} {many:>10}",
        f"{'FMA f32':<14} {'GFLOP/s':>7} {limits.fma_one_core:>10.1f} {limits.fma_all_cores:>10.1f}",
    ]
    lines += [
        f"{f'read {level.name}':<14} {'GB/s':>7} {level.one_core:>10.1f} {level.all_cores:>10.1f}"
        f"   {_size(level.size)}{'' if level.name == 'memory' else f' for {many}'}"
        for level in limits.levels
    ]
    lines.append(f"{'copy memory':<14} {'GB/s':>7} {limits.copy_one_core:>10.1f} {limits.copy_all_cores:>10.1f}")
    step = "nothing here can link" if limits.step_ns is None else f"{limits.step_ns:>10.0f}"
    lines.append(f"{'parallel step':<14} {'ns':>7} {'':>10} {step}")
    return "\n".join(lines)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size / (1 << 10):.0f} KiB"
