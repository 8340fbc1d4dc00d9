"""Chains of contractions and row reductions, against the plain loops of the same task."""

import random

import numpy as np
import pytest
from mlir import ir

from ansorc.compiler import kernel
from ansorc.compiler.measure import runnable
from ansorc.compiler.sketch.candidate import from_json
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.dialect_passes.ir_context import context

TARGET = parse_target("native")
MACHINE = machine_of(TARGET)

TEXT = """
#all = affine_map<(b, h, m, n) -> (b, h, m, n)>
#row = affine_map<(b, h, m, n) -> (b, h, m)>
module {{
  func.func @task(%q: {q}, %k: {kv}, %mask: tensor<1x{N}xf32>, %v: {kv}) -> {result} attributes {{ansorc.task}} {{
    %z = arith.constant 0.0 : f32
    %low = arith.constant 0xFF800000 : f32
    %e0 = tensor.empty() : {s}
    %e1 = tensor.empty() : tensor<1x{H}x{M}xf32>
    %f0 = linalg.fill ins(%z : f32) outs(%e0 : {s}) -> {s}
    %s = linalg.generic {{indexing_maps = [affine_map<(b,h,m,n,k)->(b,m,h,k)>, affine_map<(b,h,m,n,k)->(b,n,h,k)>,
      affine_map<(b,h,m,n,k)->(b,h,m,n)>], {summed}}}
      ins(%q, %k : {q}, {kv}) outs(%f0 : {s}) {{
    ^bb0(%a: f32, %b: f32, %o: f32):
      %p = arith.mulf %a, %b : f32
      %t = arith.addf %o, %p : f32
      linalg.yield %t : f32
    }} -> {s}
    %sm = linalg.generic {{indexing_maps = [#all, affine_map<(b, h, m, n) -> (b, n)>, #all],
      {mapped}}}
      ins(%s, %mask : {s}, tensor<1x{N}xf32>) outs(%e0 : {s}) {{
    ^bb0(%a: f32, %b: f32, %o: f32):
      %c = arith.constant 0.125 : f32
      %p = arith.mulf %a, %c : f32
      %t = arith.addf %p, %b : f32
      linalg.yield %t : f32
    }} -> {s}
    %f1 = linalg.fill ins(%low : f32) outs(%e1 : tensor<1x{H}x{M}xf32>) -> tensor<1x{H}x{M}xf32>
    %mx = linalg.generic {{indexing_maps = [#all, #row], {reduced}}}
      ins(%sm : {s}) outs(%f1 : tensor<1x{H}x{M}xf32>) {{
    ^bb0(%a: f32, %o: f32):
      %t = arith.maximumf %o, %a : f32
      linalg.yield %t : f32
    }} -> tensor<1x{H}x{M}xf32>
    %ex = linalg.generic {{indexing_maps = [#all, #row, #all], {mapped}}}
      ins(%sm, %mx : {s}, tensor<1x{H}x{M}xf32>) outs(%e0 : {s}) {{
    ^bb0(%a: f32, %b: f32, %o: f32):
      %d = arith.subf %a, %b : f32
      %t = math.exp %d : f32
      linalg.yield %t : f32
    }} -> {s}
    %f2 = linalg.fill ins(%z : f32) outs(%e1 : tensor<1x{H}x{M}xf32>) -> tensor<1x{H}x{M}xf32>
    %su = linalg.generic {{indexing_maps = [#all, #row], {reduced}}}
      ins(%ex : {s}) outs(%f2 : tensor<1x{H}x{M}xf32>) {{
    ^bb0(%a: f32, %o: f32):
      %t = arith.addf %o, %a : f32
      linalg.yield %t : f32
    }} -> tensor<1x{H}x{M}xf32>
    %di = linalg.generic {{indexing_maps = [#all, #row, #all], {mapped}}}
      ins(%ex, %su : {s}, tensor<1x{H}x{M}xf32>) outs(%e0 : {s}) {{
    ^bb0(%a: f32, %b: f32, %o: f32):
      %t = arith.divf %a, %b : f32
      linalg.yield %t : f32
    }} -> {s}
    {tail}
  }}
}}
"""

