"""Expansion, depthwise convolution and projection in one task, block by block, against onnxruntime."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ansorc.compiler.driver import compile_model, read, to_tasks
from ansorc.compiler.fusion import fuses
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import from_json
from ansorc.compiler.sketch.chain_nest import ChainNest
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task

TARGET = parse_target("native")
MACHINE = machine_of(TARGET)


@dataclass(frozen=True)
class Block:
    """An inverted residual."""

    images: int = 1
    height: int = 12
    width: int = 12
    channels: int = 16
    wide: int = 32
    filters: int = 16
    window: int = 3
    stride: int = 1
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    """Before and after, as ONNX has them: top, left, bottom, right."""
    activation: str = "Clip"
    residual: bool = False
    inner: bool = False
    """Whether something else is added to what is expanded."""
    shared: bool = False
    """Whether all layers have one bias, as exporters write it where it is zero."""
    dilation: int = 1
    first: int = 1
    """The window of the expansion."""
    first_stride: int = 1


BLOCKS = {
    "plain": Block(),
    "images, a residual": Block(images=3, residual=True),
    "strides, a border on one side": Block(height=16, width=16, stride=2, pads=(0, 0, 1, 1), filters=24),
    "strides that do not divide": Block(height=13, width=11, stride=2),
    "not square": Block(height=7, width=20, wide=48),
    "a window of 5": Block(window=5, pads=(2, 2, 2, 2)),
    "a wider border than the window needs": Block(pads=(2, 3, 1, 0)),
    "no border": Block(pads=(0, 0, 0, 0)),
    "dilation": Block(dilation=2, pads=(2, 2, 2, 2)),
    "what is not 0 at 0": Block(activation="Sigmoid"),
    "no activation": Block(activation=""),
    "columns of different widths": Block(filters=24, wide=80, channels=24),
    "first layers of a network": Block(height=24, width=20, channels=3, first=3, first_stride=2),
    "a residual in the middle": Block(height=13, width=11, stride=2, wide=48, inner=True),
    "layers share a constant": Block(wide=16, residual=True, shared=True),
    "windows of windows": Block(first=3, stride=2, height=17),
}


def model_of(block: Block) -> tuple[onnx.ModelProto, np.ndarray]:
    """Return an inverted residual between two transposes, and its input."""
    generator = np.random.default_rng(0)
    k = block.window
    shapes = {
        "w0": (block.wide, block.channels, block.first, block.first), "b0": (block.wide,),
        "w1": (block.wide, 1, k, k), "b1": (block.wide,),
        "w2": (block.filters, block.wide, 1, 1), "b2": (block.filters,), "w3": (block.wide, block.channels, 1, 1),
    }  # fmt: skip
    weights = {n: generator.standard_normal(s, np.float32) * np.float32(0.3) for n, s in shapes.items()}
    weights |= {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
    node = helper.make_node
    first_bias, last_bias = ("b1", "b1") if block.shared else ("b0", "b2")

    def activated(name: str) -> list[onnx.NodeProto]:
        bounds = ["low", "high"] if block.activation == "Clip" else []
        return [node(block.activation or "Identity", [name, *bounds], [f"{name}a"])]

    nodes = [
        node("Transpose", ["x"], ["x1"], perm=[0, 3, 1, 2]),
        node("Abs", ["x1"], ["x2"]),
        node("Conv", ["x2", "w0", first_bias], ["e"], strides=[block.first_stride] * 2, pads=[block.first // 2] * 4),
        *activated("e"),
        *([node("Conv", ["x2", "w3"], ["z"]), node("Add", ["ea", "z"], ["eb"])] if block.inner else []),
        node("Conv", ["eb" if block.inner else "ea", "w1", "b1"], ["d"], group=block.wide, strides=[block.stride] * 2,
             pads=block.pads, dilations=[block.dilation] * 2), *activated("d"),
        node("Conv", ["da", "w2", last_bias], ["s" if block.residual else "y1"]),
        *([node("Add", ["s", "x2"], ["y1"])] if block.residual else []),
        node("Transpose", ["y1"], ["y"], perm=[0, 2, 3, 1]),
    ]  # fmt: skip
    size = (block.images, block.height, block.width, block.channels)
    graph = helper.make_graph(
        nodes, "inverted_residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, generator.standard_normal(size, np.float32)


def fused_task(block: Block) -> str:
    options = Options(fuse_chains="always")
    tasks = to_tasks(read(model_of(block)[0], options), options).code.values()
    (text,) = (t for t in tasks if "depthwise" in t)
    assert text.count("linalg.conv_2d_nhwc_hwcf") == 2
    return text


def test_what_only_seems_to_be_a_chain_is_not_fused() -> None:
    """One argument that two layers read, each by its own channels: numbers fit, and then a schedule cannot split it."""
    text = fused_task(BLOCKS["layers share a constant"])
    biases = re.findall(r"(%arg\d+): tensor<16xf32> {ansorc.constant}", text)
    assert len(biases) == 3
    head, body = text.split("\n", 4)[:4], text.split("\n", 4)[4]
    shared = "\n".join([*head, re.sub(rf"{biases[2]}\b", biases[0], body)])
    assert shared != text
    assert [fuses(Options(fuse_chains="always"))(t, []) for t in (text, shared)] == [True, False]


def chains(text: str) -> TaskSpace[ChainNest]:
    (space,) = (s for s in spaces_of_task(text, MACHINE) if s.kind.name == "chain")
    return space


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("fuse_chains", ["always", "never"])
def test_one_task_or_three_compute_the_same(name: str, fuse_chains: str) -> None:
    model, x = model_of(BLOCKS[name])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, {"x": x})[0])
    result = compile_model(model, Options(fuse_chains=fuse_chains, use_cache=False)).run({"x": x})["y"]
    assert abs(result - expected).max() <= 3e-6 * abs(expected).max()


@pytest.mark.parametrize("name", BLOCKS)
def test_random_candidates_compute_their_task(name: str) -> None:
    text = fused_task(BLOCKS[name])
    plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET, unscheduled=True)))
    arguments = plain.random_arguments(np.random.default_rng(0))
    expected = plain.run(arguments)
    space, generator = chains(text), random.Random(0)
    drawn = set(islice(filter(None, (space.sample(generator) for _ in range(60))), 4))
    assert len(drawn) > 2
    for candidate in sorted(drawn):
        assert from_json(candidate.to_json()) == candidate
        made = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET, candidate=candidate)))
        assert abs(made.run(arguments) - expected).max() <= 1e-5 * abs(expected).max(), candidate.to_json()


def test_nothing_wide_is_written() -> None:
    text = fused_task(Block(height=28, width=28, wide=96))
    choice = chains(text).choose()
    assert choice is not None
    code = compile_task(TaskJob(text, "linalg", "object", TARGET, candidate=choice.candidate))
    assert code.facts.scratch == ()
    assert len(code.facts.sections) == 1


def test_a_chunk_computes_what_its_windows_cover() -> None:
    space = chains(fused_task(Block(height=28, width=28, stride=2)))
    choice = space.choose()
    assert choice is not None
    rows = {"block_" + str(c): 7 for c in space.nest.rows} | {f"block_{space.nest.rows[0]}": 1}
    values = space.nearest({**choice.candidate.values, **rows})
    assert values is not None
    first, window, last = (space.nest.stages[k] for k, _ in space.nest.products)
    assert space.nest.block_rows(first, values) == 15 * 15
    assert space.nest.block_rows(window, values) == space.nest.block_rows(last, values) == 7 * 7


def test_what_others_read_is_written() -> None:
    model, _ = model_of(Block())
    model.graph.output.append(helper.make_tensor_value_info("ea", TensorProto.FLOAT, None))
    options = Options(fuse_chains="always")
    tasks = to_tasks(read(model, options), options).code.values()
    assert not any("depthwise" in t and t.count("linalg.conv_2d_nhwc_hwcf") == 2 for t in tasks)
