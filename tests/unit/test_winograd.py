"""Winograd's algorithm: its matrices, what it fits, and that every candidate computes the convolution."""

import random
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from mlir import ir
from onnx import helper
from onnx_cases import graph_model
from test_sketch import tasks_with_spaces

import ansorc
from ansorc.compiler import kernel
from ansorc.compiler.driver import compile_to_file
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.sketch.winograd import WinogradKind
from ansorc.compiler.sketch.winograd_cost import estimate
from ansorc.compiler.sketch.winograd_step import footprint
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.schedule.block_channels import CannotBlock
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.winograd import SquareConvolution, pieces
from ansorc.dialect_passes.schedule.winograd_matrices import POINTS, amplification, matrices, transform_weight
from ansorc.tools.candidate_pairs import tolerance

AVX512 = Machine(64, 32, True, 48 << 10, 2 << 20)


def test_larger_tiles_round_more() -> None:
    """As measured in f32 against float64: 256 results of F(m, 3) in both dims, each a sum of 64 channels."""
    generator = np.random.default_rng(0)
    measured: list[float] = []
    for m in (2, 4, 6):
        known = matrices(m, 3)
        data = generator.standard_normal((256, 64, m + 2, m + 2)).astype(np.float32)
        taps = generator.standard_normal((64, 3, 3)).astype(np.float32)
        bt, g, at = (x.astype(np.float32) for x in (known.input, known.weight, known.output))
        made = at @ ((g @ taps @ g.T) * (bt @ data @ bt.T)).sum(axis=1) @ at.T
        exact = known.output @ (
            (known.weight @ taps.astype(np.float64) @ known.weight.T)
            * (known.input @ data.astype(np.float64) @ known.input.T)
        ).sum(axis=1) @ known.output.T  # fmt: skip
        measured.append(float(np.sqrt(((made - exact) ** 2).mean())))
    factors = [amplification(m, 3) for m in (2, 4, 6)]
    assert measured == sorted(measured)
    assert factors == sorted(factors)
    assert 1 < factors[0] < 2


@pytest.mark.parametrize(("m", "r"), [(m, r) for r in range(2, 8) for m in (2, 4, 6) if m + r - 2 <= len(POINTS)])
def test_the_matrices_filter(m: int, r: int) -> None:
    known, generator = matrices(m, r), np.random.default_rng(m)
    data, taps = generator.standard_normal(m + r - 1), generator.standard_normal(r)
    result = known.output @ ((known.weight @ taps) * (known.input @ data))
    assert np.allclose(result, np.convolve(data, taps[::-1], "valid"), rtol=0, atol=1e-12)


def test_weights_are_transformed_in_both_dims() -> None:
    weight = np.random.default_rng(0).standard_normal((3, 3, 5, 7)).astype(np.float32)
    g = matrices(4, 3).weight
    expected = np.stack([[g @ weight[:, :, i, o] @ g.T for o in range(7)] for i in range(5)]).transpose(2, 3, 0, 1)
    assert np.allclose(transform_weight(weight, 4), expected, rtol=1e-6, atol=0)  # rounded to f32 once


@pytest.mark.parametrize("window", [2, 3, 5])
def test_tiles_cover_an_image(window: int) -> None:
    for extent in range(1, 30):
        for m in (2, 4, 6):
            made = [(p.first * m + k * m, p.results) for p in pieces(extent, m, window) for k in range(p.count)]
            assert sum(results for _, results in made) == extent
            assert [start for start, _ in made] == list(range(0, extent, m))
            assert all(p.rows == p.results + window - 1 for p in pieces(extent, m, window))


def convolution(
    channels: int, filters: int, size: tuple[int, ...], batch: int = 1, after: str = "", bias: bool = True,
    window: int = 3,
) -> onnx.ModelProto:  # fmt: skip
    generator = np.random.default_rng(channels + filters)
    x = generator.standard_normal((batch, channels, *size)).astype(np.float32)
    shape = (filters, channels, *[window] * len(size))
    values = {
        "w": generator.standard_normal(shape).astype(np.float32) / np.sqrt(window**2 * channels).astype(np.float32)
    }
    if bias:
        values["b"] = generator.standard_normal(filters).astype(np.float32)
    pads = [1] * 2 * len(size)
    nodes = [helper.make_node("Conv", ["x", *values], ["c"], pads=pads)]
    inputs = {"x": x}
    if after == "residual":
        inputs["r"] = generator.standard_normal((batch, filters, *size)).astype(np.float32)
        nodes.append(helper.make_node("Add", ["c", "r"], ["s"]))
    elif after == "convolution":
        values["w2"] = generator.standard_normal((filters, filters, *[3] * len(size))).astype(np.float32)
        nodes.append(helper.make_node("Conv", ["c", "w2"], ["s"], pads=pads))
    nodes.append(helper.make_node("Relu", [nodes[-1].output[0]], ["y"]))
    return graph_model(nodes, inputs, ["y"], values)


