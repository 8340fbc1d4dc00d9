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


def host_ir(steps: Sequence[Step], numbers: Sequence[int], names: bytes) -> str:
    """Return the module's text; `numbers` and `names` are the tables of `runtime/signature.py`."""
    listed = ", ".join(f"i64 {n}" for n in numbers)
    text = "".join(f"\\{byte:02X}" for byte in names)
    return "\n".join((
        f"@ansorc_host_numbers = hidden constant [{len(numbers)} x i64] [{listed}]",
        f'@ansorc_host_names = hidden constant [{len(names)} x i8] c"{text}"',
        steps_ir(steps, "hidden "),
    ))  # fmt: skip


def steps_ir(steps: Sequence[Step], visibility: str = "") -> str:
    """Return the text of the table `ansorc_host_steps` and of the functions in it."""
    lines: list[str] = []
    declared: dict[str, int] = {}
    for k, step in enumerate(steps):
        declared[step.function] = len(step.arguments)
        lines += _step(k, step)
    for function, count in declared.items():
        lines.append(f"declare void @{function}({'ptr, ' * count}i64, i64)")
    rows = ", ".join(f"{{ ptr, i64 }} {{ ptr @ansorc_step_{k}, i64 {s.chunks} }}" for k, s in enumerate(steps))
    table = f"@ansorc_host_steps = {visibility}constant [{len(steps)} x {{ ptr, i64 }}] [{rows}]"
    return "\n".join((table, *lines, ""))


def _step(number: int, step: Step) -> list[str]:
    lines = [f"define hidden void @ansorc_step_{number}(ptr %bases, i64 %lo, i64 %hi) {{"]
    for base in sorted({p.base for p in step.arguments}):
        lines += [
            f"  %q{base} = getelementptr ptr, ptr %bases, i64 {base}",
            f"  %b{base} = load ptr, ptr %q{base}",
        ]
    for k, place in enumerate(step.arguments):
        lines.append(f"  %a{k} = getelementptr i8, ptr %b{place.base}, i64 {place.offset}")
    arguments = "".join(f"ptr %a{k}, " for k in range(len(step.arguments)))
    return [*lines, f"  call void @{step.function}({arguments}i64 %lo, i64 %hi)", "  ret void", "}"]
