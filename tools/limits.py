"""What this machine can do at most, measured: arithmetic, bandwidth of every memory, an empty parallel step."""

from __future__ import annotations

import ctypes
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.target import parse_target
from ansorc.runtime import linking
from ansorc.runtime.errors import RuntimeFailure
from ansorc.tools.limit_kernels import LimitKernels

DURATION, REPEATS = 0.02, 7
WARM_UP_DURATIONS = 10
GIGA = 1e9
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
LEAST_MEMORY, MOST_MEMORY = 64 << 20, 1 << 30
STEPS = 1000
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Cache:
    """A level of cache, as the system describes it."""

    name: str
    size: int
    """Bytes of one such cache."""
    cores: int
    """How many cores share it."""


UNKNOWN_CACHES = (Cache("L1", 32 << 10, 1), Cache("L2", 1 << 20, 1), Cache("L3", 32 << 20, 1 << 10))
"""Where the system says nothing."""


@dataclass(frozen=True)
class Level:
    """A level of memory, and how fast it is read (GB/s)."""

    name: str
    size: int
    """Bytes that it holds for all threads together; for memory, bytes that they read."""
    one_core: float
    all_cores: float


@dataclass(frozen=True)
class Limits:
    """The limits of this machine in this run; "all" is `threads` cores."""

    cpu: str
    threads: int
    vector_bits: int
    fma_one_core: float
    """GFLOP/s of f32 multiply-adds."""
    fma_all_cores: float
    levels: tuple[Level, ...]
    """From the smallest cache to memory."""
    copy_one_core: float
    """GB/s read and written, from memory to memory."""
    copy_all_cores: float
    step_ns: float | None
    """Nanoseconds of an empty parallel step of the runtime's pool; None where nothing can link."""

    def bandwidth(self, size: int) -> float:
        """Return the GB/s of the smallest level that holds `size` bytes."""
        return next((level.all_cores for level in self.levels if size <= level.size), self.levels[-1].all_cores)

    def least_ms(self, flops: int, size: int) -> float:
        """Return the milliseconds below which no computation of so many operations that touches `size` bytes gets."""
        return max(flops / self.fma_all_cores, size / self.bandwidth(size)) / (GIGA / 1e3)

    def memory_ms(self, size: int) -> float:
        """Return the milliseconds in which all cores read `size` bytes that no cache holds."""
        return size / self.levels[-1].all_cores / (GIGA / 1e3)


