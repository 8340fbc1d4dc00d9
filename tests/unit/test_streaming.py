"""Results that are written past the caches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_candidates import MACHINE, OPTIONS

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import RunnableTask, runnable
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.decisions import Stream
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.tools.workloads_memory import Chain

pytestmark = pytest.mark.skipif(not MACHINE.x86, reason="stores past the caches are x86's")


def task_of(rows: int, columns: int) -> str:
    (text,) = to_tasks(read(Chain("add relu", (rows, columns)).case(1).model, OPTIONS), OPTIONS).code.values()
    return text


def candidate_of(text: str, stream: int) -> Candidate:
    (space,) = (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "register-tile")
    choice = space.choose()
    assert choice is not None
    return Candidate(choice.candidate.sketch, tuple({**choice.candidate.values, "stream": stream}.items()))


def compiled(text: str, stream: int) -> RunnableTask:
    job = TaskJob(text, "linalg", "object", OPTIONS.target, candidate=candidate_of(text, stream))
    return runnable(text, compile_task(job))


@pytest.mark.parametrize("stream", [0, 1])
def test_the_decision_is_in_the_code(stream: int) -> None:
    text = task_of(1024, 1040)
    job = TaskJob(text, "linalg", "asm", OPTIONS.target, candidate=candidate_of(text, stream))
    assert (b"vmovntps" in compile_task(job).code) == bool(stream)


def test_results_are_the_same_wherever_they_lie() -> None:
    text = task_of(1024, 1040)
    plain, streamed = compiled(text, 0), compiled(text, 1)
    arguments = plain.random_arguments(np.random.default_rng(0))
    expected = plain.run(arguments)
    assert np.array_equal(streamed.run(arguments, threads=2), expected)
    buffers = streamed.buffers(arguments)
    last = len(arguments)
    memory = np.full(expected.size + 1, np.nan, np.float32)
    buffers[last] = memory[1:].reshape(buffers[last].shape)  # no line of a cache begins there
    assert buffers[last].ctypes.data % 64 != 0
    streamed.kernel.run(buffers, 2)
    assert np.array_equal(buffers[last].reshape(expected.shape), expected)
    assert np.isnan(memory[0])


def test_only_large_results_of_whole_cache_lines_may_be() -> None:
    def streams(rows: int, columns: int) -> bool:
        spaces = (s for s in spaces_of_task(task_of(rows, columns), MACHINE) if s.kind.name == "register-tile")
        return any(d.name == "stream" for s in spaces for d in s.decisions)

    assert streams(1024, 1040)
    assert not streams(64, 64)


def test_the_default_is_to_do_so_where_no_cache_holds_the_result() -> None:
    (space,) = (s for s in spaces_of_task(task_of(1024, 1040), MACHINE) if s.kind.name == "register-tile")
    lanes = {"lanes": MACHINE.lanes(4)}
    for third_cache, first in ((1 << 20, 1), (1 << 30, 0)):
        assert Stream("stream").options(space.nest, replace(MACHINE, l3_bytes=third_cache), lanes)[0] == first
    assert Stream("stream").options(space.nest, MACHINE, {"lanes": 1}) == (0,)
