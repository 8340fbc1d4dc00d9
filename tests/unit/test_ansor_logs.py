"""Logs of the original Ansor become data to train cost models on; lines are of its artifact and of TVM's tutorials."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ansorc.compiler.cost_model import training
from ansorc.compiler.errors import UnusableRecordsError
from ansorc.compiler.records import ansor_log
from ansorc.compiler.records.database import Records
from ansorc.compiler.target import parse_target, target_key
from ansorc.compiler.task_job import machine_of
from ansorc.dialect_passes.schedule.border import EACH_CHUNK
from ansorc.tools import ansor_workloads, records, tune
from ansorc.tools.workloads_convolution import Convolution

AVX2 = "llvm -mcpu=core-avx2"
HARDWARE = [[8, 64, 64, 0, 0, 0, 0, 0], "", 2]
SPLIT: list[list[Any]] = [
    ["CHW", 3, "local"], ["SP", 3, 0, 1, [1, 1, 1], 1], ["SP", 3, 4, 14, [1, 7, 2], 1], ["SP", 3, 8, 14, [2, 7, 1], 1],
    ["SP", 3, 12, 256, [1, 1, 32], 1], ["SP", 3, 16, 3, [3], 1], ["SP", 3, 18, 3, [1], 1], ["SP", 3, 20, 256, [8], 1],
    ["RE", 3, [0, 4, 8, 12, 1, 5, 9, 13, 16, 18, 20, 2, 6, 10, 14, 17, 19, 21, 3, 7, 11, 15]],
    ["FSP", 4, 0, 1, 2], ["FSP", 4, 3, 2, 2], ["FSP", 4, 6, 3, 2], ["FSP", 4, 9, 4, 2],
    ["RE", 4, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]], ["CA", 3, 4, 7], ["CA", 1, 3, 8],
    ["FU", 4, [0, 1, 2, 3, 4, 5, 6, 7]], ["AN", 4, 0, 3], ["AN", 3, 21, 2], ["AN", 4, 4, 2],
    ["PR", 3, 0, "auto_unroll_max_step$16"],
]  # fmt: skip
"""A 3x3 convolution of 14x14x256: register tiles of 2x1x32, all of the two outer levels in parallel."""
PRODUCT: list[list[Any]] = [
    ["CHW", 2, "local"], ["SP", 2, 0, 1, [1, 1, 1], 1], ["SP", 2, 4, 128, [1, 4, 1], 1],
    ["SP", 2, 8, 128, [1, 1, 16], 1], ["SP", 2, 12, 128, [8], 1],
    ["RE", 2, [0, 4, 8, 1, 5, 9, 12, 2, 6, 10, 13, 3, 7, 11]], ["FSP", 3, 0, 1, 2], ["FSP", 3, 3, 2, 2],
    ["FSP", 3, 6, 3, 2], ["RE", 3, [0, 3, 6, 1, 4, 7, 2, 5, 8]], ["CA", 2, 3, 5], ["FU", 3, [0, 1, 2]],
    ["AN", 3, 0, 3], ["AN", 2, 13, 2], ["AN", 3, 6, 2],
]  # fmt: skip
RELAY: list[Any] = ["f4380bb1dc62422a69ad4a1a9771f927", 1, 28, 28, 512, 1, 1, 512, 1024, 1, 14, 14, 1024]


def line(
    workload: list[Any], steps: list[list[Any]], seconds: float = 1e-3, *, target: str = AVX2, error: int = 0,
    hardware: list[Any] | None = None, version: str = "v0.2",
) -> str:  # fmt: skip
    key = json.dumps(workload)
    inputs = [[key, target, *(hardware or [])], [[], steps]]
    return json.dumps({"i": inputs, "r": [[seconds], error, 1.5, 1593314452], "v": version})


CONVOLUTION = ["conv2d_nhwc", 1, 14, 14, 256, 256, 3, 1, 1]
MATMUL = ["batch_matmul_nkkm", 1, 128, 128, 128]


def written(folder: Path, *lines: str) -> Path:
    path = folder / "log.json"
    path.write_text("# schedules of a tutorial\n" + "".join(f"{text}\n" for text in lines))
    return path


def test_levels_become_a_register_tile_and_a_chunk(tmp_path: Path) -> None:
    found = ansor_workloads.import_log(written(tmp_path, line(CONVOLUTION, SPLIT)), None, 20)
    (record,), (task,) = found.records, found.tasks.values()
    chosen = record.candidate.values
    assert (task.shape, record.threads, record.seconds) == ("1x14x14x256 / 3x3x256", 20, 1e-3)
    assert [chosen[name] for name in ("lanes", "vectors", "tile_1", "tile_2", "border")] == [8, 4, 2, 1, EACH_CHUNK]
    # The two outer levels are parallel: 7*2 of 14 rows, 7 of 14 columns and 32 of 256 channels are left.
    assert [chosen[name] for name in ("chunk_1", "chunk_2", "chunk_blocks")] == [14, 7, 1]
    assert task.point(record.candidate) is not None


def test_fewer_parallel_loops_leave_larger_chunks(tmp_path: Path) -> None:
    steps = [["FU", 4, [0, 1, 2]] if s[0] == "FU" else s for s in SPLIT]
    (record,) = ansor_workloads.import_log(written(tmp_path, line(CONVOLUTION, steps)), None, 20).records
    assert [record.candidate.values[n] for n in ("chunk_1", "chunk_2", "chunk_blocks")] == [14, 14, 8]


def test_a_convolution_of_relay_is_known_by_its_shapes() -> None:
    read = ansor_log.from_line(line(RELAY, [], hardware=HARDWARE, version="v0.5"))
    assert read.threads == 8
    expected = Convolution("C", (28, 28), 512, 1024, (1, 1), (2, 2), (0, 0))
    assert ansor_workloads.workload_of(read) == (1, expected)
    first = ansor_log.from_line(line(["hash", 1, 224, 224, 3, 7, 7, 3, 64, 1, 1, 1, 64, 1, 112, 112, 64], []))
    assert ansor_workloads.workload_of(first) == (
        1, Convolution("C", (224, 224), 3, 64, (7, 7), (2, 2), (3, 3), bias=True),
    )  # fmt: skip
    pool = ansor_log.from_line(line(["hash", 1, 7, 7, 2048, 1, 1, 1, 2048], []))
    assert ansor_workloads.workload_of(pool) is None


@pytest.mark.parametrize("workload", [CONVOLUTION, MATMUL])
def test_groups_and_dilation_are_read(workload: list[Any]) -> None:
    grouped = ansor_log.from_line(line(["conv2d_nhwc", 1, 56, 56, 64, 64, 1, 1, 0, 2, 4], []))
    found = ansor_workloads.workload_of(grouped)
    assert found is not None
    assert isinstance(found[1], Convolution)
    assert (found[1].dilation, found[1].groups) == (2, 4)
    assert ansor_workloads.workload_of(ansor_log.from_line(line([*workload, "no size"], []))) is None


def test_imported_programs_train_a_cost_model_and_choose_no_schedule(tmp_path: Path) -> None:
    lines = [line(CONVOLUTION, SPLIT, 1e-3), line(CONVOLUTION, SPLIT[:-5], 2e-3), line(MATMUL, PRODUCT, 1e-5),
             line(["norm_bmn", 1, 256, 256], [], 1e-5), line(MATMUL, PRODUCT, error=2), line(MATMUL, []),
             line(MATMUL, PRODUCT, target="cuda -keys=cuda,gpu")]  # fmt: skip
    file = tmp_path / "r.db"
    arguments = ["import", str(written(tmp_path, *lines)), str(file), "--threads", "2"]
    result = CliRunner().invoke(records.command, arguments, catch_exceptions=False)
    assert "3 new programs of 2 tasks" in result.output
    for reason in ("1 of norm_bmn", "1 failed", "1 of batch_matmul_nkkm, with tiles", "1 for cuda"):
        assert f"left out: {reason}" in result.output
    target = parse_target("haswell")
    ours, imported = target_key(target), target_key(target, imported=True)
    machines = {key: machine_of(target) for key in (ours, imported)}
    programs = training.programs_of([file], machines, {imported})
    assert sorted(programs.seconds) == [1e-5, 1e-3, 2e-3]
    with Records(file) as stored:
        assert all(stored.best(task, ours) is None for task in {r.task for r in stored.every()})
    trained = tmp_path / "model.npz"
    again = ["train", str(file), "--target", "haswell", "-o", str(trained)]
    assert "3 programs of 2 tasks" in CliRunner().invoke(tune.command, again, catch_exceptions=False).output
    assert trained.exists()
    tested = CliRunner().invoke(tune.command, [*again, "--test", str(file)], catch_exceptions=False).output
    assert "r.db: 0 programs" in tested  # tasks of so few say nothing of order
    with Records(tmp_path / "none.db"):
        pass
    with pytest.raises(UnusableRecordsError, match=r"none\.db.*nothing in it was measured for haswell"):
        CliRunner().invoke(tune.command, [*again, "--test", str(tmp_path / "none.db")], catch_exceptions=False)


def test_times_of_another_compiler_are_scaled_to_ours() -> None:
    seconds, cycles = np.array([1.0, 2.0, 30.0, 50.0, 90.0]), np.array([1.0, 1.0, 1.0, 1.0, 3.0])
    theirs = np.array([False, False, True, True, True])
    scaled = training._scaled(seconds, cycles, theirs)  # pyright: ignore[reportPrivateUsage]
    assert scaled.tolist() == pytest.approx([1.0, 2.0, 1.5, 2.5, 4.5])
    alone = training._scaled(seconds, cycles, np.ones(5, bool))  # pyright: ignore[reportPrivateUsage]
    assert alone.tolist() == seconds.tolist()


def test_what_is_wrong_with_a_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableRecordsError, match=r"line 3: not a line of Ansor's logs"):
        ansor_workloads.import_log(written(tmp_path, line(MATMUL, PRODUCT), '{"i": []}'), None, 2)
    unsplit = [["SP", 2, 0, 64, [1, 4, None], 1]]
    for broken in (line(MATMUL, [["SP", 1, 2]]), line(MATMUL, unsplit), line(MATMUL, PRODUCT, target="")):
        with pytest.raises(UnusableRecordsError, match=r"line 2: not a line of Ansor's logs"):
            ansor_workloads.import_log(written(tmp_path, broken), None, 2)
    with pytest.raises(UnusableRecordsError, match=r"line 2: unknown target 'znver9'(.|\n)*--target"):
        ansor_workloads.import_log(written(tmp_path, line(MATMUL, PRODUCT, target="llvm -mcpu=znver9")), None, 2)
    nothing = ansor_workloads.import_log(
        written(tmp_path, line(["conv2d_nhwc", 1, 0, 14, 8, 8, 3, 1, 1], SPLIT)), None, 2
    )
    assert (nothing.records, list(nothing.left_out)) == ([], ["of conv2d_nhwc, which is no workload that is known"])
    with pytest.raises(UnusableRecordsError, match=r"line 2 does not say its number of threads\n.*--threads"):
        ansor_workloads.import_log(written(tmp_path, line(MATMUL, PRODUCT)), None, None)
