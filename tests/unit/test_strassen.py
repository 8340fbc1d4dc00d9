"""Strassen's algorithm: its matrices, what it fits, and that every candidate computes the product."""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_cases import graph_model
from test_sketch import tasks_with_spaces

from ansorc.compiler.driver import compile_to_file
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.strassen import STACK_BYTES, StrassenKind
from ansorc.compiler.sketch.strassen_cost import column_chunks, costs, row_chunks
from ansorc.compiler.sketch.strassen_step import footprint
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.strassen import Pairs
from ansorc.dialect_passes.schedule.strassen_matrices import (
    INPUT,
    OUTPUT,
    WEIGHT,
    amplification,
    transform_weight,
)
from ansorc.runtime.module import CompiledModel
from ansorc.tools.candidate_pairs import tolerance

AVX512 = Machine(64, 32, True, 48 << 10, 2 << 20)


def draw(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_seven_products_make_a_product() -> None:
    left, right = draw((2, 2)).astype(np.float64), draw((2, 2), 1).astype(np.float64)
    made = OUTPUT @ ((INPUT @ left.ravel()) * (WEIGHT @ right.ravel()))
    assert np.allclose(made.reshape(2, 2), left @ right, rtol=0, atol=1e-12)


def test_weights_are_summed_by_blocks() -> None:
    weight = draw((1, 1, 6, 10))
    blocks = [weight[0, 0, k : k + 3, n : n + 5] for k in (0, 3) for n in (0, 5)]
    expected = [sum(c * b for c, b in zip(row, blocks, strict=True)) for row in WEIGHT]
    assert np.allclose(transform_weight(weight), np.array(expected), rtol=1e-6, atol=1e-6)


def test_it_rounds_more() -> None:
    """As measured in f32 against float64."""
    left, right = draw((64, 64)), draw((64, 64), 1)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    blocks = left.reshape(2, 32, 2, 32).transpose(0, 2, 1, 3).reshape(4, 32, 32)
    sums = np.einsum("tb,bmk->tmk", INPUT.astype(np.float32), blocks)
    products = np.matmul(sums, transform_weight(right))
    made = np.einsum("bt,tmn->bmn", OUTPUT.astype(np.float32), products)
    made = made.reshape(2, 2, 32, 32).transpose(0, 2, 1, 3).reshape(64, 64)
    ratio = np.mean((made - exact) ** 2) / np.mean((left @ right - exact) ** 2)
    assert 1 < ratio < 4 * amplification()
    assert amplification() > 1


def product(rows: int, channels: int, filters: int, after: str = "Relu") -> onnx.ModelProto:
    values = {"w": draw((channels, filters), 1), "b": draw((filters,), 2)}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["g"]), helper.make_node(after, ["g"], ["y"])]
    return graph_model(nodes, {"x": draw((rows, channels))}, ["y"], values)


def pointwise(size: tuple[int, int], channels: int, filters: int, batch: int = 1, after: str = "") -> onnx.ModelProto:
    values = {"w": draw((filters, channels, 1, 1), 1), "b": draw((filters,), 2)}
    inputs = {"x": draw((batch, channels, *size))}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"])]
    if after == "residual":
        inputs["r"] = draw((batch, filters, *size), 3)
        nodes.append(helper.make_node("Add", ["c", "r"], ["s"]))
    nodes.append(helper.make_node("Relu", [nodes[-1].output[0]], ["a"]))
    if after == "convolution":  # which reads a border: the result is written inside of one
        values["w2"] = draw((filters, filters, 3, 3), 4)
        nodes.append(helper.make_node("Conv", ["a", "w2"], ["y"], pads=[1, 1, 1, 1]))
    else:
        nodes[-1].output[0] = "y"
    return graph_model(nodes, inputs, ["y"], values)


