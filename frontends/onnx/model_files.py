"""Bytes of a model file into a ModelProto, with a reason when they are none."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ansorc.frontends.errors import (
    ModelFileMissingError,
    ModelTooLargeError,
    NotOnnxError,
    TruncatedModelError,
)

PROTOBUF_LIMIT = 2**31 - 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIRE_TYPES = {
    1: VARINT,
    2: BYTES,
    3: BYTES,
    4: BYTES,
    5: VARINT,
    6: BYTES,
    7: BYTES,
    8: BYTES,
    14: BYTES,
    20: BYTES,
    25: BYTES,
    26: BYTES,
}
"""Of the fields of a ModelProto."""


def parse_file(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        if path.is_dir():
            raise NotOnnxError(path, "it is a folder")
        raise ModelFileMissingError(path)
    size = path.stat().st_size
    if size == 0:
        raise NotOnnxError(path, "the file is empty")
    if size > PROTOBUF_LIMIT:
        raise ModelTooLargeError(str(path), size)
    data = path.read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise diagnosed(path, data) from error
    if not model.HasField("graph"):
        if any(number not in WIRE_TYPES for number, _ in fields(data)[0]):
            raise NotOnnxError(path, f"it starts with {data[:16]!r}")
        raise NotOnnxError(path, "it holds no graph")
    return model


def diagnosed(path: Path, data: bytes) -> NotOnnxError | TruncatedModelError:
    """Cut off when every field up to one that runs past the end belongs to a ModelProto."""
    found, runs_past = fields(data)
    if runs_past and found and all(WIRE_TYPES.get(number) == kind for number, kind in found):
        return TruncatedModelError(path, len(data))
    return NotOnnxError(path, f"it starts with {data[:16]!r}")


def fields(data: bytes) -> tuple[list[tuple[int, int]], bool]:
    """Number and wire type of each top-level field; whether the last one runs past the end."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        found.append((number, kind))
        if kind == VARINT:
            _, at = varint(data, at)
        elif kind == BYTES:
            length, at = varint(data, at)
            at += length
        elif kind in (FIXED32, FIXED64):
            at += 4 if kind == FIXED32 else 8
        else:
            return found, False
    return found, at > len(data)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends: past the data when it is cut."""
    number = shift = 0
    while at < len(data):
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return number, at
    return number, len(data) + 1
