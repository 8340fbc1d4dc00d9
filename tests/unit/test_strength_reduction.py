"""Loop strength reduction of LLVM is left out for register tiles of long products, and for no kernel after them."""

from __future__ import annotations

import json

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.kernel import KernelFacts
from ansorc.compiler.options import Options
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.runtime.llvm_binding import compile_ir, keep_register_tiles
from ansorc.tools.workloads import Case, Dense
from ansorc.tools.workloads_convolution import Convolution

OPTIONS = Options(use_cache=False)
TARGET = OPTIONS.target
PRODUCT = Dense("D", 64, 64, 64).case(1)
WINDOWS = Convolution("DEP", (8, 8), 32, 32, 3, groups=32).case(1)


def compiled(case: Case, goal: str) -> bytes:
    (text,) = to_tasks(read(case.model, OPTIONS), OPTIONS).code.values()
    return compile_task(TaskJob(text, "linalg", goal, TARGET, kinds=("register-tile",))).code


def assembly(case: Case, *, reduced: bool) -> bytes:
    keep_register_tiles()
    text = compiled(case, "llvm").decode()
    return compile_ir(text, TARGET.triple, TARGET.cpu, TARGET.features, emit="asm", reduce_strength=reduced)


def test_it_is_left_out_for_long_products_alone() -> None:
    for case, kept in ((PRODUCT, False), (WINDOWS, True), (PRODUCT, False)):
        usual, other = (assembly(case, reduced=reduced) for reduced in (kept, not kept))
        assert usual != other
        assert compiled(case, "asm") == usual


def test_kernels_of_earlier_stages_without_the_fact_are_read() -> None:
    known = json.loads(KernelFacts("register-tile", products=True).to_json())
    del known["products"]
    assert KernelFacts.from_json(json.dumps(known)) == KernelFacts("register-tile")
