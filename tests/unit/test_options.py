"""Options: what is refused, and what the fingerprint depends on."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from ansorc.compiler.errors import InvalidOptionError, NotYetError
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


def test_tuning_is_reserved() -> None:
    with pytest.raises(NotYetError, match="trials=5"):
        Options(target=HASWELL, trials=5)
    with pytest.raises(NotYetError, match="records"):
        Options(target=HASWELL, records=Path("r.db"))


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
