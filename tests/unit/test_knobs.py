"""Environment variables: defaults, values, refusals, and that one file reads them."""

from pathlib import Path

import pytest

from ansorc.compiler.errors import InvalidKnobError
from ansorc.compiler.knobs import DEFAULT_CACHE_BYTES, read_knobs

ROOT = Path(__file__).parents[2]


def test_defaults() -> None:
    knobs = read_knobs({"HOME": "/home/someone"})
    assert knobs.cache_dir == Path("/home/someone/.cache/ansorc")
    assert knobs.cache_bytes == DEFAULT_CACHE_BYTES
    assert (knobs.dump_dir, knobs.jobs, knobs.num_threads) == (None, None, None)


def test_values() -> None:
    knobs = read_knobs(
        {
            "ANSORC_CACHE_DIR": "/c",
            "ANSORC_CACHE_BYTES": "0",
            "ANSORC_DUMP_DIR": "/d",
            "ANSORC_JOBS": "3",
            "ANSORC_NUM_THREADS": "2",
        }
    )
    assert (knobs.cache_dir, knobs.dump_dir) == (Path("/c"), Path("/d"))
    assert (knobs.cache_bytes, knobs.jobs, knobs.num_threads) == (0, 3, 2)


@pytest.mark.parametrize(("name", "value"), [("JOBS", "0"), ("JOBS", "two"), ("CACHE_BYTES", "-1")])
def test_refusals(name: str, value: str) -> None:
    with pytest.raises(InvalidKnobError, match=f"ANSORC_{name}"):
        read_knobs({f"ANSORC_{name}": value})


def test_no_other_file_reads_them() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for room in ("compiler", "dialect_passes", "frontends", "tools")
        for path in (ROOT / room).rglob("*.py")
        if "environ" in (text := path.read_text()) and '"ANSORC_' in text
    ]
    assert readers == ["compiler/knobs.py"]
