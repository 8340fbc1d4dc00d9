"""The schedule language: legal candidates, their JSON form, and that each computes what its task says."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import onnx
import pytest
from mlir import ir
from onnx import helper
from onnx_cases import graph_model

from ansorc.compiler import kernel
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.errors import IllegalDecisionError
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch import analytic
from ansorc.compiler.sketch.candidate import Candidate, from_json
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.loop_nest import LoopNest, Operand
from ansorc.compiler.sketch.register_tile import RegisterTile, register_count
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.compiler.tasks import compile_tasks
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.tools.candidate_pairs import sampled

HASWELL = machine_of(parse_target("haswell"))
AVX512 = machine_of(parse_target("skylake-avx512"))


def product(m: int, n: int, k: int) -> LoopNest:
    """A matrix product of f32."""
    operands = (
        Operand((4 * k, 0, 4), 4 * m * k, False),
        Operand((0, 4, 4 * n), 4 * k * n, True),
        Operand((4 * n, 4, 0), 4 * m * n, False),
    )
    return LoopNest((m, n), (k,), operands, 4, True, 1.0)


def space(nest: LoopNest, machine: Machine) -> TaskSpace[LoopNest]:
    return TaskSpace(RegisterTile(), nest, machine)


def default(nest: LoopNest, machine: Machine) -> Candidate | None:
    choice = space(nest, machine).choose()
    return choice and choice.candidate


def test_every_candidate_is_legal_and_survives_json() -> None:
    nest = product(12, 32, 8)
    candidates = list(space(nest, HASWELL).candidates())
    assert len(candidates) == len(set(candidates)) == space(nest, HASWELL).count() > 100
    for candidate in candidates:
        assert space(nest, HASWELL).illegal(candidate) is None
        assert from_json(candidate.to_json()) == candidate
    first, last = min(candidates), max(candidates)
    assert first.decisions < last.decisions  # ordered by what was decided


def test_enumeration_is_lazy() -> None:
    nest = product(4096, 4096, 4096)
    assert len(list(islice(space(nest, AVX512).candidates(), 3))) == 3


def test_samples_and_neighbours_stay_in_the_space() -> None:
    nest, generator = product(49, 96, 7), random.Random(1)
    whole = set(space(nest, AVX512).candidates())
    drawn = [space(nest, AVX512).sample(generator) for _ in range(200)]
    assert set(drawn) <= whole
    assert len(set(drawn)) > 60
    for candidate in drawn[:20]:
        assert candidate is not None
        near = list(space(nest, AVX512).neighbours(candidate))
        assert near
        assert set(near) <= whole
        for other in near:
            assert sum(a != b for a, b in zip(candidate.decisions, other.decisions, strict=True)) == 1


def test_the_same_seed_draws_the_same() -> None:
    nest = product(49, 96, 7)
    first, second = (space(nest, AVX512).sample(random.Random(5)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("machine", [HASWELL, AVX512])
def test_accumulators_leave_registers_for_what_feeds_them(machine: Machine) -> None:
    nest = product(60, 96, 64)
    for candidate in space(nest, machine).candidates():
        vectors = candidate.values["vectors"]
        assert register_count(candidate) + vectors + 1 <= machine.vector_registers


@pytest.mark.parametrize("machine", [HASWELL, AVX512])
@pytest.mark.parametrize("extents", [(1, 1000, 2048), (49, 96, 7), (97, 48, 333), (3136, 24, 144), (1024, 1024, 1024)])
def test_the_default_is_in_the_space(extents: tuple[int, int, int], machine: Machine) -> None:
    chosen = default(product(*extents), machine)
    assert chosen is not None
    assert space(product(*extents), machine).illegal(chosen) is None


def changed(candidate: Candidate, **values: int) -> Candidate:
    return Candidate(candidate.sketch, tuple({**candidate.values, **values}.items()))


def test_refusals_name_the_decision_and_the_value() -> None:
    nest = product(12, 32, 8)
    candidate = default(nest, HASWELL)
    assert candidate is not None
    for wrong, decision in (
        (changed(candidate, lanes=3), "lanes"),
        (changed(candidate, tile_0=40), "tile_0"),
        (changed(candidate, chunk_blocks=7), "chunk_blocks"),
        (changed(candidate, unroll=3), "unroll"),
        (changed(candidate, other=1), "other"),
        (Candidate(candidate.sketch, candidate.decisions[:-1]), "prefetch"),
    ):
        error = space(nest, HASWELL).illegal(wrong)
        assert isinstance(error, IllegalDecisionError)
        assert error.decision == decision
        assert decision in str(error)
    assert "12x33x8" in str(space(product(12, 33, 8), HASWELL).illegal(candidate))


def test_decisions_encode_to_numbers() -> None:
    for decision in RegisterTile().space(product(12, 32, 8)):
        assert all(isinstance(number, float) for number in decision.encode(4))


def test_the_default_prefers_wide_tiles_and_whole_rows() -> None:
    chosen = default(product(196, 256, 1024), AVX512)
    assert chosen is not None
    assert register_count(chosen) >= 20
    assert chosen.values["lanes"] == 16
    cost = analytic.estimate(product(196, 256, 1024), AVX512, chosen.values)
    assert cost.bound == "arithmetic"
    assert cost.cycles >= 196 * 256 * 1024 / 16 / 2


def test_a_task_without_vectors_has_no_default() -> None:
    assert default(product(196, 3, 8), AVX512) is None
    assert space(product(196, 3, 8), AVX512).sample(random.Random(0)) is None


def convolution(channels: int, out: int, size: int, kernel: int, stride: int, group: int = 1) -> onnx.ModelProto:
    generator = np.random.default_rng(channels + out)
    x = generator.standard_normal((1, channels, size, size)).astype(np.float32)
    w = generator.standard_normal((out, channels // group, kernel, kernel)).astype(np.float32)
    b = generator.standard_normal(out).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], strides=[stride] * 2, pads=[kernel // 2] * 4, group=group),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    return graph_model(nodes, {"x": x}, ["y"], {"w": w, "b": b})


def matmul(m: int, n: int, k: int) -> onnx.ModelProto:
    generator = np.random.default_rng(m + n + k)
    x, w = (generator.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n)))
    return graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": x}, ["y"], {"w": w})


def activations(m: int, n: int, k: int) -> onnx.ModelProto:
    """A product of two inputs: what is read by channels is no weight, and may be packed at run time."""
    generator = np.random.default_rng(m + n + k)
    x, y = (generator.standard_normal(s).astype(np.float32) for s in ((3, m, k), (3, k, n)))
    return graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": x, "w": y}, ["y"])


MODELS = {
    "conv 3x3": convolution(5, 32, 13, 3, 1),
    "conv 3x3 stride 2": convolution(8, 48, 15, 3, 2),
    "conv 3x3 of vectors": convolution(16, 32, 13, 3, 1),
    "conv 1x1": convolution(24, 16, 9, 1, 1),
    "depthwise": convolution(48, 48, 11, 3, 1, 48),
    "matmul": matmul(23, 80, 19),
    "product of activations": activations(30, 64, 12),
    "matrix times vector": matmul(1, 64, 37),
}


def tasks_with_spaces(model: onnx.ModelProto, options: Options) -> Iterator[tuple[str, TaskSpace[Any]]]:
    machine = machine_of(options.target)
    for text in to_tasks(read(model, options), options).code.values():
        for found in spaces_of_task(text, machine):
            if found.kind.extents(found.nest)[1]:
                yield text, found


@pytest.mark.parametrize("name", list(MODELS))
def test_random_candidates_compute_their_task(name: str) -> None:
    """Against the task's plain loops, on the default and on ten random candidates of each of its spaces."""
    options, generator = Options(), random.Random(0)
    found = 0
    for text, whole in tasks_with_spaces(MODELS[name], options):
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target, unscheduled=True)))
        arguments = plain.random_arguments(np.random.default_rng(1))
        expected = plain.run(arguments)
        scale, steps = abs(expected).max(), prod(whole.kind.extents(whole.nest)[1])
        drawn = {whole.sample(generator) for _ in range(10)}
        for candidate in [None, *sorted(c for c in drawn if c is not None)]:
            job = TaskJob(text, "linalg", "object", options.target, candidate=candidate)
            result = runnable(text, compile_task(job)).run(arguments, threads=2)
            tolerance = 2e-7 * (4 + steps) * scale
            assert abs(result - expected).max() <= tolerance, candidate and candidate.to_json()
            found += 1
    assert found >= 5


