"""The last stages: LLVM IR, assembly, an object, and the shared library with its header."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np

from ansorc.compiler.errors import InvalidStageTextError, UnknownStageError
from ansorc.compiler.options import Options
from ansorc.compiler.output import whole_file
from ansorc.compiler.program import read_signature, read_weights, write_weights
from ansorc.compiler.summary import Summary
from ansorc.runtime import header, linking, llvm_binding

STAGES = ("llvm", "asm", "object", "so")
SUFFIXES = {".ll": "llvm", ".s": "asm", ".o": "object"}
WEIGHTS, SIGNATURE = "ansorc_packed_weights", "ansorc_signature"


@contextlib.contextmanager
def packed(write: Callable[[Path], None]) -> Generator[Path]:
    """Write the weights into a temporary file, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        path = Path(folder) / "weights.bin"
        write(path)
        yield path


def write(
    emit: str, code: Sequence[bytes], host: str, weights: Path, signature: str, options: Options, output: Path
) -> None:
    """Write the stage `emit`; `code` holds objects if that is `so`, otherwise LLVM IR."""
    t = options.target
    if emit == "so":
        host_object = llvm_binding.compile_ir(host, t.triple, t.cpu, t.features)
        link([*code, host_object], weights, signature, options, output)
        return
    joined = llvm_binding.link_ir([host, *(c.decode() for c in code)])
    if emit != "llvm":
        made = llvm_binding.compile_ir(joined, t.triple, t.cpu, t.features, emit=emit)
    else:
        made = joined.encode()
    with whole_file(output) as temporary:
        temporary.write_bytes(made)
    array = np.fromfile(weights, np.uint8)
    write_weights(output, {WEIGHTS: array, SIGNATURE: np.array(signature)})


def link(objects: Sequence[bytes], weights: Path, signature: str, options: Options, output: Path) -> None:
    """Link objects, weights and the C runtime into a library, and write its header."""
    t = options.target
    name, inputs, outputs = read_signature(signature)
    linker = linking.find_linker(t.triple, t.native)
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        paths: list[Path] = []
        for k, data in enumerate(objects):
            paths.append(Path(folder) / f"{k}.o")
            paths[-1].write_bytes(data)
        paths.append(Path(folder) / "weights.o")
        linking.weights_object(linker, t.triple, weights, paths[-1], options.cache_dir)
        runtime = linking.compile_runtime(linker, t.triple, options.cache_dir)
        source = header.entry_source(name, inputs, outputs)
        entry = f"{header.identifier(name)}_run"
        with whole_file(output, mode=0o755) as temporary:
            linking.link(linker, [*paths, *runtime], temporary, output.name, source, entry, options.cache_dir)
    with whole_file(output.with_suffix(".h")) as temporary:
        temporary.write_text(header.header_text(name, inputs, outputs))


def assemble(text: bytes, options: Options) -> bytes:
    """Assemble a text that we emitted."""
    linker = linking.find_linker(options.target.triple, options.target.native)
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        source, target = Path(folder) / "code.s", Path(folder) / "code.o"
        source.write_bytes(text)
        linking.assemble(linker, source, target, options.cache_dir)
        return target.read_bytes()


def is_low_level(model: object) -> bool:
    """Whether the input is LLVM IR, assembly or an object that we wrote."""
    return isinstance(model, str | Path) and Path(model).suffix in SUFFIXES


def from_low_level(model: Path, options: Options, output: Path, emit: str, start: float) -> Summary:
    """Go on from a low stage."""
    stage = SUFFIXES[model.suffix]
    known = STAGES[STAGES.index(stage) :]
    if emit not in known:
        raise UnknownStageError(emit, known)
    if not model.exists():
        raise InvalidStageTextError(model, "no such file")
    arrays = read_weights(model)
    signature = str(arrays[SIGNATURE])
    t = options.target
    content = model.read_bytes()
    final = emit if emit in ("asm", "llvm") else "object"
    if stage == "llvm" and final != "llvm":
        content = llvm_binding.compile_ir(content.decode(), t.triple, t.cpu, t.features, emit=final)
    elif stage == "asm" and final == "object":
        content = assemble(content, options)
    if emit == "so":
        with packed(lambda path: arrays[WEIGHTS].tofile(path)) as weights:
            link([content], weights, signature, options, output)
    else:
        with whole_file(output) as temporary:
            temporary.write_bytes(content)
        write_weights(output, arrays)
    size = output.stat().st_size
    bytes_of_weights = int(arrays[WEIGHTS].nbytes)
    return Summary(output, 0, 0, 0, bytes_of_weights, size, time.perf_counter() - start)
