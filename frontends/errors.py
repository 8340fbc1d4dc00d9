"""One exception for each mistake a model file or its shapes can hold."""

from dataclasses import dataclass
from pathlib import Path


class ModelError(Exception):
    """A model that cannot be used as it is; the message says what, where and what to do."""


class ModelFileMissingError(ModelError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"no such model file: {path}\n  check the path")


class NotOnnxError(ModelError):
    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path} is not an ONNX model: {found}\n"
            "  expected a binary ONNX protobuf (ModelProto); export the model again as .onnx"
        )


class TruncatedModelError(ModelError):
    def __init__(self, path: Path, size: int) -> None:
        super().__init__(
            f"{path} is cut off: it ends inside a field after {size} bytes\n"
            "  expected a complete ONNX protobuf; copy or download the file again"
        )


class ModelTooLargeError(ModelError):
    def __init__(self, where: str, size: int) -> None:
        super().__init__(
            f"{where} is a protobuf of {size / 2**30:.2f} GiB; protobuf ends at 2 GiB\n"
            "  save it with external data: "
            "onnx.save(model, 'model.onnx', save_as_external_data=True)"
        )


class UnsupportedOpsetError(ModelError):
    def __init__(self, found: int, lowest: int, highest: int) -> None:
        super().__init__(
            f"the model uses ONNX opset {found}; expected {lowest} to {highest}\n"
            "  convert it with onnx.version_converter.convert_version, or export it again"
        )


class InvalidModelError(ModelError):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the model breaks the rules of ONNX: {reason}\n"
            "  check it with onnx.checker.check_model and export it again"
        )


@dataclass(frozen=True)
class RefusedNode:
    """A node which cannot be imported, and why."""

    name: str
    op: str
    domain: str
    opset: int
    reason: str


class UnsupportedNodesError(ModelError):
    """Holds every refused node of the model in `nodes`."""

    def __init__(self, nodes: tuple[RefusedNode, ...]) -> None:
        self.nodes = nodes
        lines = [f"  node '{n.name}': {n.domain or 'ai.onnx'}.{n.op}, opset {n.opset}: {n.reason}" for n in nodes]
        super().__init__(
            f"{len(nodes)} node(s) of the model are not supported:\n"
            + "\n".join(lines)
            + "\n  export the model without them, or replace them by supported operators"
        )


class UnknownDimensionError(ModelError):
    def __init__(self, unknown: dict[str, tuple[int | str, ...]]) -> None:
        lines = [f"  input '{name}': {format_dims(dims)}" for name, dims in unknown.items()]
        example = " ".join(
            f"--shape {name}=" + "x".join(str(d) if isinstance(d, int) else "1" for d in dims)
            for name, dims in unknown.items()
        )
        super().__init__(
            "these inputs have dimensions without a size:\n"
            + "\n".join(lines)
            + f"\n  give every one a static shape, for example: {example}"
        )


class UnknownShapeInputError(ModelError):
    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"a shape was given for '{name}', but the model has no such input\n  its inputs are: {', '.join(known)}"
        )


class ContradictoryShapeError(ModelError):
    def __init__(self, name: str, given: tuple[int, ...], model: tuple[int | str, ...]) -> None:
        super().__init__(
            f"the shape {format_dims(given)} given for input '{name}' contradicts the model, "
            f"which has {format_dims(model)}\n"
            "  only unknown dimensions may be chosen, equal names get equal sizes, "
            "sizes are positive"
        )


class ShapeDoesNotFitError(ModelError):
    def __init__(self, reason: str, shapes: dict[str, tuple[int, ...]]) -> None:
        chosen = ", ".join(f"{name}={format_dims(dims)}" for name, dims in shapes.items())
        super().__init__(
            f"the input shapes do not fit the graph ({chosen or 'no inputs'}): {reason}\n"
            "  choose shapes with which the model was made to work"
        )


class CyclicGraphError(ModelError):
    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__(
            f"the graph has a cycle through these nodes: {', '.join(nodes)}\n"
            "  expected an acyclic graph; export the model again"
        )


class DanglingInputError(ModelError):
    def __init__(self, dangling: tuple[tuple[str, str], ...]) -> None:
        lines = [f"  {where} reads '{value}'" for where, value in dangling]
        super().__init__(
            "these values are read but nothing produces them:\n"
            + "\n".join(lines)
            + "\n  expected a node, an input or an initializer of that name; export again"
        )


class ExternalDataMissingError(ModelError):
    def __init__(self, tensor: str, path: Path, reason: str) -> None:
        super().__init__(
            f"external data of tensor '{tensor}' cannot be read from {path}: {reason}\n"
            "  put the data file beside the model, as it was saved"
        )


class ExternalDataOutsideError(ModelError):
    def __init__(self, tensor: str, location: str, folder: Path) -> None:
        super().__init__(
            f"external data of tensor '{tensor}' has the location '{location}', "
            f"outside the model's folder {folder}\n"
            "  refused, as a model must not read other files; save the data beside the model"
        )


def format_dims(dims: tuple[int | str, ...]) -> str:
    return "[" + ", ".join(str(d) for d in dims) + "]"
