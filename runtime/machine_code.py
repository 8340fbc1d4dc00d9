"""What a kernel's assembly tells before it runs: vector and scalar arithmetic in its inner loops, and spills.

Spills make a kernel's time depend on where the stack happens to lie, and a scalar loop wastes the machine: both are
seen in the text that LLVM prints for x86-64 (AT&T syntax) and AArch64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(r"^([.\w$]+):")
_GLOBAL = re.compile(r"^\s*\.type\s+([\w.$]+),\s*[@%]function")
_JUMP = re.compile(r"^\s+(?:j[a-z]+|b(?:\.[a-z]+)?|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.?L[\w$]+)\s*$")
_X86_ARITHMETIC = re.compile(r"^\s+v?(?:f(?:n?m)(?:add|sub)\d*|add|sub|mul|div|max|min|sqrt)(p|s)[sd]\s")
_ARM_ARITHMETIC = re.compile(
    r"^\s+f(?:mla|mls|n?madd|n?msub|add|sub|mul|div|max|maxnm|min|minnm|sqrt)\s+([vsdz])\d+(?:\.\w+)?"
)
_X86_SPILL = re.compile(r"^\s+v?mov[au]p[sd]\s.*\(%rsp\)")
_ARM_SPILL = re.compile(r"^\s+(?:str|ldr|stp|ldp)\s+[qz]\d+.*\[sp")

_MARKED_SPILL = re.compile(r"(?:#|//|@|;) *(\d+)-byte (?:Folded )?Spill")
_VECTOR_BYTES = 16


@dataclass(frozen=True)
class FunctionCode:
    """Counts of instructions of one function."""

    name: str
    vector_in_loops: int
    """Vector arithmetic in innermost loops."""
    scalar_in_loops: int
    """Scalar floating-point arithmetic in innermost loops (the rest of a vectorized loop is one of them)."""
    vector_elsewhere: int
    spills_in_loops: int
    """Whole vectors stored to the stack or loaded from it in innermost loops."""
    spills: int
    """The same anywhere."""
    instructions: int

    @property
    def is_scalar(self) -> bool:
        """Whether the function computes in loops, and never on vectors."""
        return self.scalar_in_loops > 0 and self.vector_in_loops + self.vector_elsewhere == 0


def inspect(assembly: str) -> tuple[FunctionCode, ...]:
    """Return what is known of each function of an assembly text, in order."""
    lines = assembly.splitlines()
    names = {m[1] for line in lines if (m := _GLOBAL.match(line))}
    starts = [(k, m[1]) for k, line in enumerate(lines) if (m := _LABEL.match(line)) and m[1] in names]
    ends = [*(k for k, _ in starts[1:]), len(lines)]
    return tuple(_function(name, lines[start:end]) for (start, name), end in zip(starts, ends, strict=True))


def vector_spills(assembly: str) -> int:
    """Count the stores of whole vectors to the stack that LLVM marks as spills in verbose assembly.

    `FunctionCode.spills` needs no marks, but takes any vector on the stack for one, such as rows that are kept there.
    """
    return sum(int(found[1]) >= _VECTOR_BYTES for found in _MARKED_SPILL.finditer(assembly))


def _function(name: str, lines: list[str]) -> FunctionCode:
    inner = _innermost_loops(lines)
    vector_in, scalar_in, vector_out, spills_in, spills, count = 0, 0, 0, 0, 0, 0
    for k, line in enumerate(lines):
        if not line[:1].isspace() or line.lstrip().startswith((".", "#", "//")):
            continue
        count += 1
        in_loop = any(start <= k <= end for start, end in inner)
        if _X86_SPILL.match(line) or _ARM_SPILL.match(line):
            spills += 1
            spills_in += in_loop
        is_vector = _is_vector(line)
        if is_vector is None:
            continue
        vector_in += is_vector and in_loop
        vector_out += is_vector and not in_loop
        scalar_in += not is_vector and in_loop
    return FunctionCode(name, vector_in, scalar_in, vector_out, spills_in, spills, count)


def _is_vector(line: str) -> bool | None:
    """Whether floating-point arithmetic is on vectors; None for other instructions."""
    if found := _X86_ARITHMETIC.match(line):
        return found[1] == "p"
    if found := _ARM_ARITHMETIC.match(line):
        return found[1] in "vz"
    return None


def _innermost_loops(lines: list[str]) -> list[tuple[int, int]]:
    """Ranges of lines from a label to a jump back to it, without another such range inside."""
    labels = {m[1]: k for k, line in enumerate(lines) if (m := _LABEL.match(line))}
    loops = [
        (labels[m[1]], k)
        for k, line in enumerate(lines)
        if (m := _JUMP.match(line)) and m[1] in labels and labels[m[1]] < k
    ]
    return [
        (start, end)
        for start, end in loops
        if not any(start <= s and e <= end and (s, e) != (start, end) for s, e in loops)
    ]
