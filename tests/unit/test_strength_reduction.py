"""Loop strength reduction of LLVM is left out for register tiles of long products, and for no kernel after them."""

from __future__ import annotations

import json
import multiprocessing

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.options import Options
from ansorc.compiler.target import Target, parse_target
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.dialect_passes.kernel_facts import KernelFacts
from ansorc.runtime.llvm_binding import compile_ir, expect_kernels
from ansorc.tools.workloads import Case, Dense
from ansorc.tools.workloads_convolution import Convolution

TARGETS = tuple(map(parse_target, ("native", "neoverse-n1")))
PRODUCT = Dense("D", 64, 64, 64).case(1)
WINDOWS = Convolution("DEP", (8, 8), 32, 32, 3, groups=32).case(1)


def compiled(case: Case, goal: str, target: Target) -> bytes:
    options = Options(target=target, use_cache=False)
    (text,) = to_tasks(read(case.model, options), options).code.values()
    return compile_task(TaskJob(text, "linalg", goal, target, kinds=("register-tile",))).code


def assembly(case: Case, target: Target, *, reduced: bool) -> bytes:
    expect_kernels(target.triple)
    text = compiled(case, "llvm", target).decode()
    return compile_ir(text, target.triple, target.cpu, target.features, emit="asm", reduce_strength=reduced)


def compare() -> None:
    for target in TARGETS * 2:
        for case, kept in ((PRODUCT, False), (WINDOWS, True), (PRODUCT, False)):
            usual, other = (assembly(case, target, reduced=reduced) for reduced in (kept, not kept))
            assert usual != other
            assert compiled(case, "asm", target) == usual


def test_it_is_left_out_for_long_products_alone() -> None:
    """In a process of its own: an order of instructions that suits x86 crashes LLVM for AArch64."""
    process = multiprocessing.get_context("spawn").Process(target=compare)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_kernels_of_earlier_stages_without_the_fact_are_read() -> None:
    known = json.loads(KernelFacts("register-tile", products=True).to_json())
    del known["products"]
    assert KernelFacts.from_json(json.dumps(known)) == KernelFacts("register-tile")
