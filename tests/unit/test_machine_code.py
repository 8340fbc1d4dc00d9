"""What an assembly text tells: loops, vectors, spills; and that no kernel of a network computes in a scalar loop."""

from pathlib import Path

import onnx
import pytest

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.options import Options
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.runtime.machine_code import FunctionCode, inspect
from ansorc.tools.networks.seeded import load_network, network_path

X86 = """
	.type	kernel,@function
kernel:
	vmovups	%zmm0, 64(%rsp)
.LBB0_1:
	vbroadcastss	(%rdi), %zmm1
.LBB0_2:
	vfmadd231ps	(%rsi), %zmm1, %zmm2
	vmovups	128(%rsp), %zmm3
	vaddps	%zmm3, %zmm2, %zmm2
	jne	.LBB0_2
	vmulps	%zmm2, %zmm2, %zmm2
	jne	.LBB0_1
	retq
	.type	rest,@function
rest:
.LBB1_1:
	vaddss	(%rdi), %xmm0, %xmm0
	decq	%rax
	jne	.LBB1_1
	retq
"""
ARM = """
	.type	kernel,@function
kernel:
	str	q8, [sp, #16]
.LBB0_1:
	fmla	v0.4s, v1.4s, v2.s[0]
	fadd	s3, s3, s4
	b.ne	.LBB0_1
	ret
"""


def test_loops_and_spills_of_x86() -> None:
    assert inspect(X86) == (
        FunctionCode("kernel", 2, 0, 1, 1, 2, 9),
        FunctionCode("rest", 0, 1, 0, 0, 0, 4),
    )
    assert [f.is_scalar for f in inspect(X86)] == [False, True]


def test_loops_and_spills_of_aarch64() -> None:
    assert inspect(ARM) == (FunctionCode("kernel", 1, 1, 0, 0, 1, 5),)


@pytest.mark.parametrize("name", ["dcgan_b1", "mobilenet_v2_b1", "bert_tiny_b1"])
def test_no_kernel_computes_in_scalar_loops(name: str, tmp_path: Path) -> None:
    path, options = tmp_path / "network.onnx", Options()
    onnx.save(load_network(network_path(name)), path)
    tasks = to_tasks(read(path, options), options).code
    found = [inspect(compile_task(TaskJob(t, "linalg", "asm", options.target)).code.decode()) for t in tasks.values()]
    assert [f.name for functions in found for f in functions if f.is_scalar] == []
    assert any(f.vector_in_loops for functions in found for f in functions)