@pytest.mark.parametrize("model", [convolution(64, 48, 12, 3, 1), matmul(23, 96, 256), activations(30, 64, 128)])
def test_a_reduction_in_parts_sums_the_same(model: onnx.ModelProto) -> None:
    """The sums of a chunk wait in a block; register tiles that are not whole included."""
    options, generator, found = Options(), random.Random(2), 0
    for text, whole in tasks_with_spaces(model, options):
        if whole.kind.name != "register-tile":
            continue
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target, unscheduled=True)))
        arguments = plain.random_arguments(np.random.default_rng(1))
        expected = plain.run(arguments)
        drawn = (whole.sample(generator) for _ in range(200))
        for candidate in [c for c in drawn if c is not None and c.values["part"]][:8]:
            assert candidate.values["part"] < whole.nest.reductions[-1]
            script = whole.kind.emit(candidate)
            assert str(candidate.values["part"]) in script
            job = TaskJob(text, "linalg", "object", options.target, candidate=candidate)
            result = runnable(text, compile_task(job)).run(arguments, threads=2)
            assert abs(result - expected).max() <= 2e-7 * (4 + whole.nest.steps) * abs(expected).max()
            found += 1
    assert found


def test_operands_far_apart_in_memory_are_packed() -> None:
    far, near, weight = (
        LoopNest(
            (n, n), (n,),
            (Operand((4 * n, 0, 4), 4 * n * n, False, (n, n)), Operand((0, 4, 4 * n), 4 * n * n, constant, (n, n)),
             Operand((4 * n, 4, 0), 4 * n * n, False, (n, n))),
            4, True, 1.0,
        )
        for n, constant in ((1024, False), (64, False), (1024, True))
    )  # fmt: skip
    chosen = [default(nest, AVX512) for nest in (far, near, weight)]
    found = [c for c in chosen if c is not None]
    assert [c.values["pack"] for c in found] == [1, 0, 0]
    assert ["{ansorc.pack}" in RegisterTile().emit(c) for c in found] == [True, False, False]


