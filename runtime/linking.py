"""Compile the C runtime and link a library, with the system's C compiler or with zig."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansorc.runtime.errors import LinkFailedError, NoLinkerError

NATIVE = Path(__file__).parent / "native"
LIBRARY_SOURCES = ("pool.c", "model.c")
TIMER_SOURCES = ("pool.c", "timer.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-ident", "-Wall", "-Wextra")
ZIG_TARGETS = {
    "x86_64-unknown-linux-gnu": "x86_64-linux-gnu.2.17",
    "aarch64-unknown-linux-gnu": "aarch64-linux-gnu.2.17",
    "arm64-apple-macosx11.0.0": "aarch64-macos.11.0",
}
"""Old enough that the library loads on machines older than ours."""


@dataclass(frozen=True)
class Linker:
    """A command that compiles C and links, with what it needs for the target."""

    command: tuple[str, ...]
    zig: bool


def find_linker(triple: str, native: bool) -> Linker:
    """Choose a linker: $CC, cc, gcc or clang for this machine; zig otherwise. Raises NoLinkerError."""
    tried: list[str] = []
    if native or triple == host_triple():
        for name in (os.environ.get("CC"), *COMPILERS):
            if name:
                tried.append(name)
                found = shutil.which(name)
                if found:
                    return Linker((found,), zig=False)
    tried.append("ziglang (a Python package)")
    if importlib.util.find_spec("ziglang") is not None and triple in ZIG_TARGETS:
        return Linker((sys.executable, "-m", "ziglang", "cc", "-target", ZIG_TARGETS[triple]), zig=True)
    raise NoLinkerError(triple, tried)


def host_triple() -> str:
    """Return this machine's triple as targets name it; empty if it is none of them."""
    machine = os.uname().machine
    if sys.platform == "darwin":
        return "arm64-apple-macosx11.0.0" if machine == "arm64" else ""
    return f"{machine}-unknown-linux-gnu" if sys.platform == "linux" else ""


def compile_runtime(
    linker: Linker, triple: str, cache_dir: Path, sources: Sequence[str] = LIBRARY_SOURCES
) -> list[Path]:
    """Compile the C runtime, or find it compiled in the cache."""
    digest = hashlib.sha256(repr((linker, triple, FLAGS)).encode())
    for source in sorted(NATIVE.iterdir()):
        digest.update(source.read_bytes())
    folder = cache_dir / f"runtime-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    objects = [folder / f"{name}.o" for name in sources]
    for name, target in zip(sources, objects, strict=True):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                made = Path(scratch) / "out.o"
                _compile(linker, NATIVE / name, made, cache_dir)
                made.replace(target)
    return objects


def timer_library(linker: Linker, triple: str, cache_dir: Path) -> Path:
    """Link the pool and the timer of the runner into a library, or find it in the cache."""
    objects = compile_runtime(linker, triple, cache_dir, TIMER_SOURCES)
    library = objects[0].with_name("timer.so")
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            made = Path(scratch) / "timer.so"
            _call([*linker.command, "-shared", "-o", str(made), *map(str, objects), "-lpthread"], cache_dir)
            made.replace(library)
    return library


def assemble(linker: Linker, source: Path, target: Path, cache_dir: Path) -> None:
    """Assemble a text into an object."""
    _call([*linker.command, "-c", str(source), "-o", str(target)], cache_dir)


def weights_object(linker: Linker, triple: str, weights: Path, target: Path, cache_dir: Path) -> None:
    """Make an object with the bytes of `weights` as the read-only symbol `ansorc_host_weights`.

    The assembler copies the file (`.incbin`), so hundreds of megabytes never become constants of a compiler.
    """
    apple = "apple" in triple
    name = "_ansorc_host_weights" if apple else "ansorc_host_weights"
    lines = [
        ".section __TEXT,__const" if apple else '.section .rodata.ansorc_weights,"a",%progbits',
        f".globl {name}",
        f".private_extern {name}" if apple else f".hidden {name}",
        ".p2align 6",
        f"{name}:",
        f'.incbin "{weights}"',
        ".byte 0",  # the symbol has an address also where there are no weights
        "" if apple else '.section .note.GNU-stack,"",%progbits',
        "",
    ]
    source = target.with_suffix(".s")
    source.write_text("\n".join(lines))
    assemble(linker, source, target, cache_dir)


def _compile(linker: Linker, source: Path, target: Path, cache_dir: Path) -> None:
    sanitize = ("-fno-sanitize=undefined",) if linker.zig else ()
    _call([*linker.command, *FLAGS, *sanitize, f"-I{NATIVE}", "-c", str(source), "-o", str(target)], cache_dir)


def link(
    linker: Linker, objects: Sequence[Path], output: Path, name: str, entry_source: str, entry: str, cache_dir: Path
) -> None:
    """Link objects into `output`, a library that calls itself `name`; only documented symbols are exported.

    `entry` is the name of the function that `entry_source` defines.
    """
    with tempfile.TemporaryDirectory(prefix="ansorc-") as scratch:
        folder = Path(scratch)
        source, entry_object = folder / "entry.c", folder / "entry.o"
        source.write_text(entry_source)
        _compile(linker, source, entry_object, cache_dir)
        inputs = [str(o) for o in (entry_object, *objects)]
        flags = _link_flags(linker, folder, name, entry)
        _call([*linker.command, "-shared", "-o", str(output), *inputs, *flags], cache_dir)


def _link_flags(linker: Linker, folder: Path, name: str, entry: str) -> list[str]:
    if any("macos" in part for part in linker.command) or sys.platform == "darwin":
        exported = folder / "exported"
        exported.write_text(f"_ansorc_*\n_{entry}\n")
        return [f"-Wl,-install_name,{name}"] + ([] if linker.zig else [f"-Wl,-exported_symbols_list,{exported}"])
    script = folder / "exported.map"
    script.write_text(f"{{ global: {'; '.join((*EXPORTED, entry))}; local: *; }};\n")
    return [
        f"-Wl,--version-script={script}", f"-Wl,-soname,{name}", "-Wl,--build-id=none", "-Wl,-z,noexecstack",
        "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--no-undefined", "-s", "-lm", "-lpthread",
    ]  # fmt: skip


EXPORTED = (
    "ansorc_version", "ansorc_model_name", "ansorc_create", "ansorc_destroy", "ansorc_run", "ansorc_error",
    "ansorc_num_inputs", "ansorc_num_outputs", "ansorc_input_name", "ansorc_output_name", "ansorc_input_dtype",
    "ansorc_output_dtype", "ansorc_input_rank", "ansorc_output_rank", "ansorc_input_shape", "ansorc_output_shape",
    "ansorc_set_threads", "ansorc_get_threads", "ansorc_workspace_size",
)  # fmt: skip
"""What every library exports besides its typed entry."""


def _call(command: Sequence[str], cache_dir: Path) -> None:
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache_dir / "zig"), "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LinkFailedError(command, done.stderr)
