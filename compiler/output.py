"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

from ansorc.compiler.errors import UnwritableOutputError


def check_writable(path: Path) -> None:
    """Refuse an output that cannot be written before any work is done for it."""
    folder = path.parent
    if path.is_dir():
        raise UnwritableOutputError(path, "it is a folder")
    if not folder.exists():
        raise UnwritableOutputError(path, f"there is no folder {folder}")
    if not folder.is_dir():
        raise UnwritableOutputError(path, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnwritableOutputError(path, f"no permission to write in {folder}")


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Generator[Path]:
    """Yield a temporary name beside `path`; rename it at the end, or remove it on any exception."""
    check_writable(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise UnwritableOutputError(path, error.strerror or str(error)) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) == temporary:
            raise UnwritableOutputError(path, error.strerror or str(error)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
