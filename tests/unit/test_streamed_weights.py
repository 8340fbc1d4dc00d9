"""Tasks are timed with weights where a network's are, and such times are not mixed with those of tasks alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper
from onnx_cases import graph_model
from search_fakes import tasks

from ansorc.compiler import recorded, tuning
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import RunnableTask, runnable
from ansorc.compiler.measuring import runner, streamed_weights
from ansorc.compiler.measuring.measurer import LocalPools, PoolMeasurer
from ansorc.compiler.measuring.streamed_weights import WeightCopies, last_cache
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.sample import default_points
from ansorc.compiler.search.task import tasks_of, weights_between_calls
from ansorc.compiler.target import Caches, parse_target, target_key, warm_keys
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.runtime.kernel_runner import addresses
from ansorc.tools.workloads import Dense

pytestmark = pytest.mark.alone

TARGET = parse_target("native")
SMALL = replace(TARGET, caches=Caches(l1=1 << 10, l2=4 << 10))
"""Whose second cache does not hold the weights of NETWORK."""


@pytest.fixture(scope="module")
def dense() -> RunnableTask:
    (task,) = tasks(Dense("D", 24, 32, 64, activation="relu"), target=TARGET)
    return runnable(task.text, compile_task(TaskJob(task.text, "linalg", "object", TARGET)))


@pytest.fixture(scope="module")
def network() -> ModelProto:
    """Two products with 6 and 12 KiB of weights."""
    x, w, v = (np.ones(shape, np.float32) for shape in ((16, 32), (32, 48), (48, 64)))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "v"], ["y"])]
    return graph_model(nodes, {"x": x}, ["y"], {"w": w, "v": v})


def _program(model: ModelProto, options: Options) -> Program:
    return to_tasks(read(model, options), options)


def test_copies_are_as_large_as_a_networks_weights(dense: RunnableTask, monkeypatch: pytest.MonkeyPatch) -> None:
    buffers = dense.buffers(dense.random_arguments(np.random.default_rng(0)))
    (weight,) = dense.code.facts.packings
    size = buffers[weight].nbytes
    copies = WeightCopies()
    rows = copies.bases(buffers, [weight], 5 * size + 1)
    assert len(rows) == len(set(rows[:, weight])) == 5
    assert (np.delete(rows, weight, 1) == np.delete(addresses(buffers), weight)).all()
    dense.kernel.run(buffers, 1)
    expected = dense.result(buffers).copy()
    for row in range(5):
        dense.result(buffers)[...] = np.nan
        dense.kernel.run_in_turn(rows, 1, 1, row)
        assert np.array_equal(dense.result(buffers), expected)
    monkeypatch.setattr(streamed_weights, "last_cache", lambda: 2 * size)
    assert len(copies.bases(buffers, [weight], 1000 * size)) == 4
    for alone in ((buffers, [weight], 0), (buffers, [weight], size), (buffers, [], 1000 * size)):
        assert (copies.bases(*alone) == addresses(buffers)).all()
        assert len(copies.bases(*alone)) == 1


def test_calls_take_rows_in_turn(dense: RunnableTask) -> None:
    buffers = dense.buffers(dense.random_arguments(np.random.default_rng(0)))
    results = [np.zeros_like(buffers[-1]) for _ in range(3)]
    rows = np.array([addresses([*buffers[:-1], r]) for r in results])
    run = runner._in_turn(dense, rows, 1)  # pyright: ignore[reportPrivateUsage]
    written: list[list[bool]] = []
    for calls in (1, 1, 2):
        run(calls)
        written.append([bool(r.any()) for r in results])
        for r in results:
            r[...] = 0
    assert written == [[True, False, False], [False, True, False], [True, False, True]]


def test_weights_from_memory_take_longer() -> None:
    (task,) = tasks(Dense("D", 1, 512, 512), target=TARGET)  # nothing but a megabyte of weights
    seconds: list[float] = []
    for between in (0, 2 * last_cache()):
        mine = PoolMeasurer(TARGET, 1, LocalPools(1), between_calls=between)
        (trial,) = mine.measure(task, [task.candidate(default_points(task)[0])], None)
        mine.close()
        assert trial.seconds is not None
        seconds.append(trial.seconds)
    assert seconds[1] > 1.3 * seconds[0]


def test_only_a_networks_weights_make_room_for_each_other(network: ModelProto) -> None:
    options = Options(fuse_chains="never")
    both = _program(network, options)
    assert weights_between_calls(both, SMALL) == both.weight_bytes == 4 * (32 * 48 + 48 * 64)
    assert weights_between_calls(both, TARGET) == 0  # its second cache holds them
    alone = _program(Dense("D", 24, 32, 64, activation="relu").case(1).model, options)
    assert weights_between_calls(alone, SMALL) == 0


def test_a_search_of_a_network_measures_so_and_says_so(
    network: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def measurer(*arguments: Any, **named: Any) -> PoolMeasurer:
        given.append(named["between_calls"])
        return PoolMeasurer(*arguments, **named)

    monkeypatch.setattr(tuning, "PoolMeasurer", measurer)
    for target, expected in ((SMALL, target_key(TARGET, network=True)), (TARGET, target_key(TARGET))):
        options = Options(target=target, fuse_chains="never", trials=8, records=tmp_path / "r.db")
        tuning.search([_program(network, options)], options)
        with Records(tmp_path / "r.db") as records:
            *_, last = records.every()
        assert last.target == expected
    assert given == [4 * (32 * 48 + 48 * 64), 0]


def test_times_in_a_network_come_first(network: ModelProto, tmp_path: Path) -> None:
    options = Options(target=SMALL, fuse_chains="never", records=tmp_path / "r.db", threads=2)
    source = _program(network, options)
    first, second = tasks_of(source, machine_of(SMALL))
    inside, alone = warm_keys(SMALL, network=True)
    assert (alone, inside) == warm_keys(SMALL)
    slow = first.candidate(default_points(first)[0])
    fast = replace(slow, decisions=tuple((n, 2 if n == "unroll" else v) for n, v in slow.decisions))
    with Records(tmp_path / "r.db") as records:
        run = records.begin("key", "{}")
        for task, candidate, key, seconds in (
            (first, fast, alone, 1e-6),
            (first, slow, inside, 2e-6),
            (second, second.candidate(default_points(second)[0]), alone, 1e-6),
        ):
            records.add_task(task.name, task.shape, task.flops, task.text)
            trial = Trial("measured", (seconds,))
            records.add(run, [Record(task.name, key, 2, candidate, trial, created=0.0, seconds=seconds)])
    found, coverage = recorded.recorded(source, options)
    assert found[first.name] == slow
    assert [c.source for c in coverage] == ["records", "records"]
    kept, _ = recorded.recorded(source, replace(options, target=TARGET))
    assert kept[first.name] == fast
