"""`ansorc-bench peak`: the limits of the machine, measured with tiny durations on tiny caches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ansorc.compiler.target import parse_target
from ansorc.tools.bench_peak import limits_text
from ansorc.tools.limit_kernels import LimitKernels
from ansorc.tools.limits import Cache, Level, Limits, empty_step, measure_limits, read_caches

pytestmark = pytest.mark.alone

CACHES = (Cache("L1", 16 << 10, 1), Cache("L2", 256 << 10, 1))
LEVELS = (Level("L1", 1000, 90, 160), Level("L2", 10_000, 50, 80), Level("memory", 100_000, 10, 10))
LIMITS = Limits("cpu", 2, 256, 50, 100, LEVELS, 8, 9, None)


@pytest.fixture(scope="module")
def kernels() -> LimitKernels:
    return LimitKernels(parse_target("native"))


@pytest.mark.parametrize("threads", [1, 2])
def test_all_limits_are_positive(threads: int) -> None:
    limits = measure_limits(threads, duration=1e-4, repeats=1, caches=CACHES)
    assert [level.name for level in limits.levels] == ["L1", "L2", "memory"]
    sizes = [level.size for level in limits.levels]
    assert sizes == sorted(sizes)
    rates = [limits.fma_one_core, limits.fma_all_cores, limits.copy_one_core, limits.copy_all_cores]
    rates += [rate for level in limits.levels for rate in (level.one_core, level.all_cores)]
    assert all(rate > 0 for rate in rates)
    assert "memory" in limits_text(limits)


def test_an_empty_step_takes_time() -> None:
    assert (empty_step(2, 1e-4, 1) or 1) > 0


def test_kernels_do_what_is_counted(kernels: LimitKernels) -> None:
    source, target = kernels.buffer(1 << 14), kernels.buffer(1 << 14)
    source[:] = np.arange(source.size)
    assert kernels.copy(source, target, 1) == 2 * source.nbytes
    assert (target == -source).all()
    source[:] = 1
    assert kernels.read(source, 3) == 3 * source.nbytes
    assert source.sum() == source.size - 8 * kernels.lanes + 3 * source.size  # the sums end in the first vectors
    assert kernels.fma(kernels.buffer(1 << 14), 10) == 2 * 10 * kernels.accumulators * kernels.lanes


def test_buffers_are_aligned(kernels: LimitKernels) -> None:
    for size in (1, 1000, 1 << 16):
        buffer = kernels.buffer(size)
        assert buffer.ctypes.data % 64 == 0
        assert buffer.size % (8 * kernels.lanes) == 0


def test_caches_are_read_from_the_system(tmp_path: Path) -> None:
    facts = [
        ("Data", 1, "48K", "0"),
        ("Instruction", 1, "64K", "0"),
        ("Unified", 2, "2M", "0,4"),
        ("Unified", 3, "32M", "0-7"),
    ]
    for k, fact in enumerate(facts):
        (tmp_path / f"index{k}").mkdir()
        for name, value in zip(("type", "level", "size", "shared_cpu_list"), fact, strict=True):
            (tmp_path / f"index{k}" / name).write_text(f"{value}\n")
    assert read_caches(tmp_path) == (Cache("L1", 48 << 10, 1), Cache("L2", 2 << 20, 2), Cache("L3", 32 << 20, 8))
    assert read_caches(tmp_path / "nothing")[0].size > 0


def test_the_bound_is_arithmetic_or_the_smallest_level_that_holds_the_data() -> None:
    assert LIMITS.bandwidth(1000) == 160
    assert LIMITS.bandwidth(1001) == 80
    assert LIMITS.bandwidth(10**9) == 10
    assert LIMITS.least_ms(10**9, 1000) == pytest.approx(10)
    assert LIMITS.least_ms(2000, 20_000) == pytest.approx(0.002)
    assert LIMITS.least_ms(0, 20_000) == pytest.approx(0.002)
    assert LIMITS.memory_ms(1000) == pytest.approx(1e-3 * 1000 / (1e6 * LEVELS[-1].all_cores) * 1e3)


def test_the_table_says_where_nothing_can_link() -> None:
    assert "nothing here can link" in limits_text(LIMITS)
    assert "1234" in limits_text(replace(LIMITS, step_ns=1234.4))
