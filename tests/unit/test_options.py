"""Options: what is refused, and what the fingerprint depends on."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.options import Options
from ansorc.compiler.target import parse_target

HASWELL = parse_target("haswell")


@pytest.mark.parametrize("threads", [0, -1, 100000])
def test_threads_out_of_range(threads: int) -> None:
    with pytest.raises(InvalidOptionError, match="threads"):
        Options(target=HASWELL, threads=threads)


def test_a_shape_has_positive_sizes() -> None:
    with pytest.raises(InvalidOptionError, match="shape of 'x'"):
        Options(target=HASWELL, shapes={"x": (1, 0)})


@pytest.mark.parametrize(("name", "value"), [("trials", -1), ("seconds", 0.0), ("seconds", -3.0)])
def test_a_search_has_a_budget(name: str, value: float) -> None:
    with pytest.raises(InvalidOptionError, match=name):
        Options(target=HASWELL, **{name: value})  # pyright: ignore[reportArgumentType]


def test_records_alone_search_nothing() -> None:
    assert not Options(target=HASWELL, records=Path("r.db")).searches
    assert Options(target=HASWELL, trials=5).searches
    assert Options(target=HASWELL, seconds=5).searches


def test_fingerprint_follows_the_target_only() -> None:
    options = Options(target=HASWELL)
    print_ = options.fingerprint()
    assert print_.isalnum()
    assert dataclasses.replace(options, threads=3, verbose=True, jobs=9).fingerprint() == print_
    other = dataclasses.replace(options, target=parse_target("znver4"))
    assert other.fingerprint() != print_


def test_options_travel_without_their_callback() -> None:
    steps: list[tuple[str, int, int]] = []
    options = Options(target=HASWELL, progress=lambda *step: steps.append(step))
    options.report("tasks", 1, 3)
    assert steps == [("tasks", 1, 3)]
    copy = pickle.loads(pickle.dumps(options))
    assert copy == options
    copy.report("tasks", 2, 3)
    assert len(steps) == 1