def test_a_candidate_for_another_task_is_refused() -> None:
    options = Options()
    (text, _), *_ = tasks_with_spaces(MODELS["matmul"], options)
    other = default(product(12, 32, 8), machine_of(options.target))
    with pytest.raises(IllegalDecisionError, match="12x32x8"):
        compile_task(TaskJob(text, "linalg", "object", options.target, candidate=other))


def test_json_says_what_a_candidate_is() -> None:
    candidate = default(product(12, 32, 8), HASWELL)
    assert candidate is not None
    raw = json.loads(candidate.to_json())
    assert raw["sketch"]["kind"] == "register-tile"
    assert raw["decisions"]["lanes"] == 8
    assert "ansorc.lanes = 8" in RegisterTile().emit(candidate)
    assert kernel.all_kinds()[0] == raw["sketch"]["kind"]


def test_a_script_replayed_is_the_candidate() -> None:
    """Of every kind that a task of these has: what was prepared is in the script's attributes."""
    options, seen = Options(), set[str]()
    machine = machine_of(options.target)
    for name in ("conv 3x3 of vectors", "matmul", "product of activations"):
        for text, whole in tasks_with_spaces(MODELS[name], options):
            candidate = whole.sample(random.Random(4))
            assert candidate is not None
            scheduled: list[str] = []
            for replayed in ("", whole.kind.emit(candidate)):
                with context(), ir.Location.unknown():
                    module = ir.Module.parse(text)
                    given = None if replayed else candidate
                    kernel.to_scheduled(module, kernel.plan(module, machine, candidate=given, replayed=replayed))
                    scheduled.append(str(module))
            assert scheduled[0] == scheduled[1]
            seen.add(whole.kind.name)
    assert seen == {"register-tile", "winograd"}