def measure_limits(
    threads: int, *, duration: float = DURATION, repeats: int = REPEATS, caches: Sequence[Cache] | None = None
) -> Limits:
    """Measure the limits of one core, and of `threads` cores at once.

    A figure is the median of `repeats` measurements that take at least `duration` seconds each.
    """
    target = parse_target("native")
    kernels = LimitKernels(target)
    caches = read_caches() if caches is None else caches

    def rate(works: Sequence[Callable[[int], int]]) -> float:
        return _rate(works, duration, repeats) / GIGA

    def both(works: Callable[[int], Sequence[Callable[[int], int]]]) -> tuple[float, float]:
        one = rate(works(1))
        return one, one if threads == 1 else rate(works(threads))

    def reads(size: Callable[[int], int]) -> Callable[[int], Sequence[Callable[[int], int]]]:
        return lambda n: [_partial(kernels.read, kernels.buffer(size(n))) for _ in range(n)]

    fma = both(lambda n: [_partial(kernels.fma, kernels.buffer(1 << 14)) for _ in range(n)])
    levels: list[Level] = []
    below = 0
    for cache in caches:
        sharers = min(threads, cache.cores)
        read = both(reads(lambda n, c=cache, b=below: _working_set(c, b, min(n, c.cores))))
        levels.append(Level(cache.name, cache.size * math.ceil(threads / sharers), *read))
        below = cache.size
    memory = _memory_bytes(below, threads)
    levels.append(Level("memory", memory * threads, *both(reads(lambda n: memory))))

    def copies(n: int) -> list[Callable[[int], int]]:
        return [_partial(kernels.copy, kernels.buffer(memory // 2), kernels.buffer(memory // 2)) for _ in range(n)]

    copy = both(copies)
    step = empty_step(threads, duration, repeats)
    return Limits(target.cpu, threads, target.vector_bits, *fma, tuple(levels), *copy, step)


def read_caches(folder: Path = CACHES) -> tuple[Cache, ...]:
    """Return the data caches of the first core, from the smallest to the largest."""
    found: list[Cache] = []
    for index in sorted(folder.glob("index*")):
        facts = {name: _text(index / name) for name in ("type", "level", "size", "shared_cpu_list")}
        if facts["type"] in {"Data", "Unified"} and facts["size"][:-1].isdecimal():
            size = int(facts["size"][:-1]) * UNITS[facts["size"][-1]]
            found.append(Cache(f"L{facts['level']}", size, _count(facts["shared_cpu_list"])))
    return tuple(sorted(found, key=lambda cache: cache.size)) or UNKNOWN_CACHES


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _count(cpus: str) -> int:
    """Count a list such as "0-3,8"."""
    bounds = [part.split("-") for part in cpus.split(",") if part]
    return max(1, sum(int(b[-1]) - int(b[0]) + 1 for b in bounds))


def _working_set(cache: Cache, below: int, sharers: int) -> int:
    """Choose bytes a core: half of its share, but not so many that neighbours on the chip evict them."""
    if not below:
        return cache.size // 2
    return max(min(cache.size // (2 * sharers), 8 * below), min(cache.size // sharers, 2 * below))


def _memory_bytes(last_cache: int, threads: int) -> int:
    """Choose bytes a thread: more than the last cache, as cores that a hypervisor calls neighbours may have two.

    On many cores it is less, and only all of them together read more than one last cache holds.
    """
    wanted = min(max(2 * last_cache, LEAST_MEMORY), MOST_MEMORY // threads)
    return min(wanted, psutil.virtual_memory().available // 4 // threads)


def _partial(kernel: Callable[..., int], *arguments: object) -> Callable[[int], int]:
    return lambda repeats: kernel(*arguments, repeats)


def _rate(works: Sequence[Callable[[int], int]], duration: float, repeats: int) -> float:
    """Return the units a second of all works together; each is given how often to repeat, and returns its units.

    Every work runs on a thread of its own without a break, until all have their samples; until threads have spread over
    the cores, nothing counts.
    """
    barrier, rates = threading.Barrier(len(works)), list[float]()
    done = threading.Semaphore(0)
    finished = threading.Event()

    def sample(work: Callable[[int], int], count: int) -> float:
        start = time.perf_counter()
        units = work(count)
        return units / (time.perf_counter() - start)

    def run(work: Callable[[int], int]) -> None:
        count = _count_for(work, duration)
        barrier.wait()
        end = time.perf_counter() + WARM_UP_DURATIONS * duration
        while time.perf_counter() < end:
            work(count)
        rates.append(statistics.median(sample(work, count) for _ in range(repeats)))
        done.release()
        while not finished.is_set():
            work(count)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for _ in threads:
        done.acquire()
    finished.set()
    for thread in threads:
        thread.join()
    return sum(rates)


def _count_for(work: Callable[[int], int], duration: float) -> int:
    """Return how often to repeat a work for a call to take about that long."""
    count = 1
    while (took := _seconds(work, count)) < duration:
        count = max(count + 1, int(count * min(100.0, 1.2 * duration / max(took, 1e-7))))
    return count


def _seconds(work: Callable[[int], int], count: int) -> float:
    start = time.perf_counter()
    work(count)
    return time.perf_counter() - start


STEP_SOURCE = """
#include "pool.h"
static void nothing(void *const *bases, int64_t lo, int64_t hi) { (void)bases, (void)lo, (void)hi; }
__attribute__((visibility("default"))) void ansorc_empty_steps(int count, int threads) {
  struct ansorc_step steps[STEPS];
  for (int k = 0; k < count; k++) steps[k] = (struct ansorc_step){nothing, threads * 4, 1};
  ansorc_pool_run(steps, count, (void *const *)0, threads);
}
""".replace("STEPS", str(STEPS))


def empty_steps(threads: int) -> Callable[[], object] | None:
    """Return a call of STEPS empty parallel steps on `threads` threads; None where nothing can link."""
    triple, cache_dir = linking.host_triple(), read_knobs().cache_dir
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        path = Path(folder) / "steps.so"
        try:
            linker = linking.find_linker(triple, native=True)
            pool = linking.compile_runtime(linker, triple, cache_dir)[0]
            linking.link(linker, [pool], path, "steps.so", STEP_SOURCE, "ansorc_empty_steps", cache_dir)
        except RuntimeFailure:
            return None
        call = ctypes.CDLL(str(path)).ansorc_empty_steps
    call.argtypes, call.restype = [ctypes.c_int, ctypes.c_int], None
    return lambda: call(STEPS, threads)


def empty_step(threads: int, duration: float, repeats: int) -> float | None:
    """Return nanoseconds of an empty parallel step on `threads` threads; None where nothing can link."""
    call = empty_steps(threads)
    if call is None:
        return None
    end = time.perf_counter() + WARM_UP_DURATIONS * duration
    while time.perf_counter() < end:
        call()
    times: list[float] = []
    for _ in range(max(11, 5 * repeats)):
        start = time.perf_counter()
        call()
        times.append(1e9 * (time.perf_counter() - start) / STEPS)
    return statistics.median(times)
