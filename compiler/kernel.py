"""One task: from linalg on tensors to LLVM IR, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass

from mlir import ir
from mlir.dialects import llvm as llvm_dialect
from mlir.dialects.transform import interpreter
from mlir.passmanager import PassManager

from ansorc.dialect_passes.lower import copies, destination, expand_math, order_loops, reassociate, sections, strided_slices
from ansorc.dialect_passes.lower.pipelines import BUFFERIZE, PREPARE, to_llvm
from ansorc.dialect_passes.lower.sections import Section
from ansorc.dialect_passes.schedule import default
from ansorc.dialect_passes.schedule.block_channels import Packing
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.vectorize import LOWER_VECTORS, VECTORIZE


def context() -> ir.Context:
    """A context in which `ansorc.*` attributes may stand anywhere."""
    made = ir.Context()
    made.allow_unregistered_dialects = True
    made.enable_multithreading(False)
    made.emit_error_diagnostics = True
    return made


@dataclass(frozen=True)
class Scheduled:
    """What is known of a task after its schedule was applied; the module itself is changed in place."""

    kind: str
    script: str | None
    packings: dict[int, Packing]
    vectorize: bool


def to_scheduled(module: ir.Module, machine: Machine, kinds: tuple[str, ...]) -> Scheduled:
    """Stage `linalg` -> `scheduled`: tiled and vectorized, still on tensors."""
    run_passes(module, PREPARE)
    order_loops.run(module)
    chosen = default.schedule(module, machine, kinds)
    destination.run(module)
    if chosen.script is not None:
        transform(module, chosen.script)
    expand_math.run(module)
    if chosen.vectorize:
        strided_slices.run(module)
        transform(module, VECTORIZE)
    else:
        reassociate.run(module)
    return Scheduled(chosen.kind, chosen.script, chosen.packings, chosen.vectorize)


def to_bufferized(module: ir.Module) -> None:
    """Stage `scheduled` -> `bufferized`."""
    run_passes(module, BUFFERIZE)
    copies.run(module)


def to_llvm_dialect(module: ir.Module, machine: Machine) -> sections.SectionedTask:
    """Stage `bufferized` -> `llvm-mlir`: sections with a chunk range."""
    transform(module, LOWER_VECTORS)
    cut = sections.run(module)
    run_passes(module, to_llvm(machine.x86))
    return cut


def to_llvm_ir(module: ir.Module) -> str:
    """Stage `llvm-mlir` -> `llvm`."""
    return llvm_dialect.translate_module_to_llvmir(module.operation)


def run_passes(module: ir.Module, pipeline: str) -> None:
    """Run a textual pipeline."""
    PassManager.parse(pipeline, module.context).run(module.operation)


def transform(module: ir.Module, script: str) -> None:
    """Apply a transform-dialect script."""
    parsed = ir.Module.parse(script, module.context)
    interpreter.apply_named_sequence(module.operation, parsed.body.operations[0], parsed)
