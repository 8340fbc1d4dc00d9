"""`ansorc-opt`: run passes of ours and of upstream on MLIR text."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from mlir import ir
from mlir.passmanager import PassManager

from ansorc.compiler.errors import AnsorcError, UnknownPassError
from ansorc.compiler.stage_passes import STAGE_PASSES
from ansorc.dialect_passes import registry
from ansorc.dialect_passes.graph import weights
from ansorc.tools.diagnostics import Diagnostic, Expectation, compare, expectations

SEPARATOR = re.compile(r"^// -----.*$", re.MULTILINE)


def elements(pipeline: str) -> list[str]:
    """Split "builtin.module(a,b{x=1},func.func(c,d))", with or without its anchor, at the top."""
    text = pipeline.strip()
    if text.startswith("builtin.module(") and text.endswith(")"):
        text = text[len("builtin.module(") : -1]
    parts, depth, start = list[str](), 0, 0
    for position, character in enumerate(text):
        if character in "({[<":
            depth += 1
        elif character in ")}]>":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    if depth != 0:
        raise UnknownPassError(pipeline, "brackets do not match")
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def build(pipeline: str, module: ir.Module) -> PassManager:
    """Make a pass manager which runs upstream's passes and ours on this module."""
    manager = PassManager("builtin.module")
    for element in elements(pipeline):
        if element.startswith("ansorc-"):
            _add_ours(manager, element, module, pipeline)
            continue
        try:
            manager.add(element)
        except ValueError as error:
            reason = str(error).partition("error: ")[2] or str(error)
            raise UnknownPassError(pipeline, reason.partition("\n")[0]) from error
    return manager


def names() -> list[str]:
    """List our passes."""
    return [*registry.names(), *STAGE_PASSES]


def find(name: str) -> Callable[..., Any]:
    """Return a pass of ours; KeyError if there is none of this name."""
    return STAGE_PASSES[name] if name in STAGE_PASSES else registry.find(name)


def describe(name: str) -> str:
    """Return the first line of a pass's documentation."""
    return (STAGE_PASSES[name].__doc__ or "").partition("\n")[0] if name in STAGE_PASSES else registry.describe(name)


def _add_ours(manager: PassManager, element: str, module: ir.Module, pipeline: str) -> None:
    """Add "ansorc-name" or "ansorc-name{option=value option=value}"."""
    name, brace, text = element.partition("{")
    if name not in names():
        raise UnknownPassError(pipeline, f"unknown pass {name!r}; ours are {', '.join(names())}")
    run = find(name)
    pairs = [part.partition("=") for part in text.removesuffix("}").split()] if brace else []
    options = {key: value for key, _, value in pairs}
    possible = [p.name for p in inspect.signature(run).parameters.values() if isinstance(p.default, str)]
    for key in options:
        if key not in possible:
            raise UnknownPassError(pipeline, f"{name} has no option {key!r}; it has: {', '.join(possible) or 'none'}")

    def call(_operation: object, _pass: object) -> None:
        if registry.takes_weights(name):
            numbers = weights.take_inline(module)
            run(module, numbers)
            weights.put_inline(module, numbers)
        else:
            run(module, **options)

    manager.add(call, name=name, argument=name, description=describe(name))


