"""Chains of tasks become one where that was measured to be faster inside of the network, and records know of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from onnx_cases import graph_model

from ansorc.compiler import measured_fusion, tuning
from ansorc.compiler.driver import compile_model, read, to_tasks
from ansorc.compiler.fusion import known_fusions
from ansorc.compiler.measured_fusion import fewest_seconds
from ansorc.compiler.measuring.running_network import VariantTimes
from ansorc.compiler.network_variants import Variant
from ansorc.compiler.options import Options
from ansorc.compiler.program import Program
from ansorc.compiler.records import exchange, shipped
from ansorc.compiler.records.database import Fusion, Records
from ansorc.compiler.target import parse_target, target_key
from ansorc.tools import tune

FUSION = Fusion("task_0", "cpu", 2, True, 1e-3, 2e-3, 1.0)
GENERATOR = np.random.default_rng(0)
INPUTS = {n: GENERATOR.standard_normal(shape, np.float32) for n, shape in (("q", (2, 64, 32)), ("v", (2, 64, 32)))}
INPUTS["k"] = GENERATOR.standard_normal((2, 32, 64), np.float32)


@pytest.fixture(scope="module")
def attention() -> onnx.ModelProto:
    """Scores, softmax, and values: one task, by the models."""
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["y"]),
    ]
    return graph_model(nodes, INPUTS, ["y"])


def expected() -> np.ndarray:
    q, k, v = (INPUTS[n].astype(np.float64) for n in "qkv")
    scores = q @ k
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True) @ v


def form(model: onnx.ModelProto, **options: object) -> Program:
    made = Options(**options)  # pyright: ignore[reportArgumentType]
    return to_tasks(read(model, made), made)


Run = Callable[[Sequence[Variant], Options], Sequence[VariantTimes]]


def machine(fused_seconds: float, less: float = 0.0) -> tuple[Run, list[int]]:
    """Return a machine on which a task of a network that fuses nothing takes a second, and any other one so long.

    As a whole, the models' network takes so much `less` than its tasks. Beside it, how many variants ran each time.
    """
    single: set[str] = set()
    counts: list[int] = []

    def run(variants: Sequence[Variant], _: Options) -> Sequence[VariantTimes]:
        single.update(max((v.program.code for v in variants), key=len))
        counts.append(len(variants))
        each = [{n: 1.0 if n in single else fused_seconds for n in v.program.code} for v in variants]
        return [VariantTimes(sum(tasks.values()) - less * (k == 0), tasks) for k, tasks in enumerate(each)]

    return run, counts


def test_the_fewest_seconds_of_a_chain() -> None:
    seconds = {"a": 1.0, "b": 2.0, "c": 4.0, "ab": 2.5, "bc": 3.0, "abc": 9.0}
    chains: Mapping[str, Sequence[str]] = {"ab": ("a", "b"), "bc": ("b", "c")}
    assert fewest_seconds(["a", "b", "c"], seconds, {}) == 7.0
    assert fewest_seconds(["a", "b", "c"], seconds, chains) == 4.0
    assert fewest_seconds(["a", "b", "c"], seconds, {"ab": ("a", "b")}) == 6.5
    assert fewest_seconds(["c", "a"], seconds, chains) == 5.0


@pytest.mark.parametrize(
    ("fused", "less", "fuses"),
    [(9.0, 0.0, False), (0.5, 0.0, True), (9.0, 99.0, True)],
    ids=["apart is faster", "together is faster", "apart is faster, but not the network"],
)
def test_what_is_faster_is_chosen_and_kept(
    attention: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fused: float, less: float, fuses: bool
) -> None:
    together, apart = form(attention), form(attention, fuse_chains="never")
    assert len(together.code) < len(apart.code)
    run, counts = machine(fused, less)
    monkeypatch.setattr(measured_fusion, "run_variants", run)
    found = form(attention, trials=240, records=tmp_path / "r.db", threads=2)
    assert found.code.keys() == (together if fuses else apart).code.keys()
    assert counts[0] == 2  # all chains as the models want it, and none
    with Records(tmp_path / "r.db", create=False) as records:
        fusion = next(f for f in records.fusions() if f.task in together.code)
    assert (fusion.fuse, fusion.together, fusion.apart, fusion.threads) == (fuses, fused, 3.0, 2)
    # Whoever compiles with the records, or searches once more, has the same tasks, without measuring.
    before = len(counts)
    for options in ({}, {"trials": 240}):
        again = form(attention, records=tmp_path / "r.db", threads=2, **options)
        assert again.code.keys() == found.code.keys()
    assert len(counts) == before
    # Other machines, calls with empty caches, and options that say what is to be one, do not.
    for options in ({"threads": 1}, {"cold": True}, {"target": parse_target("x86-64-v3")}):
        assert not known_fusions(Options(records=tmp_path / "r.db", **{"threads": 2, **options}))  # pyright: ignore[reportArgumentType]
    assert form(attention, records=tmp_path / "r.db", threads=2, fuse_chains="never").code.keys() == apart.code.keys()


def test_a_gain_that_is_no_more_than_noise_changes_nothing(
    attention: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, apart = form(attention), form(attention, fuse_chains="never")
    run, counts = machine(1.01 * len(apart.code.keys() - together.code.keys()))
    monkeypatch.setattr(measured_fusion, "run_variants", run)
    assert form(attention, trials=240, records="none").code.keys() == together.code.keys()
    assert counts == [2]


@pytest.mark.parametrize(
    "options",
    [{"fuse_chains": "never"}, {"fuse_chains": "always"}, {"cold": True}, {"seconds": 59.0}, {"trials": 239}, {}],
)
def test_what_is_not_measured(
    attention: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    run, counts = machine(9.0)
    monkeypatch.setattr(measured_fusion, "run_variants", run)
    form(attention, **({"trials": 240, "records": "none"} | options if options else {}))
    assert counts == []


@pytest.mark.alone
def test_a_search_measures_chains(attention: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_fusion, "LEAST_SECONDS", 0.0)
    path = tmp_path / "r.db"
    model = compile_model(attention, Options(trials=8, records=path, threads=2))
    (result,) = model.run(INPUTS).values()
    assert abs(result - expected()).max() <= 2e-6 * abs(expected()).max()
    (whole,) = form(attention).code
    with Records(path, create=False) as records:
        fusion = next(f for f in records.fusions() if f.task == whole)
        tried = {str(task) for (task,) in records.query("SELECT DISTINCT task FROM trials")}
    assert 0 < fusion.together < 1
    assert 0 < fusion.apart < 1
    assert fusion.target == target_key(parse_target("native"))
    assert (whole in tried) == fusion.fuse


def test_what_is_shipped_of_chains_is_used(
    attention: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = form(attention).code
    path, key = tmp_path / "r.db", target_key(parse_target("native"))
    with Records(path) as records:
        records.add_fusions([replace(FUSION, task=whole, target=key, fuse=False), FUSION])
    arguments = ["ship", "bert_tiny_b1", "--records", str(path), "-o", str(tmp_path / "shipped.db")]
    monkeypatch.setattr(tuning, "winners", lambda *_: [])
    assert CliRunner().invoke(tune.command, arguments, catch_exceptions=False).exit_code == 0
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped.db")
    with Records(shipped.SHIPPED, create=False, frozen=True) as records:
        assert [f.task for f in records.fusions()] == [whole]
    assert whole not in form(attention, threads=2).code
    assert whole in form(attention, threads=2, records="none").code


def test_what_is_known_of_chains_is_shared(tmp_path: Path) -> None:
    later = replace(FUSION, fuse=False, created=2.0)
    with Records(tmp_path / "a.db") as first:
        first.add_fusions([FUSION, replace(FUSION, threads=1)])
        lines = tmp_path / "a.jsonl"
        assert exchange.export(exchange.everything(first), lines) == 2
    with Records(tmp_path / "b.db") as second:
        second.add_fusions([later])
        assert exchange.take(second, exchange.lines_of(lines), "a") == 1
        assert second.fusions() == [replace(FUSION, threads=1), later]
    with Records(tmp_path / "c.db") as third:
        third.add_fusions([FUSION])
        assert exchange.take(third, [later], "b") == 1
        assert third.fusions() == [later]
    exchange.recover(tmp_path / "b.db", tmp_path / "d.db")
    with Records(tmp_path / "d.db", create=False) as copied:
        assert copied.fusions() == [replace(FUSION, threads=1), later]


def test_files_that_know_of_no_chains(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with Records(path) as records:
        records.freeze()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE fusions")
    connection.commit()
    connection.close()
    with Records(path, create=False, frozen=True) as frozen:
        assert frozen.fusions() == []
    with Records(path, create=False) as opened:
        opened.add_fusions([FUSION])
        assert opened.fusions() == [FUSION]