def transposed(height: int, width: int) -> onnx.ModelProto:
    return graph_model(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])],
        {"x": np.random.default_rng(0).standard_normal((1, 16, height, width)).astype(np.float32)},
        ["y"],
        {"w": np.random.default_rng(1).standard_normal((16, 16, 4, 4)).astype(np.float32)},
    )


MODELS = {
    "whole tiles": convolution(16, 32, (12, 12)),
    "edges": convolution(32, 16, (14, 14), after="residual"),
    "odd": convolution(16, 48, (7, 5), after="convolution"),
    "batch": convolution(8, 16, (8, 8), batch=3, bias=False),
    "three dims": convolution(16, 16, (4, 6, 7)),
    "two taps": convolution(16, 32, (11, 11), window=2),
    "five taps": convolution(16, 16, (9, 10), window=5),
    "phases": transposed(8, 8),
}
"""The window of 2 leaves 12 rows of 11, as pads of 1 are on both sides."""


@pytest.mark.parametrize("name", list(MODELS))
def test_random_candidates_compute_the_convolution(name: str) -> None:
    """Against the task's plain loops."""
    options, generator, found = Options(), random.Random(name), set[int]()
    for text, space in tasks_with_spaces(MODELS[name], options):
        if space.kind.name != "winograd":
            continue
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target, unscheduled=True)))
        arguments = plain.random_arguments(np.random.default_rng(1))
        expected = plain.run(arguments)
        drawn = [c for c in (space.sample(generator) for _ in range(60)) if c is not None]
        fused = [c for c in drawn if c.values["rows"]][:3]
        for candidate in sorted({*[c for c in drawn if not c.values["rows"]][:4], *fused}):
            job = TaskJob(text, "linalg", "object", options.target, candidate=candidate)
            result = runnable(text, compile_task(job)).run(arguments, threads=2)
            error = abs(result - expected).max() / abs(expected).max()
            steps = prod(space.kind.extents(space.nest)[1])
            assert error <= tolerance(steps, amplification(candidate.values["m"], candidate.sketch.reductions[-2])), (
                candidate.to_json()
            )
            found.add(candidate.values["rows"] > 0)
    assert found == ({False} if name in ("odd", "three dims", "five taps") else {True, False})


def test_an_image_of_one_tile_is_written_where_it_belongs() -> None:
    options = Options()
    spaces = [(t, s) for t, s in tasks_with_spaces(transposed(6, 3), options) if s.kind.name == "winograd"]
    assert spaces
    for text, space in spaces:
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", options.target, unscheduled=True)))
        arguments = plain.random_arguments(np.random.default_rng(1))
        expected, choice = plain.run(arguments), space.choose()
        assert choice is not None
        for m in (2, 4, 6):
            wanted = {"m": m, "rows": 0, "lanes": 16, "vectors": 1}
            values = space.nearest({**choice.candidate.values, **wanted})
            assert values is not None
            assert values["m"] == m
            candidate = Candidate(space.sketch, tuple(values.items()))
            made = compile_task(TaskJob(text, "linalg", "object", options.target, candidate=candidate))
            error = abs(runnable(text, made).run(arguments) - expected).max() / abs(expected).max()
            assert error <= tolerance(16 * 4, amplification(m, 2))


def space(lead: tuple[int, ...], size: int, channels: int, filters: int) -> TaskSpace[SquareConvolution]:
    return TaskSpace(WinogradKind(), SquareConvolution(lead, size, size, filters, channels, (), lead, 4), AVX512)


@pytest.mark.parametrize(("size", "channels"), [(56, 64), (28, 128), (14, 256), (7, 512)])
def test_the_default_is_in_the_space(size: int, channels: int) -> None:
    whole = space((1,), size, channels, channels)
    choice = whole.choose()
    assert choice is not None
    assert whole.illegal(choice.candidate) is None
    assert choice.cycles > estimate(whole.nest, AVX512, choice.candidate.values)  # with a margin


