"""One task, stage by stage: linalg -> scheduled (or affine) -> bufferized -> llvm-mlir -> llvm.

A module holds one task from here on. What later stages have to know of it travels in the module's attribute
`ansorc.kernel`, so that the text of every stage can be fed back in.
"""

from __future__ import annotations

from mlir import ir
from mlir.dialects import llvm as llvm_dialect
from mlir.dialects.transform import interpreter
from mlir.passmanager import PassManager

from ansorc.compiler.errors import UnusableScriptError
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.schedule_task import Schedule, all_kinds, replay, schedule
from ansorc.dialect_passes.ir_walk import functions
from ansorc.dialect_passes.kernel_facts import KernelFacts
from ansorc.dialect_passes.lower import (
    collapse_loops,
    collapse_reductions,
    constant_products,
    contract,
    copies,
    destination,
    expand_math,
    explicit_copies,
    maxima,
    order_loops,
    pitched_arguments,
    powers_of_two,
    prefetch,
    reassociate,
    reciprocals,
    scalable_vectors,
    sections,
    share_borders,
    streaming,
    strided_slices,
    vector_copies,
)
from ansorc.dialect_passes.lower.pipelines import AFFINE, BUFFERIZE, GENERALIZE, PREPARE, to_llvm
from ansorc.dialect_passes.schedule import border, gather_rows, loops, skip_taps
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.shape_of_task import sums_long_products
from ansorc.dialect_passes.schedule.vectorize import FOLD_UNITS, LOWER_VECTORS, VECTORIZE

AVX512_BYTES = 64

STAGES = ("linalg", "affine", "scheduled", "bufferized", "llvm-mlir")
"""Stages whose text is MLIR, in order; `affine` is a sibling of `scheduled` and `bufferized`."""


def facts_of(module: ir.Module) -> KernelFacts:
    """Read what earlier stages found out."""
    attributes = module.operation.attributes
    if "ansorc.kernel" not in attributes:
        return KernelFacts()
    return KernelFacts.from_json(ir.StringAttr(attributes["ansorc.kernel"]).value)


def advance(module: ir.Module, stage: str, machine: Machine) -> str:
    """Take the module from `scheduled` or later one stage on, in place; return the new stage."""
    if stage == "scheduled":
        pitched_arguments.run(module)
        run_passes(module, BUFFERIZE)
        copies.run(module)
        share_borders.run(module)
        return "bufferized"
    facts = facts_of(module)
    if machine.x86:
        maxima.run(module)
    if stage == "bufferized":
        transform(module, LOWER_VECTORS)
        prefetch.run(module)
    powers_of_two.run(module, scales=machine.x86 and machine.vector_bytes == AVX512_BYTES)
    streamed = streaming.mark(module, machine.vector_bytes)
    vector_copies.run(module, machine.vector_bytes)  # whose stores lie anywhere: after those that are streamed
    cut = sections.run(module)
    run_passes(module, to_llvm(machine.x86))
    if streamed is not None:
        streaming.settle(module, streamed, machine.vector_bytes)
    if machine.scalable:
        scalable_vectors.run(module, machine.vector_bytes)
    _note(module, KernelFacts(facts.kind or stage, facts.packings, cut.sections, cut.scratch, facts.products))
    return "llvm-mlir"


def plan(
    module: ir.Module,
    machine: Machine,
    kinds: tuple[str, ...] | None = None,
    candidate: Candidate | None = None,
    replayed: str = "",
) -> Schedule:
    """Prepare a module of the stage `linalg` for its schedule, and return that; `to_scheduled` comes next.

    The schedule is a script to be `replayed`, a `candidate`, or the default of one of `kinds`.
    """
    prepare(module)
    return replay(module, replayed) if replayed else schedule(module, machine, kinds or all_kinds(), candidate)


def to_scheduled(module: ir.Module, chosen: Schedule) -> str:
    """Apply a planned schedule; return the transform script that was applied.

    Raises UnusableScriptError where a script that is no candidate's changes nothing.
    """
    script, products = chosen.script, sums_long_products(next(functions(module)))
    module.operation.verify()  # what a kind rewrote: a script may take an invalid operation apart into valid ones
    if chosen.kind == "loops":
        border.write_out(next(functions(module)))
        explicit_copies.run(module)
    destination.run(module)
    if chosen.kind == "loops":
        run_passes(module, GENERALIZE)  # copies into destinations are operations to tile, too
        script = loops.emit(next(functions(module)))
    if script is not None:
        replayed = chosen.vectorize and chosen.candidate is None
        before = str(module) if replayed else ""
        transform(module, script)
        if replayed and str(module) == before:
            raise UnusableScriptError("it changes nothing")
        skip_taps.settle(module)
        gather_rows.settle(module)
        destination.restore(module)
    border.settle(module)
    expand_math.run(module)
    reciprocals.run(module)
    if chosen.vectorize:
        if constant_products.run(module):  # it reads tiles with their unit dims, which are folded elsewhere already
            transform(module, FOLD_UNITS)
        strided_slices.run(module)
        transform(module, VECTORIZE)
        border.settle_reads(module)
        destination.write_tiles_in_place(module)
    else:
        reassociate.run(module)
    _note(module, KernelFacts(chosen.kind, chosen.packings, products=products))
    return script or ""


def prepare(module: ir.Module) -> None:
    """Bring the operations of the stage `linalg` into the form that schedules assume."""
    run_passes(module, PREPARE)
    order_loops.run(module)
    collapse_loops.run(module)
    collapse_reductions.run(module)
    gather_rows.collapse(module)
    contract.run(module)  # before tiling: a reduction of one step is no reduction any more


def to_affine(module: ir.Module) -> None:
    """Take the module from `linalg` to `affine`: plain loops, no schedule; the oracle of schedules."""
    run_passes(module, PREPARE)
    border.write_out(next(functions(module)))
    destination.run(module)
    contract.run(module)
    pitched_arguments.run(module)
    run_passes(module, BUFFERIZE)
    copies.run(module)
    run_passes(module, AFFINE)
    _note(module, KernelFacts("affine"))


def to_llvm_ir(module: ir.Module) -> str:
    """Return the LLVM IR of a module of the stage `llvm-mlir`."""
    return str(llvm_dialect.translate_module_to_llvmir(module.operation))  # pyright: ignore[reportAttributeAccessIssue]


def run_passes(module: ir.Module, pipeline: str) -> None:
    """Run a textual pipeline.

    Between passes nothing is verified, which would take a tenth of a compilation's time; who uses the result does it.
    """
    passes = PassManager.parse(pipeline, module.context)
    passes.enable_verifier(False)
    passes.run(module.operation)


class StepFailedError(Exception):
    """A step of a transform script does not apply."""


def transform(module: ir.Module, script: str) -> None:
    """Apply a transform-dialect script; raises StepFailedError."""
    parsed = ir.Module.parse(script, module.context)
    try:
        interpreter.apply_named_sequence(module.operation, parsed.body.operations[0], parsed)
    except ValueError as error:
        raise StepFailedError(str(error)) from error


def _note(module: ir.Module, facts: KernelFacts) -> None:
    with module.context:
        module.operation.attributes["ansorc.kernel"] = ir.StringAttr.get(facts.to_json())
