"""Invariants of the memory plan."""

import random

import pytest
from mlir import ir

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.options import Options
from ansorc.dialect_passes.graph.plan_memory import Base, Buffer, allocate, lower_bound, plan
from ansorc.dialect_passes.ir_context import context
from ansorc.tools.networks.seeded import load_network, network_path


@pytest.mark.parametrize("seed", range(30))
def test_buffers_that_live_together_do_not_overlap(seed: int) -> None:
    pick = random.Random(seed)
    buffers: list[Buffer] = []
    for _ in range(60):
        first = pick.randrange(40)
        buffers.append(Buffer(64 * pick.randint(1, 50), first, first + pick.randint(0, 8)))
    placed = allocate(buffers)
    for k, a in enumerate(placed):
        assert a.offset % 64 == 0
        assert (a.size, a.first, a.last) == (buffers[k].size, buffers[k].first, buffers[k].last)
        for b in placed[k + 1 :]:
            together = a.first <= b.last and b.first <= a.last
            assert not together or a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
            apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
            assert apart or abs((a.offset + a.size / 2) - (b.offset + b.size / 2)) <= 64, "halves lie where halves did"
    assert lower_bound(buffers) <= max(b.offset + b.size for b in placed) < sum(b.size for b in buffers) / 2


@pytest.mark.parametrize("name", ["resnet50_b1", "mobilenet_v2_b1", "dcgan_b1", "resnet3d18_b1", "bert_tiny_b1"])
def test_networks_stay_near_the_lower_bound(name: str) -> None:
    options = Options()
    program = to_tasks(read(load_network(network_path(name)), options), options)
    with context(), ir.Location.unknown():
        made = plan(ir.Module.parse(program.main))
    assert made.arena_bytes <= 1.36 * made.lower_bound_bytes
    outputs = [c.result.index for c in made.calls if c.result.base is Base.OUTPUT]
    assert sorted(outputs) == list(range(len(program.outputs)))
    assert 8 <= len(program.code) <= 45, "equal tasks are shared"
