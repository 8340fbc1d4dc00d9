"""Chains of tasks that become one: attention as exporters write it, scores behind softmax, two layers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ansorc.compiler.driver import compile_model, read, to_tasks
from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.options import FUSE_CHAINS, Options
from ansorc.compiler.task_job import TaskJob, compile_task

Array = np.ndarray


def model_of(nodes: list[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "chains",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def attention(queries: int, keys: int, heads: int, size: int) -> tuple[onnx.ModelProto, dict[str, Array], Array]:
    """Rows of queries and keys, split into heads; scaled scores, a mask, softmax, values, heads side by side."""
    generator = np.random.default_rng(0)
    wide = heads * size
    inputs = {n: generator.standard_normal((1, r, wide), np.float32) for n, r in zip("qkv", (queries, keys, keys))}  # noqa: B905
    inputs["mask"] = np.where(generator.random((1, 1, 1, keys)) < 0.2, -np.inf, 0).astype(np.float32)
    weights = {
        "heads_q": np.array([1, queries, heads, size]), "heads_k": np.array([1, keys, heads, size]),
        "rows": np.array([1, queries, wide]), "scale": np.float32([size**0.5]).reshape(()),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        *(node("Reshape", [n, "heads_q" if n == "q" else "heads_k"], [f"{n}1"]) for n in "qkv"),
        *(node("Transpose", [f"{n}1"], [f"{n}2"], perm=[0, 2, 3, 1] if n == "k" else [0, 2, 1, 3]) for n in "qkv"),
        node("MatMul", ["q2", "k2"], ["s"]), node("Div", ["s", "scale"], ["s1"]), node("Add", ["s1", "mask"], ["s2"]),
        node("Softmax", ["s2"], ["p"], axis=-1), node("MatMul", ["p", "v2"], ["o"]),
        node("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]), node("Reshape", ["o1", "rows"], ["y"]),
    ]  # fmt: skip
    q, k, v = (inputs[n].astype(np.float64).reshape(-1, heads, size) for n in "qkv")
    scores = np.einsum("mhd,nhd->hmn", q, k) / size**0.5 + inputs["mask"][0]
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = np.einsum("hmn,nhd->mhd", powers / powers.sum(axis=-1, keepdims=True), v)
    return model_of(nodes, inputs, weights), inputs, expected.reshape(1, queries, wide)


def attention_of_images(
    images: int, rows: int, heads: int, size: int
) -> tuple[onnx.ModelProto, dict[str, Array], Array]:
    """As PyTorch exports it: keys are transposed in stacks of all heads, each image has its own mask."""
    generator = np.random.default_rng(1)
    wide = heads * size
    inputs = {n: generator.standard_normal((images, rows, wide), np.float32) for n in "qkv"}
    inputs["mask"] = np.where(generator.random((images, 1, 1, rows)) < 0.2, -np.inf, 0).astype(np.float32)
    weights = {
        "heads": np.array([images, rows, heads, size]), "stack": np.array([-1, rows, size]),
        "back": np.array([images, heads, size, rows]), "rows": np.array([images, rows, wide]),
        "root": np.float32([size**-0.25]).reshape(()),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        *(node("Reshape", [n, "heads"], [f"{n}1"]) for n in "qkv"),
        *(node("Transpose", [f"{n}1"], [f"{n}2"], perm=[0, 2, 1, 3]) for n in "qkv"),
        node("Reshape", ["k2", "stack"], ["k3"]), node("Transpose", ["k3"], ["k4"], perm=[0, 2, 1]),
        node("Reshape", ["k4", "back"], ["k5"]),
        node("Mul", ["q2", "root"], ["q3"]), node("Mul", ["k5", "root"], ["k6"]),
        node("MatMul", ["q3", "k6"], ["s"]), node("Add", ["s", "mask"], ["s1"]),
        node("Softmax", ["s1"], ["p"], axis=-1), node("MatMul", ["p", "v2"], ["o"]),
        node("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]), node("Reshape", ["o1", "rows"], ["y"]),
    ]  # fmt: skip
    q, k, v = (inputs[n].astype(np.float64).reshape(images, rows, heads, size) for n in "qkv")
    scores = np.einsum("bmhd,bnhd->bhmn", q, k) / size**0.5 + inputs["mask"]
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = np.einsum("bhmn,bnhd->bmhd", powers / powers.sum(axis=-1, keepdims=True), v)
    return model_of(nodes, inputs, weights), inputs, expected.reshape(images, rows, wide)


def kinds(model: onnx.ModelProto, fuse_chains: str) -> list[str]:
    options = Options(fuse_chains=fuse_chains)
    code = to_tasks(read(model, options), options).code
    return [compile_task(TaskJob(text, "linalg", "llvm", options.target)).facts.kind for text in code.values()]


@pytest.mark.parametrize("fuse_chains", FUSE_CHAINS)
@pytest.mark.parametrize(
    "shape",
    [
        (128, 128, 2, 64),
        (7, 32, 3, 80),
        (1, 48, 2, 32),
        (5, 333, 2, 16),
        (9, 333, 2, 16),
        (197, 197, 3, 64),
        (2, 9, 1, 20),
        (1, 1, 1, 8),
    ],
)
def test_attention_is_right_in_one_task_and_in_several(shape: tuple[int, int, int, int], fuse_chains: str) -> None:
    model, inputs, expected = attention(*shape)
    result = compile_model(model, Options(fuse_chains=fuse_chains, use_cache=False)).run(inputs)["y"]
    assert abs(result - expected).max() <= 2e-6 * abs(expected).max()


@pytest.mark.parametrize("shape", [(3, 64, 2, 32), (2, 24, 3, 16), (2, 1, 2, 8), (2, 37, 2, 16)])
def test_attention_of_several_images_is_right(shape: tuple[int, int, int, int]) -> None:
    model, inputs, expected = attention_of_images(*shape)
    result = compile_model(model, Options(use_cache=False)).run(inputs)["y"]
    assert np.array_equal(np.isnan(result), np.isnan(expected))
    assert np.nanmax(abs(result - expected)) <= 2e-6 * np.nanmax(abs(expected))


def test_attention_of_several_images_moves_nothing() -> None:
    """It is one task, which reads what the products before it wrote; its factors are in there, or theirs."""
    assert kinds(attention_of_images(4, 128, 2, 64)[0], "auto").count("chain") == 1
    options = Options()
    code = to_tasks(read(attention_of_images(4, 128, 2, 64)[0], options), options).code
    assert [name for name, text in code.items() if "linalg.transpose" in text and "math.exp" not in text] == []


def test_attention_becomes_one_task_where_models_promise_a_gain() -> None:
    model = attention(128, 128, 2, 64)[0]
    assert kinds(model, "auto") == kinds(model, "always") == ["chain"]
    apart = kinds(model, "never")
    assert "chain" not in apart
    assert len(apart) > 3
    assert "chain" in kinds(attention(9, 333, 2, 16)[0], "always")  # keys that fill no vector are 336
    assert "dot" in kinds(attention(1, 333, 2, 16)[0], "always")  # one row reads keys as they lie


@pytest.mark.parametrize("fuse_chains", FUSE_CHAINS)
def test_two_layers_are_one_task_when_asked(fuse_chains: str) -> None:
    generator = np.random.default_rng(0)
    x, a, b = (generator.standard_normal(s, np.float32) for s in ((24, 32), (32, 64), (64, 16)))
    node = helper.make_node
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "b"], ["y"])]
    model = model_of(nodes, {"x": x}, {"a": a, "b": b})
    assert ("chain" in kinds(model, "always"), "chain" in kinds(model, "never")) == (True, False)
    result = compile_model(model, Options(fuse_chains=fuse_chains, use_cache=False)).run({"x": x})["y"]
    expected = np.maximum(x.astype(np.float64) @ a, 0) @ b
    assert abs(result - expected).max() <= 2e-6 * abs(expected).max()


@pytest.mark.parametrize("fuse_chains", FUSE_CHAINS)
def test_scores_without_a_mask_join_their_softmax(fuse_chains: str) -> None:
    generator = np.random.default_rng(0)
    q, k = generator.standard_normal((3, 20, 16), np.float32), generator.standard_normal((3, 16, 48), np.float32)
    nodes = [helper.make_node("MatMul", ["q", "k"], ["s"]), helper.make_node("Softmax", ["s"], ["y"], axis=-1)]
    model = model_of(nodes, {"q": q, "k": k}, {})
    assert ("chain" in kinds(model, "always"), "chain" in kinds(model, "never")) == (True, False)
    result = compile_model(model, Options(fuse_chains=fuse_chains, use_cache=False)).run({"q": q, "k": k})["y"]
    scores = q.astype(np.float64) @ k
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    assert abs(result - powers / powers.sum(axis=-1, keepdims=True)).max() <= 2e-6


def test_a_word_that_is_no_choice_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="fuse_chains"):
        Options(fuse_chains="sometimes")
