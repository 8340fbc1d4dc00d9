"""lib.h, and the C source of the model's typed entry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ansorc.runtime.signature import C_TYPES, DTYPES, TensorLike

INTERFACE = Path(__file__).parent / "native" / "ansorc.h"
WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class co_await co_return co_yield
compl concept const const_cast consteval constexpr constinit continue decltype default delete do double
dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace
new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires
restrict return short signed sizeof static static_assert static_cast struct switch template this thread_local
throw true try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t
while xor xor_eq linux unix
"""
KEYWORDS = frozenset({*WORDS.split(), "model"})
"""Words of C and C++, macros of GCC, and the name of our own parameter."""
RESERVED = re.compile(r"|[0-9_].*|(ansorc|ANSORC).*|.*_t|NULL|EXPORT|[A-Z0-9_]+_(MAX|MIN|WIDTH|C)")
"""Names that belong to the language, to what our header includes, or to us."""


def identifier(name: str, taken: set[str] | None = None) -> str:
    """Make a C identifier of a name, different from those taken (and add it there)."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", name) or "tensor"
    if base in KEYWORDS or RESERVED.fullmatch(base):
        base = "t_" + base
    made, count = base, 1
    while taken is not None and made in taken:
        made, count = f"{base}_{count}", count + 1
    if taken is not None:
        taken.add(made)
    return made


def _prototype(
    model: str, inputs: Sequence[TensorLike], outputs: Sequence[TensorLike]
) -> tuple[str, list[str], list[str]]:
    taken: set[str] = set()
    names = [[identifier(t.name, taken) for t in side] for side in (inputs, outputs)]
    parameters = ["ansorc_model *model"]
    for side, prefix, tensors in ((names[0], "const ", inputs), (names[1], "", outputs)):
        for name, tensor in zip(side, tensors, strict=True):
            parameters.append(f"{prefix}{C_TYPES[DTYPES.index(str(tensor.dtype))]} *{name}")
    text = ",\n    ".join(parameters)
    return f"int {identifier(model)}_run({text})", names[0], names[1]


def _shape(tensor: TensorLike) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def header_text(model: str, inputs: Sequence[TensorLike], outputs: Sequence[TensorLike]) -> str:
    """Return lib.h: C99 and C++, and several models' headers may be included together."""
    guard = f"ANSORC_MODEL_{identifier(model).upper()}_H"
    prototype, _, _ = _prototype(model, inputs, outputs)
    rows = [
        f" *   {side} {t.name}: {t.dtype} {_shape(t)}"
        for side, ts in (("input", inputs), ("output", outputs))
        for t in ts
    ]
    return "\n".join((
        f"/* {model}, compiled by ansorc. */",
        INTERFACE.read_text(),
        f"#ifndef {guard}",
        f"#define {guard}",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* Run an instance on C-contiguous arrays; returns a status as ansorc_run does.",
        *(row.replace("*/", "* /") for row in rows),
        " */",
        f"{prototype};",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "#endif",
        "",
    ))  # fmt: skip


def entry_source(model: str, inputs: Sequence[TensorLike], outputs: Sequence[TensorLike]) -> str:
    """Return the C source of `<model>_run`."""
    prototype, ins, outs = _prototype(model, inputs, outputs)
    return "\n".join((
        "#pragma GCC visibility push(default)",
        '#include "ansorc.h"',
        "#pragma GCC visibility pop",
        '#define EXPORT __attribute__((visibility("default")))',
        f"EXPORT {prototype};",
        f"{prototype} {{",
        # No identifier of a tensor begins like these.
        f"  const void *_inputs[] = {{{', '.join([*ins, '0'])}}};",
        f"  void *_outputs[] = {{{', '.join([*outs, '0'])}}};",
        "  return ansorc_run(model, _inputs, _outputs);",
        "}",
        "",
    ))  # fmt: skip
