"""Every network of `tools/networks`, compiled whole and compared with onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest

import ansorc
from ansorc.tools.measure import random_inputs, relative_error
from ansorc.tools.networks import IMAGENET, seeded_names
from ansorc.tools.networks.imagenet import load_imagenet
from ansorc.tools.networks.seeded import load_network, network_path

TOLERANCE = 1e-4
ALREADY = "mobilenet_v2_b1"
"""test_library.py looks at this one from all sides."""


@pytest.mark.parametrize("name", [n for n in seeded_names() if n.endswith("_b1") and n != ALREADY])
def test_seeded_networks(name: str) -> None:
    agrees_with_onnxruntime(load_network(network_path(name)))


@pytest.mark.parametrize("name", IMAGENET)
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
