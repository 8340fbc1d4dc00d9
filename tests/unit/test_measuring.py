"""Measuring real candidates: compared, timed, and contained when they misbehave."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from jobs_for_measuring import MOST_MEMORY
from search_fakes import tasks

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.measuring import measurer, runner
from ansorc.compiler.measuring.measurer import LocalPools, PoolMeasurer
from ansorc.compiler.measuring.reference import widened
from ansorc.compiler.measuring.runner import Expected, Ran, RunJob
from ansorc.compiler.measuring.trial import FATES, Trial
from ansorc.compiler.options import Options
from ansorc.compiler.search.sample import default_points, sample_points
from ansorc.compiler.search.task import Point, SearchTask, tasks_of
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.workers import Job, JobResult
from ansorc.dialect_passes.kernel_facts import KernelFacts
from ansorc.tools.tune_workloads import named
from ansorc.tools.workloads import Dense

pytestmark = pytest.mark.alone

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def task() -> SearchTask:
    (made,) = tasks(Dense("D", 24, 32, 64, activation="relu"), target=parse_target("native"))
    return made


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def local() -> Iterator[PoolMeasurer]:
    made = PoolMeasurer(Options().target, 1, LocalPools(2))
    yield made
    made.close()


def _with_vectors(task: SearchTask, *wanted: int, unroll: int = 1) -> list[Point]:
    points = [p for p in sample_points(task, 300, random.Random(0)) if task.values(p)["unroll"] == unroll]
    return [next(p for p in points if task.values(p)["vectors"] == v) for v in wanted]


def test_candidates_are_measured(task: SearchTask, local: PoolMeasurer) -> None:
    points = [*default_points(task), *sample_points(task, 5, random.Random(0))]
    trials = local.measure(task, [task.candidate(p) for p in points], None)
    assert [t.fate for t in trials] == ["measured"] * len(points)
    for trial in trials:
        assert trial.seconds is not None
        assert 1e-7 < trial.seconds < 0.1
        assert trial.compile_seconds > 0
        assert trial.code_bytes > 100
    (again,) = local.measure(task, [task.candidate(points[0])], None)
    assert again.code == trials[0].code
    confirmed = local.confirm([(task, [task.candidate(p) for p in points[:2]])])
    assert [len(times) > 3 for times in confirmed[0]] == [True, True]


def test_a_failed_compilation_is_a_trial(
    task: SearchTask, local: PoolMeasurer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurer, "ENTRY", "jobs_for_measuring:compile_or_not")
    monkeypatch.setattr(measurer, "COMPILE_TIMEOUT", 4.0)
    mine = PoolMeasurer(Options().target, 1, LocalPools(2))
    try:
        points = [*_with_vectors(task, 1, unroll=4), *_with_vectors(task, 1, 2, 4)]
        trials = mine.measure(task, [task.candidate(p) for p in points], None)
    finally:
        mine.close()
    assert [t.fate for t in trials] == ["measured", "compile error", "compile timeout", "compile error"]
    assert "SIGABRT" in trials[1].reason
    assert "MemoryError" in trials[3].reason


def test_a_candidate_that_misbehaves_is_a_trial(task: SearchTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurer, "ENTRY", "jobs_for_measuring:compile_with_intent")
    monkeypatch.setattr(runner, "ENTRY", "jobs_for_measuring:run_or_not")
    monkeypatch.setattr(measurer, "RUN_TIMEOUT", 6.0)
    mine = PoolMeasurer(Options().target, 1, LocalPools(2))
    try:
        points = _with_vectors(task, 1, 2, 4)
        trials = mine.measure(task, [task.candidate(p) for p in [*points, *default_points(task)]], None)
    finally:
        mine.close()
    assert [t.fate for t in trials[:3]] == ["crash", "run timeout", "wrong answer"]
    assert "SIGSEGV" in trials[0].reason
    assert set(FATES) >= {t.fate for t in trials}
    assert all(t.seconds is None for t in trials[:3])


def test_a_candidate_that_takes_what_is_not_its_own_is_a_trial(
    task: SearchTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurer, "ENTRY", "jobs_for_measuring:compile_greedily")
    monkeypatch.setattr(measurer, "MEMORY_SHARE", MOST_MEMORY / 2 / psutil.virtual_memory().total)
    mine = PoolMeasurer(Options().target, 1, LocalPools(2))
    try:
        trials = mine.measure(task, [task.candidate(p) for p in _with_vectors(task, 1, 2, 4)], None)
    finally:
        mine.close()
    assert [t.fate for t in trials] == ["wrong answer", "crash", "measured"]
    assert "outside" in trials[0].reason
    assert "memory" in trials[1].reason


def test_the_reference_is_in_double_precision() -> None:
    text = "%0 = arith.constant 0xFF800000 : f32\nfunc @task_f32a(%arg0: tensor<4x8xf32>, %arg1: f32) {a_f32 = 1}"
    wide = widened(text)
    assert wide == (
        "%0 = arith.constant 0xFFF0000000000000 : f64\nfunc @task_f32a(%arg0: tensor<4x8xf64>, %arg1: f64) {a_f32 = 1}"
    )
    assert widened(text + " f16") == text + " f16"


def test_defaults_agree_with_their_reference() -> None:
    options = Options()
    measurer = PoolMeasurer(options.target, 2, LocalPools(2))
    try:
        for name in ("norm-1024", "softmax-64", "max-pool-2d", "dense-gelu", "argmin-64", "bert-softmax", "NRM.2"):
            source = to_tasks(read(named(name).model, options), options)
            for task in tasks_of(source, machine_of(options.target)):
                (trial,) = measurer.measure(task, [None], None)
                assert trial.fate == "measured", f"{name}: {trial.reason}"
    finally:
        measurer.close()


def test_arguments_are_compared_too(task: SearchTask) -> None:
    plain = runnable(task.text, compile_task(TaskJob(task.text, "linalg", "object", Options().target)))
    arguments = plain.random_arguments(np.random.default_rng(0))
    known = runner.Known(arguments, Expected(plain.run(arguments)))
    buffers = plain.buffers(arguments)
    plain.kernel.run(buffers, 1)
    assert runner.misdeed(known, plain, buffers) == ""
    buffers[0][3, 4] += 1
    assert "argument 0" in runner.misdeed(known, plain, buffers)


def test_what_lies_in_rows_of_a_larger_value_leaves_the_rest_alone() -> None:
    text = """
        #map = affine_map<(d0, d1) -> (d0, d1)>
        func.func @task(%x: tensor<6x40xf32> {ansorc.pitch = array<i64: 40, 100>})
            -> (tensor<6x40xf32> {ansorc.pitch = array<i64: 40, 64>}) {
          %e = tensor.empty() : tensor<6x40xf32>
          %r = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
              ins(%x : tensor<6x40xf32>) outs(%e : tensor<6x40xf32>) {
            ^bb0(%in: f32, %out: f32):
              %s = arith.addf %in, %in : f32
              linalg.yield %s : f32
          } -> tensor<6x40xf32>
          return %r : tensor<6x40xf32>
        }
    """
    plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", Options().target)))
    arguments = plain.random_arguments(np.random.default_rng(0))
    known = runner.Known(arguments, Expected(2 * arguments[0]))
    buffers = plain.buffers(arguments)
    assert [b.shape for b in buffers[:2]] == [(6, 100), (6, 64)]
    plain.kernel.run(buffers, 2)
    assert runner.misdeed(known, plain, buffers) == ""
    assert np.isnan(buffers[1][:, 40:]).all()
    buffers[1][2, 40] = 0
    assert "beyond the rows of array 1" in runner.misdeed(known, plain, buffers)


def test_cold_calls_are_slower(task: SearchTask) -> None:
    seconds: list[float] = []
    for cold in (False, True):
        mine = PoolMeasurer(Options().target, 1, LocalPools(1), cold=cold)
        (trial,) = mine.measure(task, [task.candidate(default_points(task)[0])], None)
        mine.close()
        assert trial.seconds is not None
        seconds.append(trial.seconds)
    assert seconds[1] > 1.5 * seconds[0]


def test_nothing_is_left_behind(task: SearchTask, local: PoolMeasurer) -> None:
    local.measure(task, [task.candidate(p) for p in default_points(task)], None)
    local.close()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children]
    assert not [c for c in commands if "ansorc.compiler.workers" in c]


def test_differences() -> None:
    x = np.array([1.0, -4.0, np.inf, np.nan], np.float32)
    expected = Expected(x)
    assert expected.difference(x) == 0.0
    assert expected.difference(np.array([1.0, -3.0, np.inf, np.nan])) == pytest.approx(0.25)
    assert expected.difference(np.array([1.0, -4.0, np.nan, np.nan])) == np.inf
    assert not expected.difference(np.array([np.nan, -4.0, np.inf, np.nan])) <= 1
    assert not Expected(x[:2]).difference(np.array([1.0, np.nan], np.float32)) <= 1
    assert Expected(np.zeros(2)).difference(np.array([0.0, 0.5])) == 0.5


def test_a_trial_knows_its_median() -> None:
    assert Trial("measured", (3.0, 1.0, 2.0)).seconds == 2.0
    assert Trial("crash").seconds is None


class ScriptedKernel:
    """Runs in as many seconds as are written down."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = list(seconds)

    def __call__(self, calls: int) -> float:
        return self._seconds.pop(0)


