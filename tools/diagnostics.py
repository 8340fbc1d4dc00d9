"""What MLIR says about a text, and the comments that say what it ought to say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlir import ir

EXPECTED = re.compile(
    r"//\s*expected-(?P<kind>error|warning|remark|note)(?P<regex>-re)?\s*"
    r"(?:@(?P<where>[+-]\d+|above|below|unknown))?\s*\{\{(?P<text>.*?)\}\}"
)
POSITION = re.compile(r'":(\d+):(\d+)')


@dataclass(frozen=True)
class Diagnostic:
    """One message."""

    kind: str
    line: int | None
    """Line of the input, from 1; None if the location has none."""
    message: str

    @staticmethod
    def read(diagnostic: ir.Diagnostic, kind: str | None = None) -> Diagnostic:
        """Read what a diagnostic handler is given."""
        position = POSITION.search(str(diagnostic.location))
        return Diagnostic(
            kind or diagnostic.severity.name.lower(),
            int(position[1]) if position else None,
            diagnostic.message,
        )

    def __str__(self) -> str:
        return f"{self.line or 'unknown'}: {self.kind}: {self.message}"


@dataclass(frozen=True)
class Expectation:
    """A comment `expected-error@+1 {{text}}`."""

    kind: str
    line: int | None
    pattern: re.Pattern[str]

    def meets(self, diagnostic: Diagnostic) -> bool:
        """Whether this is the message that was expected; one without a line fits any."""
        return (
            self.kind == diagnostic.kind
            and (None in (self.line, diagnostic.line) or self.line == diagnostic.line)
            and self.pattern.search(diagnostic.message) is not None
        )


def expectations(text: str) -> list[Expectation]:
    """Read the `expected-` comments of a text."""
    found: list[Expectation] = []
    for number, line in enumerate(text.split("\n"), start=1):
        for match in EXPECTED.finditer(line):
            where = {"above": "-1", "below": "+1", None: "+0"}.get(match["where"], match["where"])
            at = None if where == "unknown" else number + int(where)
            pattern = match["text"] if match["regex"] else re.escape(match["text"])
            found.append(Expectation(match["kind"], at, re.compile(pattern)))
    return found


def compare(expected: Sequence[Expectation], said: Sequence[Diagnostic]) -> list[str]:
    """Return a line for each message that is missing or was not expected (notes may be extra)."""
    left = list(said)
    complaints: list[str] = []
    for expectation in expected:
        match = next((d for d in left if expectation.meets(d)), None)
        if match is None:
            line, text = expectation.line or "unknown", expectation.pattern.pattern
            complaints.append(f"{line}: expected {expectation.kind} was not produced: {text}")
        else:
            left.remove(match)
    complaints += [f"{d.line or 'unknown'}: unexpected {d}" for d in left if d.kind != "note"]
    return complaints
