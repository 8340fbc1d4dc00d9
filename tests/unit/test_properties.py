"""What is known of a candidate without lowering it, against counting, and against the code that is made."""

from __future__ import annotations

import random
from itertools import islice, product
from typing import Any

import pytest

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.errors import IllegalDecisionError
from ansorc.compiler.options import Options
from ansorc.compiler.sketch import properties
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.loop_nest import LoopNest
from ansorc.compiler.sketch.properties import LARGEST_CODE, LONGEST_COMPILE
from ansorc.compiler.sketch.register_tile import register_count
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.tools.candidate_pairs import sampled
from ansorc.tools.suites import SUITES
from ansorc.tools.workloads import AttentionScores, BatchMatmul, MatrixNorm, Workload
from ansorc.tools.workloads_convolution import Convolution

OPTIONS = Options(use_cache=False)
MACHINE = machine_of(OPTIONS.target)
UNROLLED = 4 << 10
"""Bytes that nobody has to predict."""
WORKLOADS: dict[str, Workload] = {
    "register-tile": BatchMatmul("GMM", 24, 64, 20, 1),
    "winograd": Convolution("W2D", (14, 14), 32, 64, 3, 1, 1),
    "chain": AttentionScores(48, 2, 16),
    "split-reduction": MatrixNorm(40, 64),
}


def space_of(kind: str) -> tuple[TaskSpace[Any], str]:
    case = WORKLOADS[kind].case(1)
    for text in to_tasks(read(case.model, OPTIONS), OPTIONS).code.values():
        for space in spaces_of_task(text, MACHINE):
            if space.kind.name == kind:
                return space, text
    raise AssertionError(kind)


def test_footprints_and_flops_are_those_of_a_walk_over_all_iterations() -> None:
    space, _ = space_of("register-tile")
    nest: LoopNest = space.nest
    generator = random.Random(0)
    for _ in range(20):
        candidate = sampled(space, generator)
        assert candidate is not None
        values, found = candidate.values, space.properties(candidate)
        width = values["lanes"] * values["vectors"]
        for footprint, sizes in (
            (found.tile_footprint, (values["tile_0"], width)),
            (found.chunk_footprint, (values["chunk_0"], width * values["chunk_blocks"])),
            (found.task_footprint, nest.parallel),
        ):
            touched: set[tuple[int, int]] = set()
            for point in product(*map(range, (*sizes, *nest.reductions))):
                for k, operand in enumerate(nest.operands):
                    touched.add((k, sum(i * s for i, s in zip(point, operand.strides, strict=True))))
            assert footprint == nest.element_bytes * len(touched)
        assert found.flops == 2 * 24 * 64 * 20
        assert found.chunks == (24 // values["chunk_0"]) * (64 // width // values["chunk_blocks"])
        assert found.registers > register_count(candidate)
        assert 0 < found.vector_efficiency <= 1
        assert 0 < found.balance <= 1


@pytest.mark.parametrize("kind", list(WORKLOADS))
def test_a_chunk_touches_what_its_register_tiles_do_and_more(kind: str) -> None:
    space, _ = space_of(kind)
    generator = random.Random(1)
    drawn = [c for c in (space.sample(generator) for _ in range(30)) if c is not None]
    found = [space.properties(c) for c in drawn]
    for one in found:
        assert 0 < one.tile_footprint <= one.chunk_footprint
        assert one.l1_bytes >= one.memory_bytes >= 0
        assert one.flops > 0
    for field in ("registers", "chunks", "tile_footprint", "chunk_footprint", "l1_bytes", "code_bytes"):
        assert len({getattr(one, field) for one in found}) > 2, field


@pytest.mark.parametrize("kind", list(WORKLOADS))
def test_code_is_seldom_larger_than_predicted(kind: str) -> None:
    """The prediction is no bound: LLVM unrolls small loops as it likes, of one KiB it made nearly three."""
    space, text = space_of(kind)
    generator = random.Random(2)
    for _ in range(4):
        candidate = sampled(space, generator)
        assert candidate is not None
        report = compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, candidate=candidate)).report
        assert report is not None
        assert 0 < report.text_bytes <= max(UNROLLED, 2 * space.properties(candidate).code_bytes)
        assert report.text_bytes <= LARGEST_CODE


def test_what_would_be_too_large_is_refused_before_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    space, _ = space_of("register-tile")
    every = list(space.candidates())
    sizes = sorted(space.properties(c).code_bytes for c in every)
    assert sizes[-1] < LARGEST_CODE
    middle = int(sizes[len(sizes) // 2])
    monkeypatch.setattr(properties, "LARGEST_CODE", middle)
    left = list(space.candidates())
    assert left == [c for c in every if space.properties(c).code_bytes <= middle]
    refused = next(c for c in every if c not in left)
    error = space.illegal(refused)
    assert isinstance(error, IllegalDecisionError)
    assert "KiB" in str(error)
    drawn = [space.sample(random.Random(seed)) for seed in range(40)]
    assert None in drawn
    assert all(c in left for c in drawn if c is not None)


def test_no_layer_of_the_suites_has_a_default_that_would_be_refused() -> None:
    workloads = [w for name in ("paper", "resnet50") for w in SUITES[name]][::5]
    for workload in workloads:
        case = workload.case(1)
        for text in to_tasks(read(case.model, OPTIONS), OPTIONS).code.values():
            for space in spaces_of_task(text, MACHINE):
                choice = space.choose()
                if choice is not None:
                    found = space.properties(choice.candidate)
                    assert not found.too_large
                    assert found.compile_seconds < LONGEST_COMPILE


def test_a_function_behind_every_output_of_a_winograd_tile_is_counted() -> None:
    """tanh is some forty instructions, 36 times for a tile of 6x6, at four kinds of edges: 68 KB were seen."""
    sizes: dict[str, float] = {}
    for activation in ("", "tanh"):
        layer = Convolution("C2D", (29, 29), 32, 48, 3, 1, 1, bias=True, activation=activation)
        case = layer.case(1)
        for text in to_tasks(read(case.model, OPTIONS), OPTIONS).code.values():
            for space in spaces_of_task(text, MACHINE):
                if space.kind.name == "winograd":
                    choice = space.choose()
                    assert choice is not None
                    values = {**choice.candidate.values, "m": 6, "rows": 0}
                    sizes[activation] = space.kind.properties(space.nest, MACHINE, values).code_bytes
                    assert not any(c.values["m"] == 6 for c in islice(space.candidates(), 500)) or activation == ""
    assert sizes[""] < LARGEST_CODE < sizes["tanh"]
