"""Outputs are fresh arrays as long as anybody has the last ones; the memory of dropped ones is used again."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import ansorc

SHAPE = (512, 513)


@pytest.fixture(scope="module")
def model() -> Any:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
    )  # fmt: skip
    return ansorc.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def filled(number: float) -> np.ndarray:
    return np.full(SHAPE, number, np.float32)


def test_a_result_that_is_kept_is_not_written_again(model: Any) -> None:
    first = model.run({"x": filled(1)})["y"]
    part = model.run({"x": filled(2)})["y"][3:5, 7]  # a view keeps the whole of it
    second = model.run({"x": filled(3)})["y"]
    assert (first == -1).all()
    assert (part == -2).all()
    assert (second == -3).all()


def test_memory_of_a_dropped_result_is_used_again(model: Any) -> None:
    def place() -> int:
        return model.run({"x": filled(1)})["y"].ctypes.data

    assert place() == place() == place()


def test_threads_never_share_a_result(model: Any) -> None:
    wrong: list[float] = []

    def run(number: int) -> None:
        for _ in range(40):
            result = model.run({"x": filled(number)})["y"]
            if not (result == -number).all():
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
