"""Padded inputs whose border nobody writes before: where it is made is a decision, and no result depends on it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from random_candidates import compared

import ansorc
from ansorc.compiler.driver import compile_model, read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.schedule_task import all_kinds
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.dialect_passes.schedule.border import EACH_READ, WHERE_NEEDED, Border

OPTIONS = Options()
MACHINE = machine_of(parse_target("native"))
CASES: dict[str, dict[str, Any]] = {
    "one dim": {"spatial": (37,), "pads": (1, 1)},
    "plain": {"spatial": (14, 14), "pads": (1, 1, 1, 1)},
    "strides": {"spatial": (15, 15), "pads": (1, 1, 1, 1), "strides": (2, 2)},
    "sides that differ": {"spatial": (13, 12), "pads": (0, 2, 1, 0)},
    "dilated": {"spatial": (12, 12), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
    "windows in nothing but border": {"spatial": (4, 5), "pads": (5, 4, 4, 5)},
    "groups": {"spatial": (12, 12), "pads": (1, 1, 1, 1), "group": 4},
    "depthwise": {"spatial": (12, 12), "pads": (1, 1, 1, 1), "group": 32},
    "three dims": {"spatial": (4, 8, 8), "pads": (1, 1, 1, 1, 1, 1)},
    "few channels": {"spatial": (21, 21), "pads": (1, 1, 1, 1), "channels": 3},
}


def convolution(
    spatial: tuple[int, ...], pads: tuple[int, ...], channels: int = 32, group: int = 1, **attributes: Any
) -> onnx.ModelProto:
    """A convolution of the graph's input, in the layout that our tasks have."""
    rank, generator = len(spatial), np.random.default_rng(0)
    weight = generator.standard_normal((32, channels // group, *[3] * rank), np.float32)
    last, first = [0, *range(2, rank + 2), 1], [0, rank + 1, *range(1, rank + 1)]
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["x"], ["a"], perm=first),
            helper.make_node("Conv", ["a", "w"], ["b"], pads=pads, group=group, **attributes),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("Transpose", ["c"], ["y"], perm=last),
        ],
        "border",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *spatial, channels))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def expected_of(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def input_of(model: onnx.ModelProto) -> np.ndarray:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return np.random.default_rng(1).standard_normal([d.dim_value for d in dims], np.float32)


def task_of(model: onnx.ModelProto) -> tuple[str, str]:
    """The only task, which pads what it reads."""
    ((name, text),) = to_tasks(read(model, OPTIONS), OPTIONS).code.items()
    assert "tensor.pad" in text
    return name, text


def with_border(text: str, kind: str, border: int, count: int, lead: int = 0) -> list[Candidate]:
    """Random candidates that make the border in one place."""
    spaces = [s for s in spaces_of_task(text, MACHINE) if s.kind.name == kind]
    generator, found = random.Random(lead), list[Candidate]()
    for _ in range(400 if spaces else 0):
        candidate = spaces[0].sample(generator)
        if candidate is not None and candidate.values["border"] == border and candidate not in found:
            found.append(candidate)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_place_of_the_border_gives_the_same(case: str) -> None:
    model = convolution(**CASES[case])
    name, text = task_of(model)
    x = input_of(model)
    expected = expected_of(model, x)
    for border in (0, 1):
        candidates = with_border(text, "register-tile", border, 2)
        assert candidates
        for candidate in candidates:
            made = compile_model(model, Options(candidates={name: candidate})).run({"x": x})["y"]
            assert abs(made - expected).max() <= 1e-5 * abs(expected).max(), candidate.to_json()


IN_PLACE: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "one dim": ({"spatial": (40,), "pads": (1, 1)}, (5,)),
    "plain": ({"spatial": (16, 18), "pads": (1, 1, 1, 1)}, (4, 6)),
    "strides": ({"spatial": (31, 24), "pads": (1, 1, 1, 1), "strides": (2, 2)}, (4, 3)),
    "sides that differ": ({"spatial": (17, 21), "pads": (0, 2, 1, 0)}, (4, 7)),
    "dilated": ({"spatial": (20, 20), "pads": (2, 2, 2, 2), "dilations": (2, 2)}, (5, 5)),
    "groups": ({"spatial": (16, 16), "pads": (1, 1, 1, 1), "group": 4}, (4, 4)),
    "depthwise": ({"spatial": (16, 16), "pads": (1, 1, 1, 1), "group": 32}, (4, 4)),
    "three dims": ({"spatial": (8, 8, 8), "pads": (1, 1, 1, 1, 1, 1)}, (2, 2, 2)),
    "few channels": ({"spatial": (32, 32), "pads": (1, 1, 1, 1), "channels": 3}, (8, 4)),
}
"""Convolutions, and outputs of a chunk, of which some read no border."""


