"""The script of algorithms that have transforms around products: their step makes a stage of each."""

from __future__ import annotations

from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.stage import Stage
from ansorc.dialect_passes.schedule.words import cse, match_ops, patterns, script


def script_of(candidate: Candidate, attributes: str) -> str:
    """Return the transform module of a candidate whose steps make stages of their own."""
    made = Stage([], "", [], (), {"root": ""})
    for step in candidate.sketch.steps:
        step.emit(candidate.values, made)
    return script(
        *made.lines,
        match_ops("%f", "func.func"),
        patterns("%f", "canonicalization"),
        cse("%f"),
        attributes=attributes,
    )
