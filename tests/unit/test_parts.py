"""Concatenations whose parts are written where they lie, and pieces that are read there, against onnxruntime."""

from __future__ import annotations

import random
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import ansorc
from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.tools.bench_profile import computes

OPTIONS = Options(records="none")
TOLERANCE = 1e-4
"""Of the largest result: Winograd's algorithm rounds more than onnxruntime; a wrong address is off by far more."""
MACHINE = machine_of(parse_target("native"))
BODIES = {
    "branches before a padded window": """
        a = Conv <pads = [0, 0, 0, 0]> (x, w1)
        b = Relu (a)
        c = Conv <pads = [1, 1, 1, 1]> (x, w3)
        d = Sigmoid (c)
        e = Concat <axis = 1> (b, d)
        f = Conv <pads = [1, 1, 1, 1]> (e, w3)
        y = Relu (f)""",
    "dense block": """
        a = Conv <pads = [1, 1, 1, 1]> (x, w3)
        b = Concat <axis = 1> (a, x)
        c = Relu (b)
        d = Conv <pads = [1, 1, 1, 1]> (c, w3)
        e = Concat <axis = 1> (b, d)
        f = Relu (e)
        g = Conv (f, w1)
        h = Concat <axis = 1> (e, g)
        y = Sigmoid (h)""",
    "depthwise and pointwise": """
        a = Conv <pads = [1, 1, 1, 1], group = 32> (x, depth)
        b = Conv (a, w1)
        c = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)
        d = Concat <axis = 1> (b, c)
        y = Conv (d, w1)""",
    "a value in two wholes": """
        a = Relu (x)
        b = Sigmoid (x)
        c = Concat <axis = 1> (a, b)
        d = Concat <axis = 1> (b, a, a)
        y = Concat <axis = 1> (c, d)""",
    "a part that is a result": """
        a = Conv <pads = [1, 1, 1, 1]> (x, w3)
        z = Relu (a)
        y = Concat <axis = 1> (x, z)""",
    "rows and columns": """
        a = Relu (x)
        b = Sigmoid (x)
        c = Concat <axis = 1> (a, b)
        d = Tanh (x)
        e = Concat <axis = 1> (d, a)
        y = Concat <axis = 3> (c, e)""",
    "softmax": """
        a = Softmax <axis = 1> (x)
        b = Relu (x)
        y = Concat <axis = 1> (a, b)""",
    "pieces of a value": """
        a = Conv (x, w64)
        b, c = Split <axis = 1, num_outputs = 2> (a)
        d = Softmax <axis = 1> (b)
        e = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (c)
        f = Conv <pads = [1, 1, 1, 1]> (b, w3)
        g = Transpose <perm = [0, 1, 3, 2]> (c)
        h = Conv (c, w1)
        i = Concat <axis = 1> (d, e, f, g, h)
        y = Relu (i)""",
    "pieces of parts": """
        a = Conv (x, w64)
        b = Relu (x)
        c = Concat <axis = 1> (b, a)
        d, e, f = Split <axis = 1, num_outputs = 3> (c)
        g = Softmax <axis = 1> (e)
        h = Conv <pads = [1, 1, 1, 1]> (f, w3)
        i, j = Split <axis = 1, num_outputs = 2> (d)
        k = Softmax <axis = 1> (i)
        l = Sigmoid (c)
        y = Concat <axis = 1> (g, h, k, j, l)""",
    "a piece that is a result": """
        a = Conv (x, w64)
        z, b = Split <axis = 1, num_outputs = 2> (a)
        y = Conv (b, w1)""",
    "repeated beside computed, in a border": """
        a = Conv <pads = [1, 1, 1, 1]> (x, w3)
        s = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
        b = Resize <mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric"> (a, , s)
        c = ConvTranspose <strides = [2, 2]> (a, t2)
        d = Relu (c)
        e = Concat <axis = 1> (b, d)
        y = Conv <pads = [1, 1, 1, 1]> (e, w3)""",
    "reduced as a whole": """
        a = Relu (x)
        b = Sigmoid (x)
        c = Concat <axis = 1> (a, b)
        d = ReduceMean <keepdims = 1> (b)
        e, f = Split <axis = 1, num_outputs = 2> (x)
        g = ReduceL2 <keepdims = 1> (f)
        h = Add (d, g)
        i = Softmax <axis = 1> (e)
        j = Add (i, h)
        k = Relu (c)
        y = Concat <axis = 1> (j, k)""",
    "every layer concatenates all before it": """
        a = Conv <pads = [1, 1, 1, 1]> (x, w3)
        b = Concat <axis = 1> (x, a)
        c = Conv <pads = [1, 1, 1, 1]> (b, w3)
        d = Concat <axis = 1> (x, a, c)
        e = Relu (d)
        f = Conv (e, w1)
        g = Concat <axis = 1> (x, a, c, f)
        h = Concat <axis = 1> (x, a, c)
        i = Sigmoid (h)
        y = Concat <axis = 1> (g, i)""",
    "rows of a piece": """
        a = Relu (x)
        b, c = Split <axis = 1, num_outputs = 2> (a)
        d, e = Split <axis = 0, num_outputs = 2> (b)
        f = Sigmoid (c)
        g = Sigmoid (d)
        h = Exp (e)
        i = Concat <axis = 0> (h, g)
        y = Concat <axis = 1> (i, f)""",
    "near channels": """
        a = Conv <pads = [1, 1, 1, 1]> (x, w3)
        b = Relu (a)
        c = LRN <size = 5, alpha = 0.5> (b)
        d = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (c)
        e = LRN <size = 7, alpha = 0.5, beta = 0.6> (d)
        f = Conv <pads = [1, 1, 1, 1]> (e, w3)
        g = LRN <size = 3> (x)
        y = Conv (g, w1)
        z = Sigmoid (f)""",
    "strassen": """
        a = Conv (x, w1)
        b = Conv (x, w64)
        y = Concat <axis = 1> (a, b)""",
}