@pytest.mark.parametrize("case", IN_PLACE)
def test_chunks_without_a_border_read_the_input_where_it_lies(case: str) -> None:
    shape, chunk = IN_PLACE[case]
    wanted = {"border": WHERE_NEEDED, **{f"chunk_{k + 1}": size for k, size in enumerate(chunk)}}
    assert compared(convolution(**shape), "register-tile", 40, 1e-5, wanted) >= 2


UNMADE: dict[str, dict[str, Any]] = {
    "one dim": {"spatial": (37,), "pads": (1, 1)},
    "plain": {"spatial": (14, 13), "pads": (1, 1, 1, 1)},
    "strides": {"spatial": (15, 16), "pads": (1, 1, 1, 1), "strides": (2, 2)},
    "sides that differ": {"spatial": (13, 12), "pads": (0, 2, 1, 0)},
    "dilated": {"spatial": (12, 12), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
    "windows in nothing but border": {"spatial": (4, 5), "pads": (5, 4, 4, 5)},
    "rows alone": {"spatial": (9, 12), "pads": (1, 0, 1, 0)},
}


@pytest.mark.parametrize("case", UNMADE)
@pytest.mark.parametrize("wanted", [{}, {"unroll": 1}], ids=["any", "loops over taps"])
def test_vectors_ask_whether_they_lie_in_a_border_that_nobody_makes(case: str, wanted: dict[str, int]) -> None:
    wanted = {"border": EACH_READ, **wanted}
    assert compared(convolution(**UNMADE[case], group=32), "register-tile", 12, 1e-5, wanted) >= 4


def test_a_maximum_is_not_taken_of_zeros_that_nobody_makes() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
            helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Transpose", ["b"], ["y"], perm=[0, 2, 3, 1]),
        ],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 21, 22, 32))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert compared(model, "register-tile", 12, 0.0, {"border": EACH_READ}) >= 4
    name, text = task_of(model)
    x = -1 - abs(input_of(model))
    for candidate in with_border(text, "register-tile", EACH_READ, 2):
        made = compile_model(model, Options(candidates={name: candidate})).run({"x": x})["y"]
        assert (made == expected_of(model, x)).all()


def test_only_where_vectors_are_read_may_they_ask() -> None:
    dense, depthwise = convolution(**CASES["plain"]), convolution(**CASES["depthwise"])
    assert with_border(task_of(depthwise)[1], "register-tile", EACH_READ, 1)
    assert not with_border(task_of(dense)[1], "register-tile", EACH_READ, 1)  # numbers of its input are


def test_what_lies_in_the_rows_of_a_larger_value_is_copied() -> None:
    border = Border((0, 1, 0), (0, 1, 0), (1, 30, 8), ((1, 0, 0, 0, 0), (0, 2, 0, 1, 0), (0, 0, 0, 0, 1)), 4)
    assert border.room([1, 11, 8]) == 11 * 8 * 4
    assert replace(border, in_place=False).room([1, 11, 8]) is None
    rows = Border((0, 0, 1, 0), (0, 0, 1, 0), (1, 9, 9, 8), ((0, 0),) * 4, 4)
    assert rows.room([1, 3, 7, 8]) == 3 * 7 * 8 * 4
    assert rows.room([1, 3, 9, 8]) is None  # of the input, a row is shorter


def test_an_argument_that_lies_apart_is_copied() -> None:
    """Of rows with gaps between them, one stride does not read both what lies there and a copy."""
    _, text = task_of(convolution(**IN_PLACE["plain"][0]))
    (argument,) = re.findall(r"%arg0: tensor<[^>]+>", text)
    apart = text.replace(argument, f"{argument} {{ansorc.pitch = array<i64: 32, 64>}}")
    for source, expected in ((text, True), (apart, False)):
        (space,) = (s for s in spaces_of_task(source, MACHINE) if s.kind.name == "register-tile")
        assert space.nest.border.in_place == expected
        wanted = {"border": WHERE_NEEDED, "chunk_1": 4, "chunk_2": 6}
        chosen = space.nearest(wanted)
        assert chosen is not None
        assert (chosen["border"] == WHERE_NEEDED) == expected


