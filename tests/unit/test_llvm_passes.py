"""Passes of LLVM that kernels do without are left out, in a process that compiles nothing before."""

from __future__ import annotations

import multiprocessing

from ansorc.compiler.target import parse_target
from ansorc.runtime.llvm_binding import compile_ir, expect_kernels

LOOP = """
define void @f(ptr %y, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %p = getelementptr float, ptr %y, i64 %i
  store volatile float 1.0, ptr %p
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %exit
exit:
  ret void
}
"""


def stores() -> int:
    target = parse_target("x86-64-v3")
    text = compile_ir(LOOP, target.triple, target.cpu, target.features, emit="llvm").decode()
    return text.count("store volatile")


def unrolled() -> None:
    assert stores() > 1


def not_unrolled() -> None:
    expect_kernels(parse_target("x86-64-v3").triple)
    assert stores() == 1


def test_loops_of_kernels_are_not_unrolled_in_part() -> None:
    for check in (unrolled, not_unrolled):
        process = multiprocessing.get_context("spawn").Process(target=check)
        process.start()
        process.join()
        assert process.exitcode == 0
