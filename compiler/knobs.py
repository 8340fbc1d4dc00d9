"""Settings from the environment, typed; no other file of the compiler reads `os.environ`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansorc.compiler.errors import InvalidKnobError

DEFAULT_CACHE_BYTES = 2 << 30


@dataclass(frozen=True)
class Knobs:
    """The environment variables `ANSORC_*`."""

    cache_dir: Path
    """ANSORC_CACHE_DIR: compiled tasks; `~/.cache/ansorc` (or under XDG_CACHE_HOME) if unset."""
    cache_bytes: int = DEFAULT_CACHE_BYTES
    """ANSORC_CACHE_BYTES: the least recently used entries go once the cache is larger."""
    dump_dir: Path | None = None
    """ANSORC_DUMP_DIR: write every stage, and the IR after every pass, below this folder."""
    jobs: int | None = None
    """ANSORC_JOBS: worker processes of the compiler; the cores of this process if unset."""
    rules: tuple[str, ...] = ()
    """ANSORC_RULES: modules that add kinds of schedules, separated by commas."""
    num_threads: int | None = None
    """ANSORC_NUM_THREADS: default threads of a compiled library, which reads it again itself."""


def read_knobs(environment: Mapping[str, str] | None = None) -> Knobs:
    """Read the knobs from an environment (by default that of this process)."""
    env = os.environ if environment is None else environment
    cache_home = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME") or "~", ".cache")
    default_cache = Path(cache_home).expanduser() / "ansorc"
    dump_dir = env.get("ANSORC_DUMP_DIR")
    cache_bytes = _integer(env, "ANSORC_CACHE_BYTES", least=0)
    return Knobs(
        cache_dir=Path(env.get("ANSORC_CACHE_DIR") or default_cache).expanduser(),
        cache_bytes=DEFAULT_CACHE_BYTES if cache_bytes is None else cache_bytes,
        dump_dir=Path(dump_dir).expanduser() if dump_dir else None,
        jobs=_integer(env, "ANSORC_JOBS", least=1),
        rules=tuple(name.strip() for name in env.get("ANSORC_RULES", "").split(",") if name.strip()),
        num_threads=_integer(env, "ANSORC_NUM_THREADS", least=1),
    )


def _integer(env: Mapping[str, str], name: str, least: int) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not text.strip().isdecimal() or int(text) < least:
        raise InvalidKnobError(name, text, f"a whole number of at least {least}")
    return int(text)
