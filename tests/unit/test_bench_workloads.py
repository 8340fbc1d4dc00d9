"""The workloads of `ansorc-bench ops`: sizes, graphs, references and suites."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from small_layers import MEMORY

from ansorc.tools.measure import relative_error
from ansorc.tools.networks.seeded import network_path
from ansorc.tools.suites import PAPER, SUITES
from ansorc.tools.workloads import AttentionScores, BatchMatmul, Dense, MatrixNorm, Workload
from ansorc.tools.workloads_convolution import Capsules, Convolution
from ansorc.tools.workloads_places import Lookup

TINY: tuple[Workload, ...] = (
    Convolution("C1D", (9,), 4, 6, 3, 2, 1),
    Convolution("C2D", (7, 6), 3, 5, 3, 2, 1, bias=True, activation="relu"),
    Convolution("C2D", (7, 7), 3, 5, 1, 1, 0, bias=True, activation="relu6"),
    Convolution("C3D", (4, 5, 6), 2, 3, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    Convolution("GRP", (6, 6), 8, 12, 3, 1, 1, groups=4),
    Convolution("DIL", (9, 9), 3, 4, 3, 1, 1, dilation=2),
    Convolution("DEP", (8, 8), 6, 6, 3, 2, 1, groups=6),
    Convolution("T2D", (3, 4), 5, 3, 4, 2, 1, transposed=True),
    Convolution("T2D", (3, 3), 5, 3, 4, 2, 1, transposed=True, bias=True, activation="tanh"),
    Capsules((6, 5), 3, 2, 3, 2, 1),
    Capsules((4, 4), 2, 3, 3, 1, 1),
    BatchMatmul("GMM", 5, 6, 7),
    BatchMatmul("GMM", 5, 6, 7, count=3),
    Dense("Dense", 3, 8, 5, activation="gelu"),
    Dense("Dense", 1, 8, 5, bias=False),
    MatrixNorm(6, 7),
    AttentionScores(6, 2, 4),
    *MEMORY,
)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("workload", TINY, ids=lambda w: f"{w.operator} {w.name}")
def test_both_graphs_compute_the_reference(workload: Workload, batch: int) -> None:
    case = workload.case(batch)
    expected = case.reference()
    assert expected.dtype == np.float64
    for model, inputs, back in (
        (case.model, case.inputs, np.asarray),
        (case.peer_model, case.peer_inputs, case.to_ours),
    ):
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        result = back(np.asarray(session.run(None, inputs)[0]))
        assert result.shape == expected.shape
        assert relative_error(result, expected) < 1e-5


def test_the_reference_of_a_convolution_is_its_definition() -> None:
    case = Convolution("C2D", (5, 4), 2, 3, 3, 2, 1).case(1)
    (x,), w = case.inputs.values(), onnx.numpy_helper.to_array(case.peer_model.graph.initializer[0])
    y = case.reference()
    for h, v, f in np.ndindex(*y.shape[1:]):
        total = 0.0
        for a, b, c in np.ndindex(3, 3, 2):
            i, j = h * 2 + a - 1, v * 2 + b - 1
            if 0 <= i < 5 and 0 <= j < 4:
                total += float(x[0, i, j, c]) * float(w[f, c, a, b])
        assert y[0, h, v, f] == pytest.approx(total)


def test_the_same_seed_draws_the_same_data() -> None:
    one, two, other = (Dense("Dense", 2, 3, 4).case(1, seed).inputs["x"] for seed in (0, 0, 1))
    assert (one == two).all()
    assert (one != other).any()


@pytest.mark.parametrize(
    ("workload", "flops"),
    [
        (Convolution("C2D", (224, 224), 3, 64, 7, 2, 3), 2 * 112 * 112 * 64 * 49 * 3),
        (Convolution("GRP", (56, 56), 64, 128, 3, 2, 1, groups=4), 2 * 28 * 28 * 128 * 9 * 16),
        (Convolution("DIL", (14, 14), 256, 256, 3, 1, 1, dilation=2), 2 * 12 * 12 * 256 * 9 * 256),
        (Convolution("DEP", (7, 7), 1024, 1024, 3, 1, 1, groups=1024), 2 * 49 * 1024 * 9),
        (Convolution("T2D", (4, 4), 512, 256, 4, 2, 1, transposed=True), 2 * 16 * 512 * 256 * 16),
        (Capsules((16, 16), 32, 32, 3, 2, 1), 2 * 64 * 4 * 4 * 4 * 9 * 32 * 32),
        (BatchMatmul("GMM", 512, 32, 256), 2 * 512 * 32 * 256),
        (Dense("Dense", 128, 768, 3072), 2 * 128 * 768 * 3072),
        (MatrixNorm(256, 512), 2 * 256 * 512),
        (AttentionScores(128, 12, 64), 2 * 12 * 128 * 128 * 64),
    ],
)
def test_operations_are_counted(workload: Workload, flops: int) -> None:
    assert workload.flops(1) == flops
    assert workload.flops(16) == 16 * flops


def test_bytes_are_those_of_inputs_weights_and_output() -> None:
    assert Dense("Dense", 2, 3, 5).case(4).touched == 4 * (8 * 3 + 3 * 5 + 5 + 8 * 5)
    assert MatrixNorm(4, 8).case(3).touched == 4 * (3 * 32 + 3)
    assert Capsules((4, 4), 2, 3, 3, 1, 1).case(1).touched == 4 * (16 * 16 * 2 + 9 * 16 * 6 + 16 * 16 * 3)


def test_the_paper_has_ten_operators_and_two_subgraphs_of_four_shapes() -> None:
    counts = Counter(workload.operator for workload in PAPER)
    assert list(counts) == ["C1D", "C2D", "C3D", "GMM", "GRP", "DIL", "DEP", "T2D", "CAP", "NRM", "ConvLayer", "TBS"]
    assert set(counts.values()) == {4}


def test_names_are_distinct() -> None:
    for suite, workloads in SUITES.items():
        names = [f"{w.operator} {w.name}" for w in workloads]
        assert len(set(names)) == len(names), suite


@pytest.mark.parametrize("suite", ["resnet50", "mobilenet_v2", "bert", "dcgan", "resnet3d18"])
def test_a_networks_suite_is_its_distinct_layers(suite: str) -> None:
    name = {"bert": "bert_base"}.get(suite, suite)
    assert sorted(f"{w.name}" for w in SUITES[suite]) == sorted(layers(network_path(f"{name}_b1")))


def layers(path: Path) -> set[str]:
    """Names of the layers of a network, as workloads call them."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    weights = {w.name: tuple(w.dims) for w in graph.initializer}
    shapes |= weights
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)

    def following(value: str, skip: str = "") -> str:
        kinds = [node.op_type for node in readers.get(value, [])]
        if skip and kinds == [skip]:
            return following(readers[value][0].output[0])
        return {"Relu": "relu", "Clip": "relu6", "Tanh": "tanh"}.get(kinds[0] if kinds else "", "")

    found: set[str] = set()
    for node in graph.node:
        a = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type in {"Conv", "ConvTranspose"}:
            x, w = shapes[node.input[0]], weights[node.input[1]]
            transposed = node.op_type == "ConvTranspose"
            rank = len(x) - 2
            each = [tuple(sizes) for sizes in (w[2:], a["strides"], a["pads"][:rank])]
            k, s, p = (sizes[0] if len(set(sizes)) == 1 else sizes for sizes in each)
            found.add(
                Convolution(
                    "", x[2:], x[1], w[1] if transposed else w[0], k, s, p, groups=a["group"], transposed=transposed,
                    bias=len(node.input) > 2, activation=following(node.output[0]),
                ).name
            )  # fmt: skip
        elif node.op_type == "Gemm":
            rows, (columns, depth) = shapes[node.input[0]][0], weights[node.input[1]]
            bias = len(node.input) > 2
            found.add(Dense("", rows, depth, columns, bias, following(node.output[0])).name)
        elif node.op_type == "MatMul":
            x, w = (shapes[value] for value in node.input)
            if node.input[1] in weights:
                # Where the sum with the bias is read twice, gelu follows, spelled out.
                summed = readers[node.output[0]][0].output[0]
                gelu = "Erf" in {second.op_type for first in readers[summed] for second in readers[first.output[0]]}
                found.add(Dense("", x[-2], w[0], w[1], True, "gelu" if gelu else "").name)
            else:
                found.add(BatchMatmul("", x[-2], w[-1], x[-1], count=x[1]).name)
    return found


def test_of_a_table_only_the_rows_that_are_looked_up_count() -> None:
    workload = Lookup(2, 50, 8, 4)
    case = workload.case(1)
    rows = len(set(numpy_helper.to_array(case.model.graph.initializer[0]).tolist()))
    assert case.touched == 4 * 8 * 2 * (rows + 4)