@pytest.mark.parametrize(
    ("seconds", "best", "expected"),
    [
        ((1.0, 1.0, 5.0, 5.0), 1.0, (5.0, 5.0)),  # hopeless, twice
        ((9.0, 8.0), 1.0, (8.0,)),  # so hopeless that two calls are enough
        ((9.0, 1.0, 2.1, 1.2, 1.2, *[1.2] * 6), 1.0, (2.1, *[1.2] * 8)),  # disturbed: one time alone says nothing
        ((1.2, 1.2, 1.2, 1.25, 1.2), 1.0, (1.2, 1.25, 1.2)),  # no rival of the best
        ((1.0, 1.0, *[1.05] * 9), 1.0, (1.05,) * 9),
        ((1.0, 1.0, *[3.0] * 9), None, (3.0,) * 9),
    ],
)
def test_repeats_end_when_they_agree(seconds: Sequence[float], best: float | None, expected: Sequence[float]) -> None:
    assert runner._times(ScriptedKernel(*seconds), best) == expected  # pyright: ignore[reportPrivateUsage]


class ScriptedPools:
    """Compiles to nothing, and runs in as many seconds as are written down for anchors; candidates take one."""

    def __init__(self, *anchors: float) -> None:
        self._anchors = list(anchors)
        self.runners = 0

    def builders(self) -> "ScriptedPools":
        return self

    def runner(self) -> "ScriptedPools":
        self.runners += 1
        return self

    def environment(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        pass

    @property
    def left(self) -> int:
        return len(self._anchors)

    def run(self, jobs: Sequence[Job], progress: object = None, timeout: float | None = None) -> list[JobResult]:
        return [JobResult(job.name, self._value(job.payload)) for job in jobs]

    def _value(self, job: TaskJob | RunJob) -> TaskCode | Ran:
        if isinstance(job, TaskJob):
            return TaskCode(KernelFacts(), b"anchor" if job.candidate is None else b"candidate")
        assert job.code is not None
        return Ran((1.0,) if job.code.code == b"candidate" else (self._anchors.pop(0),))


@pytest.mark.parametrize(
    ("anchors", "seconds", "processes"),
    [
        ((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 1.0, 1),
        ((1.4, 1.0, 1.4, 1.0, 1.4, 1.0, 1.0), 1.0, 1),  # memory lay badly now and then
        ((*[1.0] * 4, *[2.0] * 3, 1.0, 1.0), 1.0, 2),  # it lies badly in this process
        ((*[1.0] * 4, *[2.0] * 12), 0.5, 3),  # the machine has become slower
        ((*[1.0] * 5, *[2.0] * 6, 1.0, 1.0), 1.0, 2),  # disturbed during a batch, which is run again
        ((*[2.0] * 4, 1.0, 1.0), 1.0, 1),  # it lay badly at first: no candidate is slower for that
    ],
)
def test_the_machine_drifts(task: SearchTask, anchors: tuple[float, ...], seconds: float, processes: int) -> None:
    pools = ScriptedPools(*anchors)
    measurer = PoolMeasurer(Options().target, 1, pools)
    candidate = task.candidate(default_points(task)[0])
    (first,) = measurer.measure(task, [candidate], None)
    assert first.seconds == 1.0
    (again,) = measurer.measure(task, [candidate], None)
    assert again.seconds == seconds
    assert (pools.left, pools.runners) == (0, processes)
    measurer.close()


class OrderedPools(ScriptedPools):
    """Remembers what ran in each process."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[list[bytes]] = []

    def run(self, jobs: Sequence[Job], progress: object = None, timeout: float | None = None) -> list[JobResult]:
        ran = [job.payload.code.code for job in jobs if isinstance(job.payload, RunJob) and job.payload.code]
        self.orders += [ran] if ran else []
        return super().run(jobs, progress, timeout)

    def _value(self, job: TaskJob | RunJob) -> TaskCode | Ran:
        return TaskCode(KernelFacts(), str(job.candidate).encode()) if isinstance(job, TaskJob) else Ran((1.0,))


def test_who_is_first_in_one_process_is_last_in_the_next(task: SearchTask) -> None:
    pools = OrderedPools()
    measurer = PoolMeasurer(Options().target, 1, pools)
    points = [*default_points(task), *sample_points(task, 3, random.Random(0))][:3]
    assert measurer.confirm([(task, [task.candidate(p) for p in points])]) == [[(1.0, 1.0)] * 3]
    first, second = pools.orders
    assert len(set(first)) == 3
    assert second == first[::-1]


def test_the_process_that_runs_candidates_imports_no_passes() -> None:
    """Each of a search's last comparisons begins with a new one."""
    program = f"import sys, {runner.__name__}; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    ours = [name for name in imported.split() if name.startswith("ansorc.")]
    assert "ansorc.dialect_passes.kernel_facts" in ours
    assert not [n for n in ours if n.startswith(("ansorc.compiler.sketch", "ansorc.dialect_passes.lower."))]