def test_more_weights_than_the_direct_algorithm_have_their_price() -> None:
    """On 7x7 pixels the weights are read for few products each; on 56x56 for many."""
    small, large = (space((1,), size, 512, 512) for size in (7, 56))
    few, many = (s.choose() for s in (small, large))
    assert few is not None
    assert many is not None
    direct = 9 * 512 * 512 / 32  # cycles of one pixel, at two FMA of 16 lanes
    assert few.cycles > 0.9 * 49 * direct
    assert many.cycles < 0.5 * 56 * 56 * direct


def test_large_images_keep_rows_of_tiles_in_cache() -> None:
    """Three steps exchange all transformed tiles, between cores or through memory; small ones share out weights."""
    large, small = (space((1,), size, 64 * 56 // size, 64 * 56 // size).choose() for size in (112, 7))
    assert large is not None
    assert small is not None
    assert large.candidate.values["rows"] >= 1
    assert small.candidate.values["rows"] == 0


def test_the_parts_of_an_estimate_bound_it() -> None:
    """The multiplications that are left, at two vectors a cycle, are the least that the ports do."""
    whole, generator = space((1,), 28, 64, 64), random.Random(1)
    for _ in range(20):
        candidate = whole.sample(generator)
        assert candidate is not None
        values, machine = candidate.values, whole.machine
        parts = whole.kind.parts(whole.nest, machine, values)
        tiles = (28 // values["m"] + bool(28 % values["m"])) ** 2
        assert parts["FMA ports"] >= (values["m"] + 2) ** 2 * tiles * 64 * 64 / values["lanes"] / 2
        cycles = estimate(whole.nest, machine, values)
        assert max(parts.values()) <= cycles
        assert parts["memory"] >= (values["m"] + 2) ** 2 * 64 * 64 * 4 / 48


def test_what_a_chunk_keeps_fits_its_stack() -> None:
    whole, generator = space((1,), 56, 256, 256), random.Random(3)
    for _ in range(100):
        candidate = whole.sample(generator)
        assert candidate is not None
        (step,) = candidate.sketch.steps
        assert footprint(step, candidate.values, 4) <= 1 << 20  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("exact", [False, True])
def test_exact_leaves_it_out(exact: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.mlir"
    model = convolution(64, 64, (56, 56))
    compile_to_file(model, Options(exact=exact, use_cache=False), path, "scheduled")
    assert ("kind\\22: \\22winograd" in path.read_text()) is not exact


def test_strides_and_other_windows_do_not_fit() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((1, 16, 9, 9)).astype(np.float32)
    for window, attributes in ((3, {"strides": [2, 2]}), (3, {"dilations": [2, 2]}), (8, {}), (1, {})):
        w = generator.standard_normal((16, 16, window, window)).astype(np.float32)
        model = graph_model([helper.make_node("Conv", ["x", "w"], ["y"], **attributes)], {"x": x}, ["y"], {"w": w})
        assert not [s for _, s in tasks_with_spaces(model, Options()) if s.kind.name == "winograd"]


def test_tiles_without_matrices_are_refused() -> None:
    """A script that was edited by hand could ask for them."""
    model, options = convolution(16, 16, (12, 12), window=5), Options()
    (text,) = (t for t, s in tasks_with_spaces(model, options) if s.kind.name == "winograd")
    with context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        kernel.prepare(module)
        function = next(functions(module))
        kind = WinogradKind()
        nest = kind.describe(function)
        assert kind.space(nest)[0].options(nest, AVX512, {}) == (4, 2)
        values = {"m": 6, "lanes": 16, "vectors": 1, "border": 0, "prefetch": 0}
        with pytest.raises(CannotBlock, match=r"F\(6, 5\) has no matrices"):
            kind.prepare(function, values)


def test_a_network_of_it_computes_the_same() -> None:
    """Two convolutions in a row: the second reads the border that the first one wrote."""
    from onnxruntime import InferenceSession

    model = convolution(32, 32, (28, 28), after="convolution")
    x = np.random.default_rng(5).standard_normal((1, 32, 28, 28)).astype(np.float32)
    (expected,) = InferenceSession(model.SerializeToString()).run(None, {"x": x})
    (result,) = ansorc.compile(model).run({"x": x}).values()
    assert abs(result - expected).max() <= 1e-4 * abs(expected).max()
