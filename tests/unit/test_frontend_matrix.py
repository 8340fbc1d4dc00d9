"""Matrix products, reductions and normalisations against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx_cases import RUNS, Case, axis, check, narrowed, normal, shapes

from ansorc.frontends.onnx.ops_matrix import MATRIX
from ansorc.frontends.onnx.ops_normalization import NORMALIZATION
from ansorc.frontends.onnx.ops_reduction import REDUCTION

SIZES = st.integers(1, 5)
ARG = ("ArgMax", "ArgMin")


def test_every_operator_is_here() -> None:
    assert set(MATRIX) == {"MatMul", "Gemm"}
    assert set(NORMALIZATION) == {
        "BatchNormalization",
        "LayerNormalization",
        "LRN",
        "Softmax",
        "InstanceNormalization",
        "LogSoftmax",
    }


@RUNS
@given(data=st.data())
def test_matmul(data: st.DataObject) -> None:
    draw = data.draw
    m, k, n = draw(SIZES), draw(SIZES), draw(SIZES)
    batch = draw(shapes(0, 2, 3))
    left = draw(st.sampled_from([(k,), (*batch, m, k), (*narrowed(draw, batch), m, k)]))
    right = draw(st.sampled_from([(k,), (k, n), (*batch, k, n)]))
    constants = frozenset(draw(st.sampled_from([(), (0,), (1,)])))
    check(Case("MatMul", [normal(draw, left), normal(draw, right)], constants))


@RUNS
@given(data=st.data())
def test_gemm(data: st.DataObject) -> None:
    draw = data.draw
    m, k, n = draw(SIZES), draw(SIZES), draw(SIZES)
    attributes = {
        "transA": draw(st.integers(0, 1)),
        "transB": draw(st.integers(0, 1)),
        "alpha": draw(st.sampled_from([1.0, 0.5])),
        "beta": draw(st.sampled_from([1.0, 0.0, 2.0])),
    }
    a = normal(draw, (k, m) if attributes["transA"] else (m, k))
    b = normal(draw, (n, k) if attributes["transB"] else (k, n))
    operands = [a, b]
    if draw(st.booleans()):
        operands.append(normal(draw, narrowed(draw, (m, n))))
    constants = frozenset(draw(st.sampled_from([(), (1,), (1, 2)])))
    check(Case("Gemm", operands, constants, attributes))


@pytest.mark.parametrize("op", sorted(set(REDUCTION) - set(ARG)))
@RUNS
@given(data=st.data())
def test_reduction(op: str, data: st.DataObject) -> None:
    draw = data.draw
    x = normal(draw, draw(shapes()))
    if op == "ReduceLogSum":
        x = (np.abs(x) + 0.1).astype("float32")
    axes = draw(st.lists(st.integers(0, x.ndim - 1), unique=True, max_size=x.ndim))
    axes = [a - x.ndim if draw(st.booleans()) else a for a in axes]
    attributes: dict[str, Any] = {"keepdims": draw(st.integers(0, 1))}
    if axes:
        check(Case(op, [x, np.int64(axes)], frozenset({1}), attributes))
    else:
        attributes["noop_with_empty_axes"] = draw(st.integers(0, 1))
        # onnxruntime gives x itself there, ONNX the operator of each element.
        assume(not attributes["noop_with_empty_axes"] or op in ("ReduceSum", "ReduceMax"))
        check(Case(op, [x], attributes=attributes))


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd"])
def test_reduction_of_integers(op: str) -> None:
    x = np.random.default_rng(0).integers(-4, 5, (3, 4)).astype("int32")
    check(Case(op, [x, np.int64([1])], frozenset({1})))


@pytest.mark.parametrize("op", ARG)
@RUNS
@given(data=st.data())
def test_place_of_extreme(op: str, data: st.DataObject) -> None:
    x = np.round(normal(data.draw, data.draw(shapes())))  # equal elements are likely
    attributes = {
        "axis": axis(data.draw, x.ndim),
        "keepdims": data.draw(st.integers(0, 1)),
        "select_last_index": data.draw(st.integers(0, 1)),
    }
    check(Case(op, [x], attributes=attributes))


@pytest.mark.parametrize("known", [True, False])
@RUNS
@given(data=st.data())
def test_batch_normalization(known: bool, data: st.DataObject) -> None:
    draw = data.draw
    shape = draw(shapes(2, 5, 4))
    gamma, beta, mean, variance = (normal(draw, [shape[1]]) for _ in range(4))
    check(
        Case(
            "BatchNormalization",
            [normal(draw, shape), gamma, beta, mean, np.abs(variance) + np.float32(0.1)],
            frozenset({1, 2, 3, 4} if known else ()),
            {"epsilon": draw(st.sampled_from([1e-5, 1e-2]))},
        )
    )


@RUNS
@given(data=st.data())
def test_layer_normalization(data: st.DataObject) -> None:
    draw = data.draw
    shape = draw(shapes(1, 4, 6))
    along = axis(draw, len(shape))
    inner = shape[along:] if along >= 0 else shape[along + len(shape) :]
    operands = [normal(draw, shape), normal(draw, inner)]
    if draw(st.booleans()):
        operands.append(normal(draw, inner))
    check(Case("LayerNormalization", operands, frozenset({1, 2}), {"axis": along}, tolerance=1e-4))


@RUNS
@given(data=st.data())
def test_instance_normalization(data: st.DataObject) -> None:
    shape = (2, 3, *data.draw(shapes(1, 3, 5)))
    check(
        Case(
            "InstanceNormalization",
            [normal(data.draw, shape), normal(data.draw, [3]), normal(data.draw, [3])],
            frozenset({1, 2}),
            {"epsilon": 1e-2},
            tolerance=1e-4,
        )
    )


@RUNS
@given(data=st.data())
def test_local_response(data: st.DataObject) -> None:
    draw = data.draw
    attributes = {
        "size": draw(st.sampled_from([1, 3, 5])),
        "bias": 1.5,
        "alpha": 0.3,
        "beta": draw(st.sampled_from([0.5, 0.75, 1.0, 0.6])),
    }
    x = normal(draw, [draw(st.integers(1, 2)), draw(st.integers(1, 7)), 3, 2])
    check(Case("LRN", [x], attributes=attributes))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@RUNS
@given(data=st.data())
def test_softmax(op: str, data: st.DataObject) -> None:
    x = normal(data.draw, data.draw(shapes())) * np.float32(20)
    check(Case(op, [x], attributes={"axis": axis(data.draw, x.ndim)}))
