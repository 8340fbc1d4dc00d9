"""Workloads by name, as `ansorc-tune op` takes them: those of Ansor's `tune_test.py`, and every layer of the suites."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, helper

from ansorc.compiler.errors import AnsorcError
from ansorc.tools.suites import PAPER, RESNET18, RESNET50
from ansorc.tools.workloads import (
    BatchMatmul,
    Dense,
    MatrixNorm,
    Workload,
    activation_node,
    model_of,
    normal,
)
from ansorc.tools.workloads_convolution import Convolution
from ansorc.tools.workloads_memory import Chain, Rows, Window

COLUMNS = 64
"""Of the two-dimensional workloads whose name has one size."""


class UnknownWorkloadError(AnsorcError):
    """No workload has this name."""

    def __init__(self, name: str, why: str = "") -> None:
        near = difflib.get_close_matches(name, examples(), n=3, cutoff=0.5)
        hint = f"; names like it: {', '.join(near)}" if near else ""
        super().__init__(f"unknown workload {name!r}{why}{hint}\n`ansorc-tune op --list` lists all")


@dataclass(frozen=True)
class Named:
    """A model of one workload."""

    name: str
    model: ModelProto
    flops: int
    """0: not counted."""


def _layers(layers: tuple[Workload, ...]) -> tuple[Workload, ...]:
    return tuple(w for w in layers if isinstance(w, Convolution))


FAMILIES: Mapping[str, tuple[Workload, ...]] = {
    "nhwc-resnet-18.C": _layers(RESNET18),
    "nhwc-resnet-50.C": _layers(RESNET50),
    **{f"{op}.": tuple(w for w in PAPER if w.operator == op) for op in dict.fromkeys(w.operator for w in PAPER)},
}
"""`nhwc-resnet-50.C2.B16` is the third convolution in the network's order with a batch of 16, `C2D.0` the first C2D."""

SINGLE: Mapping[str, Workload] = {
    "conv2d-bn-relu": Convolution("C2D", (7, 7), 512, 512, 3, 1, 1, bias=True, activation="relu"),
    "depthwise-conv2d": Convolution("DEP", (112, 112), 32, 32, 3, 1, 1, groups=32),
    "transpose-conv2d": Convolution("T2D", (4, 4), 512, 256, 4, 2, 1, transposed=True),
    "bert-softmax": Rows("Softmax", 16 * 12 * 128, 128),
    "mean-nhwc": Window("AveragePool", 7, 128, 7),
    "dense-gelu": Dense("Dense", 128, 768, 3072, activation="gelu"),
}

SIZED: Mapping[str, Callable[[int], Workload]] = {
    "softmax": lambda n: Rows("Softmax", n, COLUMNS),
    "add": lambda n: Chain("add relu", (n, COLUMNS)),
    "norm": lambda n: MatrixNorm(n, COLUMNS),
}


def _least(n: int) -> ModelProto:
    x = {"x": np.zeros((n, COLUMNS), np.float32)}
    return model_of(
        [helper.make_node("ReduceMin", ["x", "axes"], ["y"], keepdims=0)], x, (n,), {"axes": np.array([1], np.int64)}
    )


def _where_least(n: int) -> ModelProto:
    x = {"x": np.zeros((n, COLUMNS), np.float32)}
    index = helper.make_node("ArgMin", ["x"], ["k"], axis=1, keepdims=0)
    return model_of([index, helper.make_node("Cast", ["k"], ["y"], to=1)], x, (n,))


def _add_least(n: int) -> ModelProto:
    x = {"a": np.zeros((n, COLUMNS), np.float32), "b": np.zeros((n, COLUMNS), np.float32)}
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("ReduceMin", ["s", "axes"], ["m"], keepdims=0),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    return model_of(nodes, x, (n,), {"axes": np.array([1], np.int64)})


def _max_pool() -> ModelProto:
    x = {"x": np.zeros((2, 512, 7, 7), np.float32)}
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[1, 1], pads=[1, 1, 1, 1])
    return model_of([node], x, (2, 512, 8, 8))


def _double_matmul() -> ModelProto:
    x = {name: np.zeros((512, 512), np.float32) for name in "abc"}
    nodes = [helper.make_node("MatMul", ["a", "b"], ["d"]), helper.make_node("MatMul", ["d", "c"], ["y"])]
    return model_of(nodes, x, (512, 512))


def _conv_relu_softmax_min() -> ModelProto:
    generator = np.random.default_rng(0)
    w = normal(generator, (512, 512, 3, 3), 0.02)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        activation_node("relu", "c", "r"),
        helper.make_node("Softmax", ["r"], ["s"], axis=1),
        helper.make_node("ReduceMin", ["s", "axes"], ["y"], keepdims=0),
    ]
    constants = {"w": w, "axes": np.array([1], np.int64)}
    return model_of(nodes, {"x": np.zeros((1, 512, 7, 7), np.float32)}, (1, 7, 7), constants)


GRAPHS: Mapping[str, Callable[[], ModelProto]] = {
    "max-pool-2d": _max_pool,
    "double-matmul": _double_matmul,
    "conv2d-relu-softmax-min": _conv_relu_softmax_min,
}
SIZED_GRAPHS: Mapping[str, Callable[[int], ModelProto]] = {
    "min": _least,
    "argmin": _where_least,
    "add-min-relu": _add_least,
}


def examples() -> list[str]:
    """Return a name of every workload; sized ones with a size."""
    layers = [f"{family}{k}" for family, ws in FAMILIES.items() for k in range(len(ws))]
    sized = [f"{name}-4096" for name in (*SIZED, *SIZED_GRAPHS)]
    return ["matmul-512", "matmul-256-512-1024", *sized, *SINGLE, *GRAPHS, *layers]


def named(text: str) -> Named:
    """Return the model of a workload; raises UnknownWorkloadError."""
    name, batch = text, 1
    found = re.fullmatch(r"(.+)\.B(\d+)", text)
    if found:
        name, batch = found[1], int(found[2])
        if batch < 1:
            raise UnknownWorkloadError(text, ": its batch is 0")
    if name in GRAPHS:
        return Named(text, GRAPHS[name](), 0)
    workload = _workload(name, text)
    if isinstance(workload, ModelProto):
        return Named(text, workload, 0)
    return Named(text, workload.case(batch).model, workload.flops(batch))


def _workload(name: str, text: str) -> Workload | ModelProto:
    if name in SINGLE:
        return SINGLE[name]
    product = re.fullmatch(r"matmul-(\d+)(?:-(\d+)-(\d+))?", name)
    if product:
        n, k, m = (int(part or product[1]) for part in product.groups())
        if min(n, k, m) < 1:
            raise UnknownWorkloadError(text, ": its sizes have to be at least 1")
        return BatchMatmul("GMM", n, m, k)
    sized = re.fullmatch(r"([a-z-]+)-(\d+)", name)
    if sized and int(sized[2]) > 0:
        if sized[1] in SIZED:
            return SIZED[sized[1]](int(sized[2]))
        if sized[1] in SIZED_GRAPHS:
            return SIZED_GRAPHS[sized[1]](int(sized[2]))
    for family, layers in FAMILIES.items():
        number = name.removeprefix(family)
        if number != name and number.isdecimal():
            if int(number) >= len(layers):
                raise UnknownWorkloadError(text, f": {family} has 0 to {len(layers) - 1}")
            return layers[int(number)]
    raise UnknownWorkloadError(text)
