"""A compiled model in Python; needs numpy and ctypes alone."""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.runtime import header
from ansorc.runtime.errors import LoadFailedError, RunFailedError, WrongInputError
from ansorc.runtime.signature import DTYPES, TensorInfo, info_of

Array = NDArray[Any]
CACHE_LINE = 64
"""Bytes; ARM's servers have the same, Apple's have 128."""
LARGE = 256 << 10
"""Bytes of an output whose memory is kept."""


@dataclass(frozen=True)
class Benchmark:
    """Times of whole runs, in milliseconds."""

    median_ms: float
    min_ms: float
    p90_ms: float
    runs: int

    def __str__(self) -> str:
        return f"median {self.median_ms:.3f} ms, min {self.min_ms:.3f} ms, p90 {self.p90_ms:.3f} ms, {self.runs} runs"


@dataclass(frozen=True)
class _Named:
    """What headers need of a tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class CompiledModel:
    """A loaded library. Any number of threads may call `run`; each has an instance of its own."""

    def __init__(self, path: str | PathLike[str], keep_alive: object = None) -> None:
        self.path = Path(path).resolve()
        self._keep_alive = keep_alive
        self._library = _open(self.path)
        self._instances = threading.local()
        self.name = str(self._library.ansorc_model_name().decode())
        self.inputs = self._tensors("input")
        self.outputs = self._tensors("output")
        self._rooms: list[Array | None] = [None] * len(self.outputs)

    def _tensors(self, side: str) -> tuple[TensorInfo, ...]:
        library = self._library
        count = getattr(library, f"ansorc_num_{side}s")()
        found: list[TensorInfo] = []
        for k in range(count):
            name, dtype, rank, shape = (
                getattr(library, f"ansorc_{side}_{w}")(k) for w in ("name", "dtype", "rank", "shape")
            )
            found.append(info_of(name.decode(), dtype, [shape[d] for d in range(rank)]))
        return tuple(found)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs, as fresh arrays in the model's order; inputs are never written to.

        The memory of a large output is used again once nothing refers to it any more.

        Raises WrongInputError for a wrong name, dtype or shape, and RunFailedError.
        """
        arrays = [_checked(inputs, t) for t in self.inputs]
        if len(inputs) > len(arrays):
            names = [t.name for t in self.inputs]
            unknown = next(name for name in inputs if name not in names)
            raise WrongInputError(f"there is no input {unknown!r}", f"the inputs {', '.join(names)}")
        results = [self._result(k) for k in range(len(self.outputs))]
        self._call(arrays, results)
        return {t.name: result for t, result in zip(self.outputs, results, strict=True)}  # a name may come twice

    def _result(self, number: int) -> Array:
        tensor = self.outputs[number]
        room = self._rooms[number]
        # Whoever has the last result, or a part of it, has its room: the list, this name and the argument are three.
        if room is None or sys.getrefcount(room) > 3:
            # Threads that write neighbouring blocks share no line of a cache: half the time of a product of 128x128.
            room = np.empty(prod(tensor.shape) * tensor.dtype.itemsize + CACHE_LINE, np.uint8)
            if room.size > LARGE:  # the system takes such memory back, and clears every page before it gives it again
                self._rooms[number] = room
        return np.ndarray(tensor.shape, tensor.dtype, room, -_address(room) % CACHE_LINE)

    def _call(self, arrays: list[Array], results: list[Array]) -> None:
        instance = getattr(self._instances, "value", None)
        if instance is None:
            instance = self._instances.value = _Instance(self._library)
        instance.run(arrays, results)

    def set_threads(self, threads: int) -> None:
        """Choose how many threads later runs use; 0 for the default."""
        status = self._library.ansorc_set_threads(threads)
        if status != 0:
            raise RunFailedError(status, self._library.ansorc_error(None).decode())

    @property
    def threads(self) -> int:
        """Threads that a run uses."""
        return int(self._library.ansorc_get_threads())

    @property
    def workspace_size(self) -> int:
        """Bytes that each thread which calls `run` allocates, once."""
        return int(self._library.ansorc_workspace_size())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the library, and its C header beside it."""
        target = Path(path)
        with tempfile.TemporaryDirectory(prefix=".ansorc-", dir=target.parent) as folder:
            copy, text = Path(folder) / "library", Path(folder) / "header"
            shutil.copyfile(self.path, copy)
            copy.chmod(0o755)
            sides = [[_Named(t.name, DTYPES[t.code], t.shape) for t in side] for side in (self.inputs, self.outputs)]
            text.write_text(header.header_text(self.name, *sides))
            copy.replace(target)
            text.replace(target.with_suffix(".h"))

    def benchmark(
        self, inputs: Mapping[str, Array] | None = None, *, seconds: float = 1.0, least: int = 10
    ) -> Benchmark:
        """Time runs for about `seconds`, at least `least` of them, on given or random inputs."""
        if inputs is None:
            generator = np.random.default_rng(0)
            inputs = {t.name: _random(t, generator) for t in self.inputs}
        arrays = [_checked(inputs, t) for t in self.inputs]
        results = [self._result(k) for k in range(len(self.outputs))]
        for _ in range(2):
            self._call(arrays, results)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < least or time.perf_counter() < end:
            start = time.perf_counter()
            self._call(arrays, results)
            times.append(1e3 * (time.perf_counter() - start))
        times.sort()
        return Benchmark(statistics.median(times), times[0], times[int(0.9 * (len(times) - 1))], len(times))


class _Instance:
    """One `ansorc_model`; destroyed with the thread that it belongs to."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        status = library.ansorc_create(ctypes.byref(self._handle))
        if status != 0:
            raise RunFailedError(status, library.ansorc_error(None).decode())
        counts = (library.ansorc_num_inputs(), library.ansorc_num_outputs())
        self._inputs, self._outputs = ((ctypes.c_void_p * max(1, count))() for count in counts)

    def run(self, arrays: list[Array], results: list[Array]) -> None:
        for k, array in enumerate(arrays):
            self._inputs[k] = _address(array)
        for k, result in enumerate(results):
            self._outputs[k] = _address(result)
        status = self._library.ansorc_run(self._handle, self._inputs, self._outputs)
        if status != 0:
            raise RunFailedError(status, self._library.ansorc_error(None).decode())

    def __del__(self) -> None:
        if self._handle:
            self._library.ansorc_destroy(self._handle)


