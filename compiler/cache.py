"""Compiled tasks on disk: bytes by key, safe with several processes, bounded in size."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"ansorc-cache-1\n"
DIGEST_BYTES = 32
TEMPORARY_PREFIX = ".new-"
ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True)
class _Entry:
    path: Path
    size: int
    used: float


class Cache:
    """Files of one folder: a header with a checksum, then the bytes.

    A file that is missing, cut short or changed is a miss. A cache that cannot be written is an
    empty one: it never makes a compilation fail.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self._total: int | None = None  # bytes as of the last look, plus our own since then

    def get(self, key: str) -> bytes | None:
        """Return what was stored under a key (letters and digits), and mark it as used."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        start = len(MAGIC) + DIGEST_BYTES
        value = content[start:]
        if content[:start] != MAGIC + hashlib.sha256(value).digest():
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Store bytes under a key; other processes see all of them or none."""
        path = self._path(key)
        content = MAGIC + hashlib.sha256(value).digest() + value
        if len(content) > self.limit_bytes:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException as error:
            _remove(Path(temporary))
            if isinstance(error, OSError):
                return
            raise
        self._bound(len(content))

    def _path(self, key: str) -> Path:
        if not key.isalnum():
            raise ValueError(f"a cache key consists of letters and digits: {key!r}")
        return self.directory / key[:2] / key

    def _bound(self, added: int) -> None:
        """Drop the least recently used entries if we may have passed the limit."""
        if self._total is not None:
            self._total += added
            if self._total <= self.limit_bytes:
                return
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        total = sum(entry.size for entry in entries)
        if total > self.limit_bytes:
            # Leave some air, so that not every later store has to look through the folder.
            goal = self.limit_bytes * 9 // 10
            for entry in entries[:-1]:  # what was stored just now stays
                if total <= goal:
                    break
                _remove(entry.path)
                total -= entry.size
        self._total = total

    def _entries(self) -> Iterator[_Entry]:
        now = time.time()
        for path in self.directory.glob("*/*"):
            try:
                status = path.stat()
            except OSError:  # another process dropped it
                continue
            if path.name.startswith(TEMPORARY_PREFIX):
                if now - status.st_mtime > ABANDONED_SECONDS:
                    _remove(path)
                continue
            yield _Entry(path, status.st_size, status.st_mtime)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
