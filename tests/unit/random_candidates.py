"""Random candidates of one kind of schedule, compared with plain loops."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.measure import runnable
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate, from_json
from ansorc.compiler.sketch.kind import TaskSpace
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task

OPTIONS = Options(use_cache=False)
MACHINE = machine_of(OPTIONS.target)


def compared(
    model: onnx.ModelProto, kind: str, draws: int = 4, tolerance: float = 0.0, wanted: Mapping[str, int] | None = None
) -> int:
    """Compile the default and random candidates of all tasks that a kind fits; return how many gave the same numbers.

    They may differ from those of plain loops by `tolerance` times the largest. Only candidates that have the `wanted`
    decisions count, to which those drawn are changed.
    """
    generator, found = random.Random(0), 0
    for text in to_tasks(read(model, OPTIONS), OPTIONS).code.values():
        for space in spaces_of_task(text, MACHINE):
            if space.kind.name != kind:
                continue
            plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, unscheduled=True)))
            arguments = plain.random_arguments(np.random.default_rng(0))
            expected = plain.run(arguments)
            choice = space.choose()
            assert choice is not None
            drawn = (choice.candidate, *(space.sample(generator) for _ in range(draws)))
            for candidate in {changed(space, c, wanted or {}) for c in drawn if c is not None} - {None}:
                assert candidate is not None
                assert space.illegal(candidate) is None
                assert from_json(candidate.to_json()) == candidate
                made = compile_task(TaskJob(text, "linalg", "object", OPTIONS.target, candidate=candidate))
                actual, most = runnable(text, made).run(arguments, threads=2), np.abs(expected).max()
                assert np.all(np.abs(actual - expected) <= tolerance * most), candidate.values
                found += 1
    return found


def changed(space: TaskSpace[Any], candidate: Candidate, wanted: Mapping[str, int]) -> Candidate | None:
    """Return a legal candidate that is near to another one, and has the wanted decisions; None where none is."""
    values = space.nearest({**candidate.values, **wanted})
    if values is None or any(values.get(name) != value for name, value in wanted.items()):
        return None
    return Candidate(space.sketch, tuple(values.items()))
