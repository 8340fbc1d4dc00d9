"""The host program as LLVM IR: one step for each section of each call, and the tables which the C runtime walks.

    step(bases, lo, hi) { load base pointers; add offsets; call the section }

`bases` is {arena, weights, inputs..., outputs...} (see runtime/native/ansorc_host.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """An address: an entry of `bases` and an offset in bytes."""

    base: int
    offset: int


@dataclass(frozen=True)
class Step:
    """One section of one call."""

    function: str
    chunks: int
    arguments: tuple[Place, ...]
    columns: int = 1
    """How many chunks read the same input; see `Section`."""


def host_ir(steps: Sequence[Step], numbers: Sequence[int], names: bytes) -> str:
    """Return the module's text; `numbers` and `names` are the tables of `runtime/signature.py`."""
    listed = ", ".join(f"i64 {n}" for n in numbers)
    text = "".join(f"\\{byte:02X}" for byte in names)
    return "\n".join((
        f"@ansorc_host_numbers = hidden constant [{len(numbers)} x i64] [{listed}]",
        f'@ansorc_host_names = hidden constant [{len(names)} x i8] c"{text}"',
        steps_ir(steps, "hidden "),
    ))  # fmt: skip


def steps_ir(steps: Sequence[Step], visibility: str = "", clock: int | None = None) -> str:
    """Return the text of the table `ansorc_host_steps` and of the functions in it.

    With a `clock`, a base, each step notes when its first chunk began, when the last ended, and how long all of them
    took together: three numbers of nanoseconds for each step, at that base.
    """
    lines: list[str] = [] if clock is None else [_NOW]
    declared: dict[str, int] = {}
    for k, step in enumerate(steps):
        declared[step.function] = len(step.arguments)
        lines += _step(k, step, clock)
    for function, count in declared.items():
        lines.append(f"declare void @{function}({'ptr, ' * count}i64, i64)")
    rows = ", ".join(f"{_ROW} {{ ptr @ansorc_step_{k}, i64 {s.chunks}, i64 {s.columns} }}" for k, s in enumerate(steps))
    table = f"@ansorc_host_steps = {visibility}constant [{len(steps)} x {_ROW}] [{rows}]"
    return "\n".join((table, *lines, ""))


_ROW = "{ ptr, i64, i64 }"
"""`struct ansorc_step`."""
_NOW = """declare i32 @clock_gettime(i32, ptr)
define internal i64 @now() {
  %t = alloca { i64, i64 }
  %ignored = call i32 @clock_gettime(i32 1, ptr %t)
  %s = load i64, ptr %t
  %p = getelementptr i64, ptr %t, i64 1
  %n = load i64, ptr %p
  %s.n = mul i64 %s, 1000000000
  %r = add i64 %s.n, %n
  ret i64 %r
}"""


def _step(number: int, step: Step, clock: int | None) -> list[str]:
    lines = [f"define hidden void @ansorc_step_{number}(ptr %bases, i64 %lo, i64 %hi) {{"]
    if clock is not None:
        lines.append("  %begin = call i64 @now()")
    for base in sorted({p.base for p in step.arguments}):
        lines += [
            f"  %q{base} = getelementptr ptr, ptr %bases, i64 {base}",
            f"  %b{base} = load ptr, ptr %q{base}",
        ]
    for k, place in enumerate(step.arguments):
        lines.append(f"  %a{k} = getelementptr i8, ptr %b{place.base}, i64 {place.offset}")
    arguments = "".join(f"ptr %a{k}, " for k in range(len(step.arguments)))
    lines.append(f"  call void @{step.function}({arguments}i64 %lo, i64 %hi)")
    if clock is not None:
        lines += _noted(number, clock)
    return [*lines, "  ret void", "}"]


def _noted(number: int, clock: int) -> list[str]:
    return [
        "  %end = call i64 @now()",
        "  %took = sub i64 %end, %begin",
        f"  %clock.p = getelementptr ptr, ptr %bases, i64 {clock}",
        "  %clock = load ptr, ptr %clock.p",
        f"  %first = getelementptr [3 x i64], ptr %clock, i64 {number}",
        "  %last = getelementptr i64, ptr %first, i64 1",
        "  %busy = getelementptr i64, ptr %first, i64 2",
        "  %m0 = atomicrmw min ptr %first, i64 %begin monotonic",
        "  %m1 = atomicrmw max ptr %last, i64 %end monotonic",
        "  %m2 = atomicrmw add ptr %busy, i64 %took monotonic",
    ]
