"""Functions that are computed by polynomials, over all exponents of f32, against float64."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ansorc.compiler.driver import compile_model
from ansorc.compiler.options import Options

ULPS, RELATIVE = 4.0, 1e-6
erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])
FUNCTIONS = {
    "Exp": np.exp,
    "Tanh": np.tanh,
    "Erf": erf,
    "Sigmoid": lambda x: np.where(x < 0, np.exp(x), 1.0) / (1.0 + np.exp(-abs(x))),
    "Log": np.log,
    "Softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-abs(x))),
    "Gelu": lambda x: np.where(np.isinf(x), np.maximum(x, 0), x) * 0.5 * erfc(-x / math.sqrt(2.0)),
}

LIMITS = {
    "Exp": (np.inf, 0), "Tanh": (1, -1), "Erf": (1, -1), "Sigmoid": (1, 0), "Log": (np.inf, np.nan),
    "Softplus": (np.inf, 0), "Gelu": (np.inf, 0),
}  # fmt: skip
"""At plus and minus infinity."""


def numbers() -> np.ndarray:
    """Both signs, every exponent (zero and subnormal numbers, too), 256 fractions each; where functions bend, more."""
    generator = np.random.default_rng(0)
    exponents = np.arange(255, dtype=np.uint32)[:, None] << 23
    bits = (exponents | generator.integers(0, 1 << 23, (255, 256), np.uint32)).reshape(-1)
    sizes = np.concatenate([bits.view(np.float32), generator.uniform(0, 110, 1 << 16).astype(np.float32)])
    return np.concatenate([sizes, -sizes, np.float32([0.0, -0.0])])


def compiled(operator: str, size: int):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])], "function",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (size,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (size,))],
    )  # fmt: skip
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return compile_model(model, Options())


@pytest.mark.parametrize("operator", FUNCTIONS)
def test_errors_stay_below_four_units_in_the_last_place(operator: str) -> None:
    x = numbers()
    found = compiled(operator, x.size).run({"x": x})["y"]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        exact = FUNCTIONS[operator](x.astype(np.float64))
        rounded = exact.astype(np.float32)
    assert np.array_equal(np.isinf(found), np.isinf(rounded))
    if operator != "Gelu":  # all others never pass their limits, by rounding either
        high, low = LIMITS[operator]
        assert not (found > high).any()
        assert not (found < low).any()
    finite = np.isfinite(rounded)
    # By its definition, x / 2 * (1 + erf(x / sqrt(2))), GELU cancels on the left: its error is one of 1 + erf.
    scale = abs(x[finite].astype(np.float64)) if operator == "Gelu" else abs(exact[finite])
    allowed = np.maximum(ULPS * np.spacing(abs(rounded[finite])).astype(np.float64), RELATIVE * scale)
    excess = abs(found[finite].astype(np.float64) - exact[finite]) / allowed
    worst = excess.argmax()
    assert excess[worst] <= 1, f"{operator}({x[finite][worst]}) = {found[finite][worst]}, not {exact[finite][worst]}"


@pytest.mark.parametrize("operator", FUNCTIONS)
def test_infinities_have_their_limits_and_nan_stays(operator: str) -> None:
    x = np.float32([np.inf, -np.inf, np.nan] * 11)  # vectors, and what is left over
    found = compiled(operator, x.size).run({"x": x})["y"]
    high, low = LIMITS[operator]
    limits = np.float32([high, low])
    if operator != "Gelu":  # -inf * 0
        assert np.array_equal(found.reshape(-1, 3)[:, :2], np.broadcast_to(limits, (11, 2)), equal_nan=True)
    assert np.isnan(found.reshape(-1, 3)[:, 2]).all()
    assert (found.reshape(-1, 3)[:, 0] == high).all()