def _open(path: Path) -> ctypes.CDLL:
    if not path.exists():
        raise LoadFailedError(path, "no such file")
    try:
        library = ctypes.CDLL(os.fspath(path), mode=os.RTLD_LOCAL | os.RTLD_NOW)
    except OSError as error:
        raise LoadFailedError(path, str(error)) from error
    signatures: dict[str, tuple[list[Any], Any]] = {
        "model_name": ([], ctypes.c_char_p),
        "error": ([ctypes.c_void_p], ctypes.c_char_p),
        "create": ([ctypes.POINTER(ctypes.c_void_p)], ctypes.c_int),
        "destroy": ([ctypes.c_void_p], None),
        "run": ([ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_int),
        "set_threads": ([ctypes.c_int], ctypes.c_int),
        "get_threads": ([], ctypes.c_int),
        "workspace_size": ([], ctypes.c_size_t),
    }
    for side in ("input", "output"):
        signatures[f"num_{side}s"] = ([], ctypes.c_int)
        signatures[f"{side}_name"] = ([ctypes.c_int], ctypes.c_char_p)
        signatures[f"{side}_shape"] = ([ctypes.c_int], ctypes.POINTER(ctypes.c_int64))
        for word in ("dtype", "rank"):
            signatures[f"{side}_{word}"] = ([ctypes.c_int], ctypes.c_int)
    for name, (arguments, result) in signatures.items():
        try:
            function = getattr(library, f"ansorc_{name}")
        except AttributeError as error:
            raise LoadFailedError(path, f"it has no function ansorc_{name}") from error
        function.argtypes, function.restype = arguments, result
    return library


def _address(array: Array) -> int:
    # A third of the time of `array.ctypes.data`, which small models would feel; not for what is empty or read-only.
    if array.flags.writeable and array.size:
        buffer: Any = array
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return array.ctypes.data


def _checked(inputs: Mapping[str, Array], tensor: TensorInfo) -> Array:
    found = inputs.get(tensor.name)
    if type(found) is np.ndarray and found.dtype == tensor.dtype and found.shape == tensor.shape:
        return np.ascontiguousarray(found)
    return _converted(inputs, tensor)


def _converted(inputs: Mapping[str, Array], tensor: TensorInfo) -> Array:
    expected = f"{tensor.name}: {tensor.dtype} {tensor.shape}"
    if tensor.name not in inputs:
        raise WrongInputError(f"input {tensor.name!r} is missing", expected)
    array = np.asarray(inputs[tensor.name])
    if array.dtype != tensor.dtype and not (DTYPES[tensor.code] == "bfloat16" and array.dtype.name == "bfloat16"):
        raise WrongInputError(f"input {tensor.name!r} has dtype {array.dtype}", expected)
    if array.shape != tensor.shape:
        raise WrongInputError(f"input {tensor.name!r} has shape {array.shape}", expected)
    return np.ascontiguousarray(array)


def _random(tensor: TensorInfo, generator: np.random.Generator) -> Array:
    if tensor.dtype.kind == "f":
        return generator.standard_normal(tensor.shape).astype(tensor.dtype)
    if DTYPES[tensor.code] == "bfloat16":
        return np.zeros(tensor.shape, np.uint16)
    return generator.integers(0, 2, tensor.shape).astype(tensor.dtype)
