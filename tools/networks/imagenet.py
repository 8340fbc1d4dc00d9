"""The nine ImageNet graphs inside the `onnx` package, with seeded weights.

The package ships them with every weight constant, so that all their outputs are equal and prove
little. Here each constant becomes random numbers of a sane scale (He for convolutions and matrix
products), drawn from the weight's name.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ansorc.tools.networks import IMAGENET

SMALL_FAN_IN = 8


def load_imagenet(name: str, seed: int = 0) -> onnx.ModelProto:
    """Return one of IMAGENET with random weights and without its last softmax."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return reweight(onnx.load(folder / f"light_{name}.onnx"), name, seed)


def reweight(model: onnx.ModelProto, tag: str, seed: int) -> onnx.ModelProto:
    """Replace, in place, the constants of a light model by random initializers."""
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    uses: dict[str, tuple[onnx.NodeProto, int]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            uses.setdefault(name, (node, position))
    kept: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        name = node.output[0]
        shape = tuple(int(size) for size in shapes[node.input[0]])
        user, position = uses[name]
        while user.op_type in ("Unsqueeze", "Reshape"):
            user, position = uses[user.output[0]]
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{tag}/{name}/{seed}".encode())))
        values = _values(generator, user, position, shape)
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
    if kept[-1].op_type == "Softmax":  # it would hide differences
        graph.output[0].name = kept.pop().input[0]
    read = {name for node in kept for name in node.input}
    initializers = [i for i in graph.initializer if i.name in read]
    inputs = [i for i in graph.input if i.name not in shapes]
    for field in ("node", "initializer", "input", "value_info"):
        graph.ClearField(field)
    graph.node.extend(kept)
    graph.initializer.extend(initializers + weights)
    graph.input.extend(inputs)
    graph.output[0].type.tensor_type.ClearField("shape")
    model.ir_version = max(model.ir_version, 4)  # initializers need not be inputs
    return model


def _values(
    generator: np.random.Generator, user: onnx.NodeProto, position: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw a weight that `user` reads as its input number `position`."""
    kind = user.op_type
    if kind in ("Conv", "Gemm") and position == 1:
        transposed = any(a.name == "transB" and a.i for a in user.attribute)
        by_rows = kind == "Conv" or transposed
        fan_in = np.prod(shape[1:]) if by_rows else shape[0]
        values = generator.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        if kind == "Conv" and fan_in > SMALL_FAN_IN:
            # Zero mean over the fan-in: otherwise deep ReLU networks forget their input.
            values -= values.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        return values
    scale_like = (kind == "BatchNormalization" and position in (1, 4)) or kind == "Mul"
    if scale_like:
        return generator.uniform(0.8, 1.2, shape)
    if kind in ("BatchNormalization", "Add", "Conv", "Gemm", "Sum"):
        return generator.standard_normal(shape) * 0.1
    raise ValueError(f"no weight is known for input {position} of {kind}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in IMAGENET:
        sys.exit(f"usage: imagenet.py NAME OUTPUT.onnx; names: {', '.join(IMAGENET)}")
    onnx.save(load_imagenet(sys.argv[1]), sys.argv[2])
