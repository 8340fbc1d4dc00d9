"""The machine that code is made for."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansorc.compiler.errors import NotYetError, UnknownTargetError

X86_LINUX = "x86_64-unknown-linux-gnu"
ARM_LINUX = "aarch64-unknown-linux-gnu"
ARM_MACOS = "arm64-apple-macosx11.0.0"

AVX512_FEATURES = "-prefer-256-bit"
"""LLVM's models of AVX-512 machines prefer half vectors; our kernels gain from whole ones."""


NEAR_L3_BYTES_A_CYCLE = 24.0
"""Of processors whose cores share the last cache in groups of eight, as AMD's do; others have it far apart."""


@dataclass(frozen=True)
class Caches:
    """Bytes of the caches that a core has; what is not known of a processor is what most have at least."""

    l1: int = 32 << 10
    l2: int = 1 << 20
    l3: int = 16 << 20
    """That all cores share."""
    l3_bytes_a_cycle: float = 8.0
    """What a core reads of it in a cycle while others do, too."""


@dataclass(frozen=True)
class Target:
    """A processor and the system it runs, in LLVM's words."""

    triple: str
    cpu: str
    features: str
    """LLVM's attribute string, such as "+avx2,-prefer-256-bit"; what it omits follows the CPU."""
    vector_bits: int
    vector_registers: int
    caches: Caches = Caches()
    cores: int | None = None
    """Cores that this process may use if the target is this machine, otherwise None."""
    fma_ports: int = 2
    """Multiply-adds of whole vectors that begin in a cycle."""

    @property
    def arch(self) -> str:
        """`x86_64` or `aarch64`."""
        first = self.triple.split("-", 1)[0]
        return "aarch64" if first == "arm64" else first

    @property
    def native(self) -> bool:
        """Whether it was asked for as the machine that the compiler runs on."""
        return self.cores is not None

    def lanes(self, element_bytes: int) -> int:
        """Return how many elements one vector register holds."""
        return max(1, self.vector_bits // (8 * element_bytes))


def _x86(cpu: str, bits: int) -> Target:
    features = AVX512_FEATURES if bits == 512 else ""
    caches = Caches(l3_bytes_a_cycle=NEAR_L3_BYTES_A_CYCLE) if cpu.startswith("znver") else Caches()
    return Target(
        X86_LINUX, cpu, features, bits, 32 if bits == 512 else 16, caches, fma_ports=1 if cpu == "znver4" else 2
    )


def _arm(cpu: str, triple: str = ARM_LINUX, bits: int = 128) -> Target:
    return Target(triple, cpu, "+sve" if bits > 128 else "", bits, 32)


_CPUS: dict[str, Target] = {
    **{cpu: _x86(cpu, 128) for cpu in ("x86-64", "x86-64-v2", "nehalem", "westmere")},
    **{
        cpu: _x86(cpu, 256)
        for cpu in (
            *("x86-64-v3", "sandybridge", "ivybridge", "haswell", "broadwell", "skylake"),
            *("alderlake", "raptorlake", "meteorlake", "znver1", "znver2", "znver3"),
        )
    },
    **{
        cpu: _x86(cpu, 512)
        for cpu in (
            *("x86-64-v4", "skylake-avx512", "cascadelake", "cooperlake", "icelake-client"),
            *("icelake-server", "rocketlake", "tigerlake", "sapphirerapids", "emeraldrapids"),
            *("graniterapids", "znver4", "znver5"),
        )
    },
    **{
        cpu: _arm(cpu)
        for cpu in (
            *("cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a73", "cortex-a76"),
            *("cortex-a78", "cortex-x1", "neoverse-n1", "neoverse-n2", "neoverse-v2", "ampere1"),
        )
    },
    # SVE registers longer than NEON's; those of the others that have SVE are as long.
    **{cpu: _arm(cpu, bits=bits) for cpu, bits in (("neoverse-v1", 256), ("a64fx", 512))},
    **{cpu: _arm(cpu, ARM_MACOS) for cpu in ("apple-m1", "apple-m2", "apple-m3", "apple-m4")},
}

# A triple alone promises no more than the oldest processor of its kind.
_TRIPLES: dict[str, Target] = {
    "x86_64-linux-gnu": _x86("x86-64", 128),
    "x86_64-unknown-linux-gnu": _x86("x86-64", 128),
    "aarch64-linux-gnu": _arm("generic"),
    "aarch64-unknown-linux-gnu": _arm("generic"),
    "arm64-apple-macosx": _arm("apple-m1", ARM_MACOS),
    "aarch64-apple-darwin": _arm("apple-m1", ARM_MACOS),
}


_V2 = "cx16 popcnt sse3 sse4.1 sse4.2 ssse3"
_V3 = f"{_V2} avx avx2 bmi bmi2 f16c fma lzcnt movbe"
_LEVELS = {
    "x86-64": "",
    "x86-64-v2": _V2,
    "x86-64-v3": _V3,
    "x86-64-v4": f"{_V3} avx512f avx512bw avx512cd avx512dq avx512vl",
}
"""What the levels of the x86-64 psABI need of a processor."""


def known_targets() -> tuple[str, ...]:
    """List what `parse_target` accepts."""
    return ("native", *_CPUS, *_TRIPLES)


def parse_target(text: str, host: Callable[[], tuple[str, str]] | None = None) -> Target:
    """Return the target that a user named.

    `host` returns this machine's CPU name and feature string ("+avx2,-avx512f,...").
    """
    if text == "native":
        return _native(host)
    if text == "cuda" or text.startswith("cuda:"):
        raise NotYetError(f"target {text!r}", "choose a CPU target, such as native")
    found = _CPUS.get(text) or _TRIPLES.get(text)
    if found is None:
        raise UnknownTargetError(text, known_targets())
    return found


def runs_here(target: Target, host: Callable[[], tuple[str, str]] | None = None) -> bool:
    """Return whether this machine can run code for a target: its own, or a level of x86-64 that it has."""
    if target.native or target.cpu not in _LEVELS:
        return target.native
    here = _native(host)
    return target.triple == here.triple and set(_LEVELS[target.cpu].split()) <= _flags(here.features)


def target_name(target: Target) -> str:
    """Return a text that `parse_target` makes this target of; `native` if none else does."""
    return next((text for text, known in {**_CPUS, **_TRIPLES}.items() if known == target), "native")


def _native(host: Callable[[], tuple[str, str]] | None) -> Target:
    if host is None:
        from ansorc.runtime.llvm_binding import host_cpu

        host = host_cpu
    cpu, features = host()
    # The name alone misleads: virtual machines mask it. The flags are what the kernel may use.
    flags = _flags(features)
    machine = platform.machine().lower()
    cores, caches = usable_cores(), _caches(Path("/sys/devices/system/cpu/cpu0/cache"), flags)
    if machine in {"arm64", "aarch64"}:
        triple = ARM_MACOS if sys.platform == "darwin" else ARM_LINUX
        return Target(triple, cpu, features, 128, 32, caches, cores)
    if "avx512f" in flags and "avx512vl" in flags:
        wide = ",".join(part for part in (features, AVX512_FEATURES) if part)
        return Target(X86_LINUX, cpu, wide, 512, 32, caches, cores, fma_ports=1 if _halves_vectors(flags) else 2)
    return Target(X86_LINUX, cpu, features, 256 if "avx" in flags else 128, 16, caches, cores)


def _halves_vectors(flags: set[str]) -> bool:
    """Whether a processor with AVX-512 takes two cycles for a vector of 512 bits: Zen 4, but not its successor."""
    return "sse4a" in flags and "avx512vp2intersect" not in flags


def _flags(features: str) -> set[str]:
    return {flag[1:] for flag in features.split(",") if flag.startswith("+")}


def _caches(folder: Path, flags: set[str]) -> Caches:
    """Read what Linux knows of the first core's data caches; how fast the last of them is, nobody says."""
    found: dict[str, int] = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and size.endswith("K"):
            found[f"l{level}"] = int(size[:-1]) << 10
    speed = NEAR_L3_BYTES_A_CYCLE if "sse4a" in flags else Caches.l3_bytes_a_cycle
    return Caches(**{name: found[name] for name in ("l1", "l2", "l3") if name in found}, l3_bytes_a_cycle=speed)


def usable_cores() -> int:
    """Return the number of cores in this process's affinity mask."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def target_key(target: Target, *, network: bool = False, cold: bool = False, imported: bool = False) -> str:
    """Name a processor, and the state of its caches, as records do: times on one are no times on another.

    In a `network` a task's weights are where the other tasks' left room for them. Nor are times of another compiler's
    programs (`imported`) those of ours.
    """
    digest = hashlib.sha256(f"{target.triple} {target.cpu} {target.features}".encode()).hexdigest()
    state = f"{'-network' * network}{'-cold' * cold}{'-imported' * imported}"
    return f"{target.cpu}-{target.vector_bits}-{digest[:12]}{state}"


def warm_keys(target: Target, *, network: bool = False) -> tuple[str, str]:
    """Return the keys of times that were taken in a network and alone; those of where a task will run come first."""
    return target_key(target, network=network), target_key(target, network=not network)