class Run:
    """One piece of input under one pipeline, with what was said about it."""

    def __init__(self, pipeline: str, print_after_all: bool, unregistered: bool) -> None:
        self._pipeline = pipeline
        self._print_after_all = print_after_all
        self._unregistered = unregistered
        self.said: list[Diagnostic] = []

    def __call__(self, text: str) -> str | None:
        """Return the module's text after the passes; None if parsing or a pass failed."""
        context = ir.Context()
        context.allow_unregistered_dialects = self._unregistered
        # A pass may emit an error and still succeed: without this the process would abort.
        context.emit_error_diagnostics = True
        with context, ir.Location.unknown():
            handler = context.attach_diagnostic_handler(self._hear)
            try:
                module = ir.Module.parse(text)
                context.allow_unregistered_dialects = True  # between passes there may be operations of ours
                manager = build(self._pipeline, module)
                if self._print_after_all:
                    context.enable_multithreading(False)
                    manager.enable_ir_printing(print_after_all=True)
                manager.run(module.operation)
                return str(module)
            except ir.MLIRError as error:  # pyright: ignore[reportAttributeAccessIssue]
                if not any(d.kind == "error" for d in self.said):
                    self.said.append(Diagnostic("error", None, str(error)))
            except AnsorcError:
                raise
            except Exception as error:
                self.said.append(Diagnostic("error", None, f"{type(error).__name__}: {error}"))
            finally:
                handler.detach()  # pyright: ignore[reportAttributeAccessIssue]
        return None

    def _hear(self, diagnostic: ir.Diagnostic) -> bool:
        self.said.append(Diagnostic.read(diagnostic))
        self.said.extend(Diagnostic.read(note, "note") for note in diagnostic.notes)
        return True


def pieces(text: str, split: bool) -> list[str]:
    """Cut at `// -----` lines; every piece keeps the line numbers of the whole."""
    if not split:
        return [text]
    found, start = list[str](), 0
    for end in [*SEPARATOR.finditer(text), None]:
        piece = text[start : end.start() if end else len(text)]
        found.append("\n" * text.count("\n", 0, start) + piece)
        start = end.end() if end else start
    return found


def optimize(text: str, run: Run, split: bool, verify: bool, name: str) -> tuple[str, list[str]]:
    """Return the output and the complaints, which are none if all went well."""
    outputs, complaints = list[str](), list[str]()
    for piece in pieces(text, split):
        run.said.clear()
        output = run(piece)
        if verify:
            wanted: list[Expectation] = expectations(piece)
            complaints += [f"{name}:{line}" for line in compare(wanted, run.said)]
            continue
        sys.stderr.writelines(f"{name}:{said}\n" for said in run.said)
        if output is None:
            complaints.append(f"{name}: failed")
        else:
            outputs.append(output.rstrip("\n"))
    joined = "\n\n// -----\n\n".join(outputs)
    return (joined + "\n" if joined else ""), complaints


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", default="-")
@click.option("--pipeline", default="", help="Passes, such as 'builtin.module(canonicalize,cse)'.")
@click.option("-o", "output", default="-", help="Where to write; standard output by default.")
@click.option("--split-input-file", is_flag=True, help="Cut the input at `// -----` lines.")
@click.option("--verify-diagnostics", is_flag=True, help="Check `// expected-error` comments.")
@click.option("--print-ir-after-all", is_flag=True, help="Print the IR after every pass.")
@click.option("--allow-unregistered-dialect", is_flag=True, help="Accept unknown operations.")
@click.option("--list", "list_passes", is_flag=True, help="List our passes and stop.")
def main(
    file: str,
    pipeline: str,
    output: str,
    split_input_file: bool,
    verify_diagnostics: bool,
    print_ir_after_all: bool,
    allow_unregistered_dialect: bool,
    list_passes: bool,
) -> None:
    """Run passes on the MLIR text in FILE (standard input by default).

    \b
    ansorc-opt --pipeline='builtin.module(canonicalize,ansorc-move-transposes)' model.mlir
    ansorc-opt --pipeline=cse --print-ir-after-all model.mlir
    """
    if list_passes:
        for name in names():
            click.echo(f"{name:28} {describe(name)}")
        click.echo("and every pass of upstream MLIR")
        return
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        run = Run(pipeline, print_ir_after_all, allow_unregistered_dialect)
        name = "<stdin>" if file == "-" else file
        result, complaints = optimize(text, run, split_input_file, verify_diagnostics, name)
        if output == "-":
            click.echo(result, nl=False)
        elif not complaints:
            Path(output).write_text(result)
    except (AnsorcError, OSError, UnicodeDecodeError) as error:
        complaints = [f"ansorc-opt: {error}"]
    for complaint in complaints:
        click.echo(complaint, err=True)
    if complaints:
        sys.exit(1)


if __name__ == "__main__":
    main()
