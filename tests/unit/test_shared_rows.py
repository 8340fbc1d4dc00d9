"""Threads share rows of chunks where a task's input is worth keeping, and all chunks where its weights are."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from onnx_cases import graph_model

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.shared_rows import MOST_WEIGHTS, chunk_columns
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task

MACHINE = machine_of(parse_target("native"))
OPTIONS = Options(records="none", fuse_chains="never")


def space_of(
    node: onnx.NodeProto, channels: int, size: int, weight: tuple[int, ...]
) -> tuple[str, TaskSpace[LoopNest]]:
    x, w = np.ones((1, channels, size, size), np.float32), np.ones(weight, np.float32)
    source = to_tasks(read(graph_model([node], {"x": x}, ["y"], {"w": w}), OPTIONS), OPTIONS)
    (text,) = (t for t in source.code.values() if "linalg.depthwise" in t or "arith.mulf" in t or "linalg.conv" in t)
    (space,) = (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "register-tile")
    return text, space


def pointwise(size: int, channels: int, filters: int) -> tuple[str, TaskSpace[LoopNest]]:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[1, 1])
    return space_of(node, channels, size, (filters, channels, 1, 1))


def cut(space: TaskSpace[LoopNest]) -> dict[str, int]:
    """Four blocks of channels, each a chunk."""
    choice = space.choose()
    assert choice is not None
    width = space.nest.parallel[-1] // 4
    lanes = min(width, MACHINE.lanes(4))
    return {**choice.candidate.values, "lanes": lanes, "vectors": width // lanes, "chunk_blocks": 1}


def test_rows_are_shared_unless_weights_are_much_larger_than_the_input() -> None:
    _, small = pointwise(14, 64, 64)
    assert chunk_columns(small.nest, cut(small)) == 4
    assert chunk_columns(small.nest, {**cut(small), "chunk_blocks": 2}) == 2
    _, large = pointwise(2, 512, 64)
    assert large.nest.operands[1].size > MOST_WEIGHTS * large.nest.operands[0].size
    assert chunk_columns(large.nest, cut(large)) == 1
    _, windows = space_of(helper.make_node("Conv", ["x", "w"], ["y"], group=64), 64, 4, (64, 1, 3, 3))
    assert not windows.nest.contraction
    assert chunk_columns(windows.nest, cut(windows)) == 4


def test_a_kernel_says_which_chunks_read_the_same_and_threads_compute_all_of_them() -> None:
    text, space = pointwise(14, 64, 64)
    values = cut(space) | {"chunk_1": 2, "chunk_2": 2, "channels_inside": 0}
    values |= {name: 1 for name in values if name.startswith("tile_")}
    candidate = Candidate(space.sketch, tuple((d.name, values[d.name]) for d in space.decisions))
    assert space.illegal(candidate) is None
    code = compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, candidate=candidate))
    assert [(s.chunks, s.columns) for s in code.facts.sections if s.chunks > 1] == [(4 * 7 * 7, 4)]
    task = runnable(text, code)
    arguments = task.random_arguments(np.random.default_rng(0))
    expected = task.run(arguments, 1).copy()
    assert np.isfinite(expected).all()
    for threads in (2, 3):
        np.testing.assert_array_equal(task.run(arguments, threads), expected)
