"""Every network of `tests/models`, compiled whole and compared with onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from imagenet import NAMES, load_imagenet
from seeded import load_network, network_names, network_path

import ansorc
from ansorc.tools.measure import random_inputs, relative_error

TOLERANCE = 1e-4
ALREADY = "mobilenet_v2_b1"
"""test_library.py looks at this one from all sides."""


@pytest.mark.parametrize("name", [n for n in network_names() if n.endswith("_b1") and n != ALREADY])
def test_seeded_networks(name: str) -> None:
    agrees_with_onnxruntime(load_network(network_path(name)))


@pytest.mark.parametrize("name", NAMES)
def test_imagenet_networks(name: str) -> None:
    agrees_with_onnxruntime(load_imagenet(name))


def agrees_with_onnxruntime(proto: onnx.ModelProto) -> None:
    model = ansorc.compile(proto)
    inputs = random_inputs(model)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    results = model.run(inputs)
    for result, expected in zip(results.values(), session.run(list(results), inputs), strict=True):
        assert np.isfinite(result).all()
        assert relative_error(result, np.asarray(expected)) < TOLERANCE