def test_a_kind_that_does_not_fit_is_refused_by_name() -> None:
    options = Options()
    (text, whole), *_ = tasks_with_spaces(MODELS["matmul"], options)
    candidate = whole.sample(random.Random(0))
    assert candidate is not None
    other = Candidate(replace(candidate.sketch, kind="winograd"), candidate.decisions)
    with pytest.raises(IllegalDecisionError, match="kind is winograd: expected one that fits the task"):
        compile_task(TaskJob(text, "linalg", "object", options.target, candidate=other))
    other = Candidate(replace(candidate.sketch, kind="magic"), candidate.decisions)
    with pytest.raises(IllegalDecisionError, match="kind is magic: expected one of register-tile"):
        compile_task(TaskJob(text, "linalg", "object", options.target, candidate=other))


def test_given_schedules_are_refused_where_they_do_not_belong() -> None:
    options = Options(use_cache=False)
    program = to_tasks(read(MODELS["conv 3x3 of vectors"], options), options)
    (text, whole), *_ = tasks_with_spaces(MODELS["conv 3x3 of vectors"], options)
    name = next(n for n, t in program.code.items() if t == text)
    candidate = sampled(whole, random.Random(0))
    assert candidate is not None
    with pytest.raises(IllegalDecisionError, match="task is task_0: expected one of the program's"):
        compile_tasks(program, "llvm", replace(options, candidates={"task_0": candidate}))
    with pytest.raises(IllegalDecisionError, match=f"schedule of {name}: lanes is 3"):
        compile_tasks(program, "llvm", replace(options, candidates={name: changed(candidate, lanes=3)}))
    winograd = next(
        s for _, s in tasks_with_spaces(MODELS["conv 3x3 of vectors"], options) if s.kind.name == "winograd"
    )
    rounds = sampled(winograd, random.Random(0))
    assert rounds is not None
    with pytest.raises(IllegalDecisionError, match="rounds as the model does"):
        compile_tasks(program, "llvm", replace(options, exact=True, candidates={name: rounds}))


def test_register_tiles_do_not_span_groups() -> None:
    """Each group has weights of its own: rows of one register tile share theirs."""
    options = Options()
    model = convolution(32, 64, 7, 3, 1, 4)
    (nest,) = [s.nest for _, s in tasks_with_spaces(model, options) if s.kind.name == "register-tile"]
    groups = nest.outer.index(4)
    assert nest.shares_panel == tuple(k != groups for k in range(len(nest.outer)))
    assert groups not in nest.tileable
    assert len(nest.tileable) == 2


def test_the_parts_of_an_estimate_bound_it() -> None:
    """No part takes longer than the whole, and the FMA ports no less than their multiplications."""
    generator, machine = random.Random(2), AVX512
    nest = product(196, 256, 1024)
    for _ in range(20):
        candidate = space(nest, machine).sample(generator)
        assert candidate is not None
        parts = RegisterTile().parts(nest, machine, candidate.values)
        cycles = analytic.estimate(nest, machine, candidate.values).cycles
        assert max(parts.values()) <= cycles <= sum(parts.values())
        assert parts["FMA ports"] >= 196 * 256 * 1024 / candidate.values["lanes"] / 2