def test_a_share_of_the_chunks_reads_a_border() -> None:
    # 14 outputs that move by 2, windows of 3 in 30: the first chunk and the last read one.
    border = Border((0, 1, 0), (0, 1, 0), (1, 30, 8), ((1, 0, 0, 0, 0), (0, 2, 0, 1, 0), (0, 0, 0, 0, 1)), 4)
    assert border.crossing([1, 2, 8, 3, 8], [1, 14, 8, 3, 8]) == pytest.approx(1 / 7)
    assert replace(border, high=(0, 3, 0)).crossing([1, 2, 8, 3, 8], [1, 14, 8, 3, 8]) == pytest.approx(2 / 7)
    assert border.crossing([1, 14, 8, 3, 8], [1, 14, 8, 3, 8]) == 1


@pytest.mark.parametrize(("case", "border"), [("plain", 0), ("plain", 1), ("three dims", 0)])
def test_winograd_has_the_choice_too(case: str, border: int) -> None:
    model = convolution(**{**CASES[case], "spatial": (4, 12, 12)[-len(CASES[case]["spatial"]) :]})
    name, text = task_of(model)
    x = input_of(model)
    expected = expected_of(model, x)
    candidates = with_border(text, "winograd", border, 2)
    assert candidates
    for candidate in candidates:
        made = compile_model(model, Options(candidates={name: candidate})).run({"x": x})["y"]
        assert abs(made - expected).max() <= 1e-4 * abs(expected).max(), candidate.to_json()


def test_the_border_of_a_maximum_is_no_zero() -> None:
    graph = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 11, 11))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = -1 - abs(input_of(model))
    assert (ansorc.compile(model).run({"x": x})["y"] == expected_of(model, x)).all()


@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_other_element_types(kind: type) -> None:
    weight = np.random.default_rng(0).standard_normal((16, 8, 3, 3)).astype(kind)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "border",
        [helper.make_tensor_value_info("x", element, (1, 8, 10, 10))],
        [helper.make_tensor_value_info("y", element, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = input_of(model).astype(kind)
    padded = np.pad(x.astype(np.float64), np.array(((0, 0), (0, 0), (1, 1), (1, 1))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("nchwij,fcij->nfhw", windows, weight.astype(np.float64))
    result = ansorc.compile(model).run({"x": x})["y"]
    assert result.dtype == kind
    assert abs(result - expected).max() <= (1e-12 if kind is np.float64 else 2e-2) * abs(expected).max()


def test_a_value_that_others_read_is_padded_by_its_reader() -> None:
    """A residual: the sum reads what a convolution pads, so its maker cannot write it with a border.

    The last sum reads what its own convolution pads, by channels: that is padded in a task of its own. The graph's
    input is padded where it is transposed.
    """
    weights = [np.random.default_rng(k).standard_normal((16, 16, 3, 3), np.float32) * 0.1 for k in range(2)]

    def conv(source: str, weight: str, target: str) -> onnx.NodeProto:
        return helper.make_node("Conv", [source, weight], [target], pads=[1, 1, 1, 1])

    graph = helper.make_graph(
        [
            conv("x", "w0", "a"), helper.make_node("Relu", ["a"], ["b"]),
            conv("b", "w1", "c"), conv("c", "w0", "d"), helper.make_node("Add", ["b", "d"], ["e"]),
            conv("e", "w1", "f"), helper.make_node("Add", ["e", "f"], ["y"]),
        ],
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 12, 12))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(weights)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = input_of(model)
    padding = [t for t in to_tasks(read(model, OPTIONS), OPTIONS).code.values() if "tensor.pad" in t]
    assert sum("conv" in t and t.index("tensor.pad") < t.index("conv") for t in padding) == 1
    expected = expected_of(model, x)
    for options in (OPTIONS, Options(exact=True)):
        result = compile_model(model, options).run({"x": x})["y"]
        assert abs(result - expected).max() <= 1e-5 * abs(expected).max()


def test_a_tile_is_what_its_iterations_read() -> None:
    border = Border((0, 1, 0), (0, 1, 0), (1, 30, 8), ((1, 0, 0, 0, 0), (0, 2, 0, 1, 0), (0, 0, 0, 0, 1)), 4)
    assert border.tile([1, 5, 16, 3, 8]) == (1, 11, 8)
    assert border.tile([1, 99, 16, 3, 8]) == (1, 30, 8)
    assert border.size == 960


@pytest.mark.parametrize("case", CASES)
def test_without_a_schedule_the_border_is_there_too(case: str) -> None:
    model = convolution(**CASES[case])
    _, text = task_of(model)
    made = runnable(text, compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, unscheduled=True)))
    arguments = made.random_arguments(np.random.default_rng(0))
    usual = runnable(text, compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, kinds=all_kinds(exact=True))))
    loops = runnable(text, compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, kinds=("loops",))))
    expected = made.run(arguments)
    for other in (usual, loops):
        assert abs(other.run(arguments) - expected).max() <= 1e-5 * abs(expected).max()
