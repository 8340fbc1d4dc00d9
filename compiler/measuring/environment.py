"""What a machine is that measures: kept with every search."""

from __future__ import annotations

import platform
from pathlib import Path

from ansorc.compiler.options import toolchain
from ansorc.compiler.target import parse_target, usable_cores

CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq")
CLOCK_FACTS = ("scaling_governor", "scaling_driver", "cpuinfo_min_freq", "cpuinfo_max_freq")


def environment() -> dict[str, object]:
    """Return processor, features, cores, system and versions of this machine.

    `clock` is what Linux says of the first core's: its limits in kHz, and who governs it.
    """
    target = parse_target("native")
    clock = {name: (CLOCK / name).read_text().strip() for name in CLOCK_FACTS if (CLOCK / name).exists()}
    return {
        "processor": processor(), "cpu": target.cpu, "features": target.features, "cores": usable_cores(),
        "clock": clock, "system": platform.platform(), "tools": toolchain(),
    }  # fmt: skip


def processor() -> str:
    """Return the name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
