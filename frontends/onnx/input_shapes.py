"""Static shapes of the graph's inputs: sizes for symbolic dimensions from what the user gives."""

from collections.abc import Mapping, Sequence

import onnx

from ansorc.frontends.errors import (
    ContradictoryShapeError,
    RefusedNode,
    UnknownDimensionError,
    UnknownShapeInputError,
    UnsupportedNodesError,
)

UNNAMED = "?"
UNRANKED = "..."
Dims = tuple[int | str, ...]


def real_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Old models list their initializers as inputs too."""
    constants = {t.name for t in graph.initializer}
    return [i for i in graph.input if i.name not in constants]


def dims_of(info: onnx.ValueInfoProto) -> Dims:
    """A size, the name of a symbolic dimension, or "?"; ("...",) without a rank."""
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        reason = f"an input of the kind {kind or 'unknown'}; only tensors are supported"
        raise UnsupportedNodesError((RefusedNode(info.name, "(input)", "", 0, reason),))
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return (UNRANKED,)
    return tuple(d.dim_value if d.dim_value > 0 else d.dim_param or UNNAMED for d in tensor.shape.dim)


def static_shapes(graph: onnx.GraphProto, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Each input's shape; equal names of dimensions get equal sizes."""
    model = {i.name: dims_of(i) for i in real_inputs(graph)}
    for name in shapes:
        if name not in model:
            raise UnknownShapeInputError(name, tuple(model))
    sizes: dict[str, int] = {}
    for name, given in shapes.items():
        bind(name, tuple(int(d) for d in given), model[name], sizes)
    chosen: dict[str, Dims] = {
        name: tuple(int(d) for d in shapes[name])
        if name in shapes
        else tuple(sizes.get(d, d) if isinstance(d, str) else d for d in dims)
        for name, dims in model.items()
    }
    unknown = {n: d for n, d in chosen.items() if any(isinstance(x, str) for x in d)}
    if unknown:
        raise UnknownDimensionError(unknown)
    return {n: tuple(int(x) for x in d) for n, d in chosen.items()}


def bind(name: str, given: tuple[int, ...], dims: Dims, sizes: dict[str, int]) -> None:
    """Note the sizes of named dimensions."""
    if any(d < 1 for d in given):
        raise ContradictoryShapeError(name, given, dims)
    if dims == (UNRANKED,):
        return
    if len(given) != len(dims):
        raise ContradictoryShapeError(name, given, dims)
    for size, dim in zip(given, dims, strict=True):
        wanted = dim if isinstance(dim, int) else size
        if isinstance(dim, str) and dim != UNNAMED:
            wanted = sizes.setdefault(dim, size)
        if wanted != size:
            known = tuple(sizes.get(d, d) if isinstance(d, str) else d for d in dims)
            raise ContradictoryShapeError(name, given, known)


def is_static(graph: onnx.GraphProto) -> bool:
    return all(isinstance(d, int) for i in real_inputs(graph) for d in dims_of(i))


def write_shapes(graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Put static shapes into the inputs of `graph`."""
    for info in real_inputs(graph):
        shape = info.type.tensor_type.shape
        del shape.dim[:]
        shape.SetInParent()
        for size in shapes[info.name]:
            shape.dim.add().dim_value = size
