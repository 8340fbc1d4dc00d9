"""A task that ends its worker: a plainer schedule first, then a message that says how to see it again."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mlir import ir
from onnx import helper
from onnx_cases import graph_model

import ansorc
from ansorc.compiler import kernel, tasks
from ansorc.compiler.driver import compile_to_file, read, to_tasks
from ansorc.compiler.errors import TaskFailedError
from ansorc.compiler.options import Options
from ansorc.compiler.search.task import tasks_of
from ansorc.compiler.sketch.kinds import sketched
from ansorc.compiler.target import known_targets, parse_target, target_name
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.workers import Job, run_jobs
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.words import match_ops, script, tile

HERE = Path(__file__).parent
X = np.arange(64, dtype=np.float32).reshape(8, 8) / 64


@pytest.fixture
def product() -> onnx.ModelProto:
    """Two tasks."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Softmax", ["a"], ["y"])]
    return graph_model(nodes, {"x": X}, ["y"], {"w": X})


@pytest.fixture(autouse=True)
def _jobs_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.parametrize("fate", ["abort", "hang"])
def test_a_crash_is_tried_again_with_the_plainest_schedule(
    fate: str, product: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ENTRY", f"jobs_for_workers:{fate}_in_schedules")
    if fate == "hang":
        monkeypatch.setattr(tasks, "LONGEST_TASK", 10.0)  # in which the plainest schedule is done by far
    compile_to_file(product, Options(use_cache=False), tmp_path / "y.so", "so")
    powers = np.exp(X @ X)
    result = ansorc.load(tmp_path / "y.so").run({"x": X})["y"]
    assert abs(result - powers / powers.sum(1, keepdims=True)).max() < 1e-6


def test_the_default_takes_the_place_of_a_schedule_that_nobody_tried(
    product: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(cache_dir=tmp_path / "cache")
    program = to_tasks(read(product, options), options)
    choices = {t.name: t.spaces[0].choose() for t in tasks_of(program, machine_of(options.target)) if t.spaces}
    given = replace(options, candidates={name: c.candidate for name, c in choices.items() if c is not None})
    assert given.candidates
    monkeypatch.setattr(tasks, "ENTRY", "jobs_for_workers:abort_in_candidates")
    compile_to_file(product, replace(given, untried=frozenset(given.candidates)), tmp_path / "y.so", "so")
    powers = np.exp(X @ X)
    result = ansorc.load(tmp_path / "y.so").run({"x": X})["y"]
    assert abs(result - powers / powers.sum(1, keepdims=True)).max() < 1e-6
    with pytest.raises(TaskFailedError, match="SIGABRT"):  # the cache has no default in its place
        compile_to_file(product, given, tmp_path / "z.so", "so")


@pytest.mark.parametrize("target", ["native", "neoverse-n1"])
def test_a_crash_names_the_task_and_a_command(
    target: str, product: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ENTRY", "jobs_for_workers:abort_in_all")
    options = Options(target=parse_target(target), cache_dir=tmp_path / "cache", use_cache=False)
    with pytest.raises(TaskFailedError) as caught:
        compile_to_file(product, options, tmp_path / "y.s", "asm")
    assert not (tmp_path / "y.s").exists()
    first, detail, last = str(caught.value).splitlines()
    task = caught.value.task
    assert first == f"compiling {task} failed: the worker process was ended by SIGABRT"
    assert detail == "  | LLVM ERROR: cannot select"
    start, command = last.split(": ", 1)
    assert start == "to reproduce"
    name, *arguments = shlex.split(command)
    assert name == "ansorc-opt"
    assert f"target={target}" in arguments[0]
    assert task in arguments[1]
    # The real compiler has nothing against this task: the command takes it to LLVM's dialect.
    opt = [sys.executable, "-m", "ansorc.tools.opt", *arguments]
    done = subprocess.run(opt, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "llvm.func" in done.stdout


@pytest.mark.parametrize("residual", [False, True])
def test_a_value_that_is_read_by_channels_and_as_a_whole_crashes_no_schedule(residual: bool) -> None:
    """x @ x, and x @ w + x: the compilation as a whole would hide the crash by its second try."""
    nodes = [helper.make_node("MatMul", ["x", "w" if residual else "x"], ["a"])]
    nodes.append(helper.make_node("Add", ["a", "x"], ["y"]) if residual else helper.make_node("Relu", ["a"], ["y"]))
    options = Options()
    program = to_tasks(read(graph_model(nodes, {"x": X}, ["y"], {"w": X}), options), options)
    jobs = [Job(name, TaskJob(text, "linalg", "llvm", options.target)) for name, text in program.code.items()]
    assert [r.failure for r in run_jobs(tasks.ENTRY, jobs, 1)] == [None] * len(jobs)


def test_every_target_has_a_name_again() -> None:
    for text in known_targets():
        assert parse_target(target_name(parse_target(text))) == parse_target(text)


def test_a_step_that_does_not_apply_leaves_the_kind_out(
    product: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options()
    text = next(t for t in to_tasks(read(product, options), options).code.values() if "matmul" in t)
    job = TaskJob(text, "linalg", "object", options.target)
    assert compile_task(job).failures == ()
    failing = script(match_ops("%f", "func.func"), tile("%f", "%t", ["%l"], [1], "for"))
    monkeypatch.setattr(kernel, "VECTORIZE", failing)
    code = compile_task(job)
    assert code.facts.kind not in sketched()
    assert code.failures
    assert all(failure.partition(": ")[0] in sketched() for failure in code.failures)


def test_a_schedule_that_makes_an_invalid_module_leaves_the_kind_out(
    product: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options()
    text = next(t for t in to_tasks(read(product, options), options).code.values() if "matmul" in t)
    advance = kernel.advance

    def spoiled(module: ir.Module, stage: str, machine: Machine) -> str:
        following = advance(module, stage, machine)
        if following == "llvm-mlir" and kernel.facts_of(module).kind in sketched():
            del next(iter(module.body.operations)).operation.attributes["sym_name"]
        return following

    monkeypatch.setattr(kernel, "advance", spoiled)
    code = compile_task(TaskJob(text, "linalg", "object", options.target))
    assert code.facts.kind not in sketched()
    assert code.failures
