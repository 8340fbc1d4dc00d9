"""Targets: what their names mean, and what is said about the others."""

import pytest

from ansorc.compiler.errors import NotYetError, UnknownTargetError
from ansorc.compiler.sketch.speeds import MEMORY_BYTES_A_CYCLE, behind_l1, without_last_cache
from ansorc.compiler.sketch.traffic import Traffic
from ansorc.compiler.target import known_targets, parse_target, runs_here
from ansorc.compiler.task_job import machine_of
from ansorc.dialect_passes.schedule.machine import Machine


def test_avx512_uses_whole_vectors() -> None:
    target = parse_target("skylake-avx512")
    assert (target.vector_bits, target.vector_registers) == (512, 32)
    assert "-prefer-256-bit" in target.features
    assert target.lanes(4) == 16
    assert target.lanes(8) == 8
    assert not target.native


@pytest.mark.parametrize(
    ("name", "arch", "bits"),
    [
        ("haswell", "x86_64", 256),
        ("x86-64-v3", "x86_64", 256),
        ("x86-64-v4", "x86_64", 512),
        ("znver4", "x86_64", 512),
        ("apple-m1", "aarch64", 128),
        ("neoverse-n1", "aarch64", 128),
        ("neoverse-v1", "aarch64", 256),
        ("a64fx", "aarch64", 512),
        ("x86_64-linux-gnu", "x86_64", 128),
        ("aarch64-linux-gnu", "aarch64", 128),
    ],
)
def test_names_and_triples(name: str, arch: str, bits: int) -> None:
    target = parse_target(name)
    assert (target.arch, target.vector_bits) == (arch, bits)


def test_every_known_target_parses() -> None:
    for name in known_targets():
        assert parse_target(name, host=lambda: ("haswell", "+avx2")).triple


def test_native_follows_the_flags_and_not_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    wide = parse_target("native", host=lambda: ("haswell", "+avx,+avx512f,+avx512vl"))
    assert wide.vector_bits == 512
    assert wide.features.endswith(",-prefer-256-bit")
    masked = parse_target("native", host=lambda: ("skylake-avx512", "+avx,+avx2,-avx512f"))
    assert (masked.vector_bits, masked.vector_registers) == (256, 16)
    assert masked.cores
    assert masked.native


def test_a_shared_cache_is_near_or_far() -> None:
    """AMD's cores read the cache that eight of them share as fast as others do their own second one."""
    avx512 = "+avx,+avx2,+fma,+avx512f,+avx512vl"
    near, far = (parse_target("native", lambda f=flags: ("some-cpu", f)) for flags in (f"{avx512},+sse4a", avx512))
    assert near.caches.l3_bytes_a_cycle == parse_target("znver4").caches.l3_bytes_a_cycle
    assert near.caches.l3_bytes_a_cycle > far.caches.l3_bytes_a_cycle
    touched = 4 << 20  # more than the second cache holds
    assert behind_l1(machine_of(near), touched) == 2 * near.caches.l3_bytes_a_cycle  # half as many FMA a cycle
    assert behind_l1(machine_of(far), touched) == far.caches.l3_bytes_a_cycle
    assert behind_l1(machine_of(near), 4 << 30) == behind_l1(machine_of(far), 4 << 30) == MEMORY_BYTES_A_CYCLE


def test_weights_come_from_memory_and_the_rest_from_the_last_cache() -> None:
    near = Machine(64, 32, True, l3_bytes_a_cycle=24.0)
    weights, values = Traffic(4e6, 0, 0, 0), Traffic(0, 0, 4e6, 4e6)
    assert weights.cycles(near) == weights.cycles(without_last_cache(near)) == 4e6 / MEMORY_BYTES_A_CYCLE
    assert values.cycles(near) == 4e6 / 24
    assert values.cycles(without_last_cache(near)) == 4e6 / MEMORY_BYTES_A_CYCLE
    small = Traffic(1e5, 0, 1e5, 1e5)
    assert (small.total(near), weights.total(near)) == (5e4, 4e6)  # half of the second cache holds one of them


def test_levels_run_where_a_processor_has_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    v2 = "+cx16,+popcnt,+sse3,+sse4.1,+sse4.2,+ssse3"
    v3 = f"{v2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,-avx512f"

    def levels(features: str) -> list[str]:
        names = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
        return [n for n in names if runs_here(parse_target(n), host=lambda: ("cpu", features))]

    assert levels("") == ["x86-64"]
    assert levels(v2) == ["x86-64", "x86-64-v2"]
    assert levels(v3) == ["x86-64", "x86-64-v2", "x86-64-v3"]
    assert levels(f"{v3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl")[-1] == "x86-64-v4"
    assert runs_here(parse_target("native"))
    assert not runs_here(parse_target("haswell"), host=lambda: ("haswell", v3))  # its name promises more than a level
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not runs_here(parse_target("x86-64"), host=lambda: ("neoverse-n1", ""))


def test_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTargetError, match=r"Did you mean 'haswell'.*neoverse-n1"):
        parse_target("hasswell")


@pytest.mark.parametrize("name", ["cuda", "cuda:sm_90"])
def test_cuda_is_reserved(name: str) -> None:
    with pytest.raises(NotYetError, match="not available yet"):
        parse_target(name)
