"""Small ONNX models for tests, and their comparison with onnxruntime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from reference import run_with_loops, run_with_onnxruntime

from ansorc.frontends.onnx.reader import load_model

Draw = Callable[[st.SearchStrategy[Any]], Any]
OPSET = 22
RUNS = settings(max_examples=8, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Case:
    """One node; `None` among the operands is an absent optional input."""

    op: str
    inputs: Sequence[np.ndarray | None]
    constants: frozenset[int] = frozenset()
    """Positions of operands that are initializers."""
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = OPSET
    tolerance: float = 1e-5
    domain: str = ""


def model_of(case: Case) -> onnx.ModelProto:
    names = ["" if x is None else f"x{i}" for i, x in enumerate(case.inputs)]
    results = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, results, name="node", domain=case.domain, **case.attributes)
    given = [(n, np.asarray(x)) for n, x in zip(names, case.inputs, strict=True) if x is not None]
    return graph_model(
        [node],
        {n: x for n, x in given if int(n[1:]) not in case.constants},
        results,
        {n: x for n, x in given if int(n[1:]) in case.constants},
        case.opset,
    )


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, np.ndarray],
    outputs: Sequence[str],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for n, x in inputs.items()
        ],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(x, n) for n, x in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=min(10, 8 + opset // 20))


def check(case: Case) -> None:
    """Import, run with loops, and compare with onnxruntime."""
    proto = model_of(case)
    inputs = {f"x{i}": x for i, x in enumerate(case.inputs) if x is not None and i not in case.constants}
    compare(proto, inputs, case.tolerance)


def compare(proto: onnx.ModelProto, inputs: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    # numpy turns results of rank 0 into scalars.
    inputs = {name: np.asarray(x) for name, x in inputs.items()}
    expected = run_with_onnxruntime(proto, inputs)
    found = run_with_loops(load_model(proto), inputs)
    assert list(found) == list(expected)
    for name, wanted in expected.items():
        assert found[name].dtype == wanted.dtype
        assert found[name].shape == wanted.shape
        if np.issubdtype(wanted.dtype, np.floating):
            finite = wanted[np.isfinite(wanted)]
            scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
            np.testing.assert_allclose(found[name], wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
        else:
            np.testing.assert_array_equal(found[name], wanted)


def shapes(low: int = 1, high: int = 4, most: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    """Ranks `low` to `high`, sizes 1 to `most`."""
    return st.lists(st.integers(1, most), min_size=low, max_size=high).map(tuple)


def rng_of(draw: Draw) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**20)))


def normal(draw: Draw, shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
    return rng_of(draw).standard_normal(tuple(shape)).astype(dtype)


def whole(draw: Draw, shape: Sequence[int], dtype: str = "int64", low: int = -5, high: int = 6) -> np.ndarray:
    return rng_of(draw).integers(low, high, tuple(shape)).astype(dtype)


def narrowed(draw: Draw, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`."""
    kept = tuple(d if draw(st.booleans()) else 1 for d in shape)
    return kept[draw(st.integers(0, len(kept))) :]


def axis(draw: Draw, rank: int) -> int:
    return draw(st.integers(-rank, rank - 1))
