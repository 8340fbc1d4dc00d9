"""What candidates are compared with: the task itself, in double precision where it is one of f32."""

from __future__ import annotations

import re
import struct

_OTHER_FLOATS = re.compile(r"\b(?:f16|bf16|f64)\b|arith\.(?:extf|truncf|bitcast)")
_SINGLE = re.compile(r"(?<![a-z0-9_])f32\b|(?<=x)f32\b")
_BITS = re.compile(r"\b0x[0-9A-Fa-f]{8}\b")


def widened(text: str) -> str:
    """Return the text of a task with f64 in the place of f32; as it is, where it has other floats besides.

    A loop that sums a million numbers of f32 one after the other is off by more than any candidate.
    """
    if _OTHER_FLOATS.search(text):
        return text
    return _BITS.sub(_wide_bits, _SINGLE.sub("f64", text))


def _wide_bits(single: re.Match[str]) -> str:
    (value,) = struct.unpack(">f", bytes.fromhex(single.group()[2:]))
    return "0x" + struct.pack(">d", value).hex().upper()