def model(body: str, sides: int = 12) -> onnx.ModelProto:
    """A model of these nodes of 2 images of 32 channels; weights have as many channels as what they meet."""
    names = ["y", "z"] if re.search(r"\bz\b", body) else ["y"]
    outputs = ", ".join(f"float[a{n}, b{n}, c{n}, d{n}] {n}" for n in names)
    text = f'<ir_version: 8, opset_import: ["": 18]>\ng (float[2, 32, {sides}, {sides}] x) => ({outputs}) {{{body}\n}}'
    proto = onnx.parser.parse_model(text)
    generator = np.random.default_rng(0)
    channels: dict[str, int] = {"x": 32}
    weights: dict[str, np.ndarray] = {}
    for node in proto.graph.node:
        sizes = [channels[i] for i in node.input if i in channels]
        whole = sum(sizes) if node.op_type == "Concat" else max(sizes, default=0)
        channels |= {name: whole // len(node.output) for name in node.output}
        if node.op_type in ("Conv", "ConvTranspose"):
            kind = node.input[1]
            count = {"w64": 64}.get(kind, 32)
            window = {"w1": (1, 1), "w64": (1, 1), "t2": (2, 2)}.get(kind, (3, 3))
            shape = (count, 1 if kind == "depth" else sizes[0], *window)
            node.input[1] = f"{kind}_{node.output[0]}"
            scale = np.float32(np.prod(shape[1:]) ** -0.5)
            weights[node.input[1]] = scale * generator.standard_normal(shape, np.float32)
            channels[node.output[0]] = count
    proto.graph.initializer.extend(numpy_helper.from_array(w, n) for n, w in weights.items())
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    return proto


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("sides", [12, 7])
def test_results(name: str, sides: int) -> None:
    proto = model(BODIES[name], sides)
    x = np.random.default_rng(1).standard_normal((2, 32, sides, sides), np.float32)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    results = ansorc.compile(proto, records="none").run({"x": x})
    for value, found in zip(expected, results.values(), strict=True):
        assert isinstance(value, np.ndarray)
        np.testing.assert_allclose(found, value, atol=TOLERANCE * abs(value).max(), rtol=0)


@pytest.mark.parametrize("name", ["branches before a padded window", "depthwise and pointwise"])
def test_nothing_is_only_moved(name: str) -> None:
    program = to_tasks(read(model(BODIES[name]), OPTIONS), OPTIONS)
    moving = [text for text in program.code.values() if not computes(text)]
    assert all("linalg.transpose" in text for text in moving), "all but the input in the layout of convolutions"
    assert "tensor.concat" in program.main


def test_near_channels_are_read_where_they_lie() -> None:
    body = BODIES["near channels"]
    near, alone = (
        to_tasks(read(model(text), OPTIONS), OPTIONS) for text in (body, re.sub(r"LRN <[^>]*>", "Sigmoid", body))
    )
    transposes, expected = (sum("linalg.transpose" in t for t in p.code.values()) for p in (near, alone))
    assert transposes == expected
    assert sum("math.sqrt" in text or "math.powf" in text for text in near.code.values()) == 3


def test_rows_of_a_piece_are_a_view_of_a_view() -> None:
    """Values without the class token, as attention over tokens has them: queries, keys and values are one tensor."""
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
        g (float[1, 9, 3, 2, 16] x) => (float[34, 2, 16] y)
        <int64[2] ones = {0, 2}, int64[1] first = {1}, int64[1] last = {9}, int64[1] rows = {0}> {
            a = Relu (x)
            q, k, v = Split <axis = 2, num_outputs = 3> (a)
            w = Squeeze (v, ones)
            r = Slice (w, first, last, rows)
            s = Sigmoid (w)
            t = Exp (w)
            u = Sigmoid (r)
            z = Exp (r)
            y = Concat <axis = 0> (s, t, u, z)
        }""")
    x = np.random.default_rng(1).standard_normal((1, 9, 3, 2, 16), np.float32)
    expected = np.asarray(onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0])
    np.testing.assert_allclose(ansorc.compile(proto, records="none").run({"x": x})["y"], expected, rtol=1e-6)


def test_a_concatenation_begins_with_another() -> None:
    """Nothing is copied but the input, into the first of them: the others hold it."""
    program = to_tasks(read(model(BODIES["every layer concatenates all before it"]), OPTIONS), OPTIONS)
    copies = [text for text in program.code.values() if "linalg.copy" in text]
    assert len(copies) <= 1
    assert program.main.count("tensor.concat") == 4


@pytest.mark.parametrize("name", ["branches before a padded window", "repeated beside computed, in a border"])
def test_whoever_makes_a_part_writes_its_border(name: str) -> None:
    program = to_tasks(read(model(BODIES[name]), OPTIONS), OPTIONS)
    convolution = re.compile(r"linalg.conv_2d.* ins\(%\w+, %\w+ : tensor<\w+x64xf32>")
    readers = [text for text in program.code.values() if convolution.search(text)]
    assert readers
    assert all("tensor.pad" not in text for text in readers)


@pytest.mark.parametrize(
    ("name", "views"),
    [("pieces of a value", 2), ("pieces of parts", 4), ("a piece that is a result", 1), ("near channels", 12)],
)
def test_pieces_are_views(name: str, views: int) -> None:
    program = to_tasks(read(model(BODIES[name]), OPTIONS), OPTIONS)
    assert program.main.count("{ansorc.view}") == views


@pytest.mark.parametrize("name", BODIES)
def test_schedules_know_nothing_of_where_values_lie(name: str) -> None:
    program = to_tasks(read(model(BODIES[name]), OPTIONS), OPTIONS)
    pick, generator = random.Random(0), np.random.default_rng(0)
    for text in program.code.values():
        if "ansorc.pitch" not in text:
            continue
        plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, kinds=("loops",))))
        arguments = plain.random_arguments(generator)
        expected = plain.run(arguments).copy()
        for space in spaces_of_task(text, MACHINE):
            for candidate in filter(None, (space.sample(pick) for _ in range(2))):
                job = TaskJob(text, "linalg", "object", OPTIONS.target, candidate=candidate)
                made = runnable(text, compile_task(job)).run(arguments, 2)
                assert abs(made - expected).max() <= TOLERANCE * abs(expected).max(), candidate.to_json()
