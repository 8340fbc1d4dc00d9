"""Networks as small graphs: each large weight is a recipe, from which its numbers are drawn.

`NAME.light.onnx` holds the graph; its metadata entry `ansorc.weight:NAME` says how to make the
weight of that name. The same file gives the same bits on every machine.

    python -m ansorc.tools.networks.seeded resnet50_b1 resnet50.onnx
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ansorc.tools.networks import FOLDER, SUFFIX, seeded_names

PREFIX = "ansorc.weight:"


def network_path(name: str) -> Path:
    """Return the small file of a network such as "resnet50_b1"."""
    return FOLDER / f"{name}{SUFFIX}"


def load_network(path: str | Path) -> onnx.ModelProto:
    """Read a small file and fill in its weights."""
    model = onnx.load(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    recipes = [entry for entry in model.metadata_props if entry.key.startswith(PREFIX)]
    for entry in recipes:
        weight = weights[entry.key.removeprefix(PREFIX)]
        weight.raw_data = make_weight(json.loads(entry.value)).tobytes()
        model.metadata_props.remove(entry)
    return model


def make_weight(recipe: dict[str, Any]) -> NDArray[np.float32]:
    """Make one weight.

    The recipe draws the tensors `t` of the network `net`, each `[name, shape, distribution]`;
    `op` says what becomes of them: the tensor itself (raw), its transpose (T), or the weight
    (foldw) or bias (foldb) of a convolution that took in the batch normalisation behind it.
    """
    tensors = [_draw(recipe["net"], *tensor) for tensor in recipe["t"]]
    kind = recipe["op"]
    if kind == "raw":
        return tensors[0]
    if kind == "T":
        return np.ascontiguousarray(tensors[0].T)
    gamma, beta, mean, variance = tensors[-4:]
    scale = gamma / np.sqrt(variance + recipe["eps"])
    if kind == "foldw":
        weight = tensors[0]
        return weight * scale.reshape([-1 if i == recipe["axis"] else 1 for i in range(weight.ndim)])
    if kind == "foldb":
        return (np.zeros_like(mean) - mean) * scale + beta
    raise ValueError(f"unknown recipe {kind!r}")


def _draw(network: str, name: str, shape: list[int], distribution: tuple[str, float, float]) -> NDArray[np.float32]:
    """Draw a tensor: ("n", mean, deviation) or ("u", low, high)."""
    seed = zlib.crc32(f"{network}/{name}".encode())
    generator = np.random.Generator(np.random.PCG64(seed))
    kind, first, second = distribution
    if kind == "n":
        values = generator.standard_normal(tuple(shape), dtype=np.float32)
        values = values * np.float32(second) + np.float32(first)
    else:
        values = generator.random(tuple(shape), dtype=np.float32)
        values = values * np.float32(second - first) + np.float32(first)
    return np.ascontiguousarray(values, dtype=np.float32)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in seeded_names():
        sys.exit(f"usage: seeded.py NAME OUTPUT.onnx; names: {', '.join(seeded_names())}")
    onnx.save(load_network(network_path(sys.argv[1])), sys.argv[2])
