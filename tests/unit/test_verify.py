"""Schedules that were edited by hand are compared with their tasks before they are used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ansorc.compiler import verify
from ansorc.compiler.errors import UnusableScriptError
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task
from ansorc.compiler.verify import Replay, check_script, runs_here

TARGET = parse_target("x86-64-v3")
TEXT = """
func.func @task(%a: tensor<28x64xf32>, %b: tensor<64x32xf32> {ansorc.constant}) -> tensor<28x32xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<28x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<28x32xf32>) -> tensor<28x32xf32>
  %m = linalg.matmul ins(%a, %b : tensor<28x64xf32>, tensor<64x32xf32>) outs(%f : tensor<28x32xf32>) -> tensor<28x32xf32>
  return %m : tensor<28x32xf32>
}
"""  # noqa: E501
needs_avx2 = pytest.mark.skipif(not runs_here(TARGET), reason="this machine has no AVX2")


@pytest.fixture(scope="module")
def written() -> Replay:
    """The script that the compiler itself writes for a task."""
    return Replay(TEXT, compile_task(TaskJob(TEXT, "linalg", "scheduled", TARGET)).transform, TARGET)


@needs_avx2
def test_what_the_compiler_wrote_passes_and_so_does_another_tile(written: Replay) -> None:
    check_script(written)
    edited = re.sub(r"tile_sizes \[0, 6\]", "tile_sizes [0, 5]", written.script)
    assert edited != written.script
    check_script(replace(written, script=edited))


@needs_avx2
def test_what_computes_something_else_is_refused_with_the_size_of_the_error(written: Replay) -> None:
    with pytest.raises(UnusableScriptError, match=r"something else .* off by \d\.\de[-+]\d+"):
        check_script(written, tolerance=-1.0)  # as if nothing were equal


@needs_avx2
def test_a_script_that_ends_the_process_ends_only_the_one_that_tries_it(
    written: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(verify, "ENTRY", "jobs_for_workers:abort_in_all")
    with pytest.raises(UnusableScriptError, match="SIGABRT"):
        check_script(written)


@needs_avx2
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ansorc.anchor}", "ansorc.anker}", "could not find next producer"),
        ("ansorc.vectors = 2", "ansorc.vectors = 5", "5 vectors of 8 lanes do not divide"),
        ("tile_using_for ", "tile_using_four ", "tile_using_four"),
    ],
)
def test_a_step_that_does_not_apply_is_named(written: Replay, old: str, new: str, says: str) -> None:
    edited = written.script.replace(old, new)
    assert edited != written.script
    with pytest.raises(UnusableScriptError, match=says):
        check_script(replace(written, script=edited))


def test_a_script_for_another_machine_is_not_run() -> None:
    arm = parse_target("aarch64-linux-gnu")
    assert not runs_here(arm)
    check_script(Replay(TEXT, "no script at all", arm))
