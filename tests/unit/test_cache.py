"""The cache of compiled tasks: what it returns, what it forgets, and who may share it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansorc.compiler.cache import Cache


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_returns_what_was_stored(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1 << 20)
    assert cache.get("abc") is None
    cache.put("abc", b"\0one")
    cache.put("abd", b"")
    assert cache.get("abc") == b"\0one"
    assert Cache(tmp_path, 1 << 20).get("abd") == b""


@pytest.mark.parametrize("keep", [0, 5, 30, -1])
def test_a_damaged_entry_is_a_miss(tmp_path: Path, keep: int) -> None:
    cache = Cache(tmp_path, 1 << 20)
    cache.put("abc", b"some bytes")
    (file,) = _files(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])
    assert cache.get("abc") is None
    cache.put("abc", b"again")
    assert cache.get("abc") == b"again"


def test_a_changed_byte_is_a_miss(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1 << 20)
    cache.put("abc", b"some bytes")
    (file,) = _files(tmp_path)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert cache.get("abc") is None


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 4000)
    for index, key in enumerate(("aa", "bb", "cc")):
        cache.put(key, bytes(1000))
        os.utime(tmp_path / key / key, (index, index))
    assert cache.get("aa") is not None  # used now
    cache.put("dd", bytes(1000))
    assert cache.get("bb") is None
    assert cache.get("aa") is not None
    assert cache.get("dd") is not None
    assert sum(file.stat().st_size for file in _files(tmp_path)) <= 4000


def test_what_is_larger_than_the_cache_is_not_stored(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    cache.put("aa", bytes(1000))
    assert cache.get("aa") is None
    assert _files(tmp_path) == []


def test_an_unusable_folder_is_an_empty_cache(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    cache = Cache(file, 1 << 20)
    cache.put("aa", b"x")
    assert cache.get("aa") is None


@pytest.mark.parametrize("key", ["", "../x", "a/b"])
def test_keys_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        Cache(tmp_path, 100).get(key)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ansorc.compiler.cache import Cache\n"
        "cache = Cache(Path(sys.argv[1]), 30000)\n"
        "for i in range(200):\n"
        "    key = f'{i % 40:02d}x'; value = key.encode() * 500\n"
        "    cache.put(key, value); got = cache.get(key)\n"
        "    assert got is None or got == value\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert not [file for file in _files(tmp_path) if file.name.startswith(".")]