VALUES = """
    %e2 = tensor.empty() : tensor<1x{H}x{M}x{D}xf32>
    %f3 = linalg.fill ins(%z : f32) outs(%e2 : tensor<1x{H}x{M}x{D}xf32>) -> tensor<1x{H}x{M}x{D}xf32>
    %o = linalg.generic {{indexing_maps = [affine_map<(b,h,m,d,n)->(b,h,m,n)>, affine_map<(b,h,m,d,n)->(b,n,h,d)>,
      affine_map<(b,h,m,d,n)->(b,h,m,d)>], {summed}}}
      ins(%di, %v : {s}, {kv}) outs(%f3 : tensor<1x{H}x{M}x{D}xf32>) {{
    ^bb0(%a: f32, %b: f32, %oo: f32):
      %p = arith.mulf %a, %b : f32
      %t = arith.addf %oo, %p : f32
      linalg.yield %t : f32
    }} -> tensor<1x{H}x{M}x{D}xf32>
    %e3 = tensor.empty() : {q}
    %tr = linalg.transpose ins(%o : tensor<1x{H}x{M}x{D}xf32>) outs(%e3 : {q}) permutation = [0, 2, 1, 3]
    return %tr : {q}
"""


def iterators(parallel: int, reductions: int) -> str:
    return f"iterator_types = {['parallel'] * parallel + ['reduction'] * reductions}".replace("'", '"')


def attention(queries: int, keys: int, heads: int, size: int, *, values: bool = True) -> str:
    """Scaled and masked softmax of queries times keys; and that times values."""
    sizes = {
        "M": queries, "N": keys, "H": heads, "D": size,
        "q": f"tensor<1x{queries}x{heads}x{size}xf32>", "kv": f"tensor<1x{keys}x{heads}x{size}xf32>",
        "reduced": iterators(3, 1), "mapped": iterators(4, 0), "summed": iterators(4, 1),
        "s": f"tensor<1x{heads}x{queries}x{keys}xf32>",
    }  # fmt: skip
    tail = VALUES.format(**sizes) if values else "return %di : {s}".format(**sizes)
    return TEXT.format(**sizes, tail=tail, result=sizes["q" if values else "s"])


SHAPES = [(128, 128, 2, 64), (7, 32, 3, 80), (1, 48, 2, 32), (9, 128, 1, 16), (37, 16, 2, 64)]


def softmax(q: np.ndarray, k: np.ndarray, mask: np.ndarray) -> np.ndarray:
    scores = np.einsum("bmhk,bnhk->bhmn", q.astype(np.float64), k) * 0.125 + mask[:, None, None, :]
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_one_task_and_right(shape: tuple[int, int, int, int], values: bool) -> None:
    text = attention(*shape, values=values)
    code = compile_task(TaskJob(text, "linalg", "object", TARGET))
    assert (code.facts.kind, code.failures) == ("chain", ())
    task = runnable(text, code)
    q, k, mask, v = task.random_arguments(np.random.default_rng(0))
    mask[:, 3:9] = -np.inf
    expected = softmax(q, k, mask)
    if values:
        expected = np.einsum("bhmn,bnhd->bmhd", expected, v)
    for threads in (1, 2):
        result = task.run([q, k, mask, v], threads)
        assert abs(result - expected).max() <= 2e-6 * max(1.0, abs(expected).max())


def test_rows_without_any_key_are_nan_and_no_others() -> None:
    text = attention(7, 32, 3, 16)
    task = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET)))
    q, k, mask, v = task.random_arguments(np.random.default_rng(0))
    mask[:] = -np.inf
    assert np.isnan(task.run([q, k, mask, v])).all()


@pytest.mark.parametrize("shape", [(7, 32, 3, 32), (12, 64, 2, 32)])
def test_random_candidates_compute_their_task(shape: tuple[int, int, int, int]) -> None:
    text, generator = attention(*shape), random.Random(0)
    (space,) = spaces_of_task(text, MACHINE)
    plain = runnable(text, compile_task(TaskJob(text, "linalg", "object", TARGET, unscheduled=True)))
    arguments = plain.random_arguments(np.random.default_rng(1))
    expected = plain.run(arguments)
    default = space.choose()
    assert default is not None
    assert space.illegal(default.candidate) is None
    for candidate in sorted(c for c in {space.sample(generator) for _ in range(6)} if c is not None):
        assert space.illegal(candidate) is None
        assert from_json(candidate.to_json()) == candidate
        job = TaskJob(text, "linalg", "object", TARGET, candidate=candidate)
        result = runnable(text, compile_task(job)).run(arguments, threads=2)
        assert abs(result - expected).max() <= 2e-6 * abs(expected).max(), candidate.to_json()


def test_a_script_replayed_is_the_candidate() -> None:
    text = attention(12, 64, 2, 32)
    (space,) = spaces_of_task(text, MACHINE)
    candidate = space.sample(random.Random(4))
    assert candidate is not None
    scheduled: list[str] = []
    for replayed in ("", space.kind.emit(candidate)):
        with context(), ir.Location.unknown():
            module = ir.Module.parse(text)
            given = None if replayed else candidate
            kernel.to_scheduled(module, kernel.plan(module, MACHINE, candidate=given, replayed=replayed))
            scheduled.append(str(module))
    assert scheduled[0] == scheduled[1]