MODELS = {
    "gemm": product(64, 64, 96),
    "parts": product(16, 512, 64),
    "tanh": product(12, 32, 64, "Tanh"),
    "pointwise": pointwise((6, 8), 32, 64, batch=2),
    "residual": pointwise((8, 8), 64, 32, after="residual"),
    "border": pointwise((6, 6), 32, 32, after="convolution"),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_random_candidates_compute_the_product(name: str) -> None:
    """Against the task's plain loops."""
    options, generator, tried = Options(), random.Random(name), 0
    for text, space in tasks_with_spaces(MODELS[name], options):
        if space.kind.name != "strassen":
            continue
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target, unscheduled=True)))
        arguments = plain.random_arguments(np.random.default_rng(1))
        expected = plain.run(arguments)
        drawn = {c for c in (space.sample(generator) for _ in range(40)) if c is not None}
        if name == "parts":
            drawn = {c for c in drawn if c.values["part"] < 256}
        for candidate in sorted(drawn)[:: max(1, len(drawn) // 6)]:
            job = TaskJob(text, "linalg", "object", options.target, candidate=candidate)
            result = runnable(text, compile_task(job)).run(arguments, threads=2)
            error = abs(result - expected).max() / abs(expected).max()
            assert error <= tolerance(space.nest.channels, amplification()), candidate.to_json()
            tried += 1
    assert tried >= 4


@pytest.mark.parametrize("extents", [(9, 64, 64), (8, 63, 64)])
def test_what_has_no_halves_is_not_in_the_space(extents: tuple[int, int, int]) -> None:
    """Odd rows and channels."""
    for _, space in tasks_with_spaces(product(*extents), Options()):
        assert space.kind.name != "strassen" or space.choose() is None


def space(outer: tuple[int, ...], channels: int, filters: int, machine: Machine = AVX512) -> TaskSpace[Pairs]:
    return TaskSpace(StrassenKind(), Pairs(outer[:-1], outer[-1], filters, channels, 1, 4), machine)


@pytest.mark.parametrize(("outer", "channels", "filters"), [((1024,), 768, 3072), ((16, 14, 7), 256, 1024)])
def test_the_default_is_in_the_space(outer: tuple[int, ...], channels: int, filters: int) -> None:
    whole = space(outer, channels, filters)
    choice = whole.choose()
    assert choice is not None
    assert whole.illegal(choice.candidate) is None
    known = costs(whole.nest, AVX512, choice.candidate.values)
    assert choice.cycles > known.cycles  # with a margin
    pairs = np.prod(outer)
    assert known.products >= 7 * pairs * channels / 2 * filters / 2 / 32  # 32 multiply-adds a cycle


def test_what_a_chunk_keeps_fits_its_stack() -> None:
    for outer in ((1024,), (1, 56, 28)):
        whole, generator = space(outer, 1024, 512), random.Random(3)
        for _ in range(100):
            candidate = whole.sample(generator)
            if candidate is not None:
                (step,) = candidate.sketch.steps
                assert footprint(step, candidate.values, 4) <= STACK_BYTES  # pyright: ignore[reportArgumentType]
                assert row_chunks(whole.nest, candidate.values) * column_chunks(whole.nest, candidate.values) > 1


def test_few_rows_share_out_the_weights() -> None:
    """Each is read for all rows, by one chunk: where several chunks of rows ask for it at a time, they wait."""
    whole = space((64,), 768, 3072)
    choice = whole.choose()
    assert choice is not None
    values = choice.candidate.values
    blocks = 3072 // (2 * values["lanes"] * values["vectors"])
    assert values["chunk_1"] == 64
    assert values["chunk_blocks"] < blocks
    by_rows = {**values, "chunk_1": 32, "chunk_blocks": blocks}
    assert costs(whole.nest, AVX512, by_rows).waits > costs(whole.nest, AVX512, values).waits


def test_sums_of_many_channels_are_made_in_parts() -> None:
    """All rows at a time need room for the sums of all their channels, or for a part's and all products."""
    whole = space((64,), 8192, 768)
    choice = whole.choose()
    assert choice is not None
    values = choice.candidate.values
    assert values["part"] < 4096
    assert values["output_blocks"] == values["chunk_blocks"]
    (step,) = choice.candidate.sketch.steps
    assert footprint(step, {**values, "part": 4096}, 4) > AVX512.l2_bytes  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("exact", [False, True])
def test_exact_leaves_it_out(exact: bool, tmp_path: Path) -> None:
    # By default on a machine of this kind; what others choose is their models' affair.
    path, options = tmp_path / "p.mlir", Options(target=parse_target("znver4"), exact=exact, use_cache=False)
    compile_to_file(product(4096, 1024, 1024), options, path, "scheduled")
    assert ("kind\\22: \\22strassen" in path.read_text()) is not exact


def test_a_library_has_the_summed_weights(tmp_path: Path) -> None:
    """Against float64."""
    path = tmp_path / "p.so"
    model = product(4096, 1024, 1024)
    compile_to_file(model, Options(), path, "so")
    x, w, b = draw((4096, 1024)), draw((1024, 1024), 1), draw((1024,), 2)
    (made,) = CompiledModel(path).run({"x": x}).values()
    expected = np.maximum(x.astype(np.float64) @ w + b, 0)
    assert abs(made - expected).max() <= tolerance(1024, amplification()) * abs(expected).max()
