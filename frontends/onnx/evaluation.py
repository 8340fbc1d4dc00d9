"""Nodes whose inputs are all known, computed by ONNX's own reference."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from onnx.reference import ReferenceEvaluator

RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")


def evaluated(
    proto: onnx.NodeProto,
    inputs: Sequence[object],
    opset: int,
) -> list[np.ndarray] | None:
    """The node's outputs, or None when the reference cannot compute it."""
    if proto.op_type in RANDOM:
        return None
    if proto.op_type == "Constant":
        return [constant_of(proto)]
    arrays = [i for i in inputs if isinstance(i, np.ndarray)]
    if proto.op_type == "ConstantOfShape" and len(arrays) == 1:
        value = np.zeros(1, np.float32)
        if proto.attribute:
            value = onnx.numpy_helper.to_array(proto.attribute[0].t)
        return [np.full([int(d) for d in arrays[0]], value.reshape(-1)[0], value.dtype)]
    names = [n for n in proto.input if n]
    try:
        function = onnx.helper.make_function(
            "ansorc.evaluation",
            "node",
            list(dict.fromkeys(names)),
            list(proto.output),
            [proto],
            [onnx.helper.make_opsetid("", opset)],
        )
        feeds = dict(zip(names, arrays, strict=True))
        with np.errstate(all="ignore"):  # the model says so
            results = ReferenceEvaluator(function).run(None, feeds, attributes={})
    except Exception:  # whatever the reference lacks, the operator tables may have
        return None
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    return [np.asarray(r) for r in results]


def constant_of(proto: onnx.NodeProto) -> np.ndarray:
    attribute = proto.attribute[0]
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return onnx.numpy_helper.to_array(value)
    dtype = np.float32 if "float" in attribute.name else np.int64
    return np.asarray(value, dtype)
