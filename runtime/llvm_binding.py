"""Everything that uses llvmlite: from LLVM IR text to objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

from ansorc.runtime.machine_code import vector_spills


@dataclass(frozen=True)
class CodeReport:
    """What code generation made of a kernel."""

    text_bytes: int
    """Bytes of instructions."""
    vector_spills: int
    """Instructions that store a vector register to the stack for want of registers."""


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()


NO_PASSES_OF_KERNELS = ("loop-load-elim", "dse", "loop-unroll")
"""Passes that take a quarter of LLVM's time and make kernels no faster: what is stored is not loaded again, and short
loops are unrolled in full by an earlier pass."""
DEPTH_OF_CASTS = 1
"""How deep LLVM looks into an address to prove that it does not wrap, which changes nothing: of some kernels in eight
loops that took most of the time to compile."""


def expect_kernels(triple: str) -> None:
    """Set LLVM's options for kernels; they hold for this whole process, so for workers only.

    LLVM's default order for x86 starts a register tile's loads early, and spills accumulators of 28 registers in 32.
    That by pressure crashes LLVM for AArch64 (docs/pitfalls.md). Which passes are left out LLVM asks when it first
    compiles, so later is too late for that.
    """
    order = "list-ilp" if triple.startswith("x86_64") else "default"
    llvm.set_option("ansorc", f"-pre-RA-sched={order}")
    llvm.set_option("ansorc", f"-scalar-evolution-max-cast-depth={DEPTH_OF_CASTS}")
    _leave_out_passes()


@cache
def _leave_out_passes() -> None:
    llvm.set_option("ansorc", f"-opt-disable={','.join(NO_PASSES_OF_KERNELS)}")


def _set_strength_reduction(on: bool) -> None:
    """Whether loops get induction variables for their addresses from here on; LLVM has it for a whole process."""
    llvm.set_option("ansorc", f"-disable-lsr={'false' if on else 'true'}")


def host_cpu() -> tuple[str, str]:
    """Return this machine's CPU name and feature string ("+avx2,-avx512f,...")."""
    _initialize()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _machine(triple: str, cpu: str, features: str, level: int) -> llvm.TargetMachine:
    _initialize()
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=level, reloc="pic", codemodel="default")


def _parse(text: str, triple: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = triple, str(machine.target_data)
    module.verify()
    return module


def compile_ir(
    text: str, triple: str, cpu: str, features: str, *, level: int = 3, emit: str = "object", unroll: bool = True,
    reduce_strength: bool = True,
) -> bytes:  # fmt: skip
    """Optimise LLVM IR and emit an "object", its "asm" or the optimised "llvm" text.

    Without `unroll`, loops keep their shape: LLVM unrolls copies of constant extents into kilobytes of moves. Without
    `reduce_strength`, addresses are computed as they stand, which takes half as long to compile.
    """
    _set_strength_reduction(reduce_strength)
    machine = _machine(triple, cpu, features, level)
    module = _optimised(text, triple, machine, level, unroll)
    if emit == "llvm":
        return str(module).encode()
    if emit == "asm":
        return machine.emit_assembly(module).encode()
    return machine.emit_object(module)


def compile_kernel(
    text: str,
    triple: str,
    cpu: str,
    features: str,
    *,
    level: int = 3,
    unroll: bool = True,
    reduce_strength: bool = True,
) -> tuple[bytes, CodeReport]:
    """Optimise LLVM IR and emit an object, as `compile_ir` does, and say what is in it."""
    _set_strength_reduction(reduce_strength)
    machine = _machine(triple, cpu, features, level)
    module = _optimised(text, triple, machine, level, unroll)
    machine.set_asm_verbosity(True)
    native = llvm.Target.from_triple(triple).name == llvm.Target.from_default_triple().name
    again = "" if native else str(module)
    assembly = machine.emit_assembly(module)
    # Generating code takes many times longer than assembling it, which LLVM can do for the machine it runs on.
    code = machine.emit_object(_assembled(assembly, triple, machine) if native else _parse(again, triple, machine))
    return code, CodeReport(_text_bytes(code), vector_spills(assembly))


def _optimised(text: str, triple: str, machine: llvm.TargetMachine, level: int, unroll: bool) -> llvm.ModuleRef:
    module = _parse(text, triple, machine)
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_unrolling = unroll
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def _assembled(assembly: str, triple: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    quoted = assembly.replace("\\", "\\5C").replace('"', "\\22").splitlines()
    return _parse("\n".join(f'module asm "{line}"' for line in quoted), triple, machine)


def _text_bytes(code: bytes) -> int:
    return sum(s.size() for s in llvm.ObjectFileRef.from_data(code).sections() if s.is_text())


def link_ir(texts: Sequence[str]) -> str:
    """Join modules into one."""
    _initialize()
    first = llvm.parse_assembly(texts[0])
    for text in texts[1:]:
        first.link_in(llvm.parse_assembly(text))
    return str(first)


class LoadedCode:
    """Objects for this machine, loaded into this process; their functions live as long as the value does.

    JITLink puts what belongs together side by side. LLVM's older loader asks for memory section by section, and aborts
    where the sections of one object come to lie more than 2 GiB apart.
    """

    def __init__(self, *objects: bytes) -> None:
        _initialize()
        self._engine = llvm.create_lljit_compiler(use_jit_link=True)
        library = llvm.JITLibraryBuilder().add_current_process()
        for code in objects:
            library.add_object_img(code)
        self._trackers = [library.link(self._engine, _LIBRARY)]  # code is unloaded with the first that goes

    def address(self, name: str) -> int:
        """Return where a function or table starts."""
        self._trackers.append(self._engine.lookup(_LIBRARY, name))
        return int(self._trackers[-1][name])


_LIBRARY = "kernels"
