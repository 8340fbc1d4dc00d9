"""Kinds of schedules that users add."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import ansorc
from ansorc.compiler.records.database import Records
from ansorc.tools.workloads import Dense

EXAMPLES = Path(__file__).parents[2] / "examples" / "rules"


def _run(rules: str, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSORC_RULES": rules, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, check=False, cwd=folder
    )


def test_the_example_is_searched_and_measured(tmp_path: Path) -> None:
    layer = Dense("D", 25, 64, 64, activation="relu").case(1)
    onnx.save(layer.model, tmp_path / "layer.onnx")
    records = tmp_path / "r.db"
    done = _run(
        "deep_unroll", EXAMPLES, "ansorc.tools.tune", "network", str(tmp_path / "layer.onnx"), "--trials", "24",
        "--threads", "1", "--policy", "random", "--records", str(records), "-o", str(tmp_path / "layer.so"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Records(records, create=False) as stored:
        assert stored.query("SELECT DISTINCT kind, fate FROM trials ORDER BY 1") == [
            ("deep-unroll", "measured"),
            ("register-tile", "measured"),
        ]
    (result,) = ansorc.load(tmp_path / "layer.so").run(layer.inputs).values()
    np.testing.assert_allclose(result, layer.reference(), rtol=1e-4, atol=1e-4)


def test_the_example_leaves_other_tasks_alone(tmp_path: Path) -> None:
    onnx.save(Dense("D", 8, 4, 64).case(1).model, tmp_path / "small.onnx")  # reduces 4
    done = _run(
        "deep_unroll", EXAMPLES, "ansorc.tools.tune", "network", str(tmp_path / "small.onnx"), "--trials", "4",
        "--records", str(tmp_path / "r.db"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Records(tmp_path / "r.db", create=False) as stored:
        assert stored.query("SELECT DISTINCT kind FROM trials") == [("register-tile",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("x = 1", "it has no RULES"),
        ("RULES = 3", "its RULES is 3"),
        ("import os\nos.nothing", "importing it: AttributeError"),
        ("RULES = ('fast',)", "'fast' in its RULES is no Kind"),
        ("from ansorc.compiler.sketch.transpose import Transpose\nRULES = (Transpose(),)", "'transpose' already"),
    ],
)
def test_modules_that_are_no_rules(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    onnx.save(Dense("D", 8, 4, 64).case(1).model, tmp_path / "small.onnx")
    for name in ("mine", "missing.module") if "nothing" in text else ("mine",):
        done = _run(name, tmp_path, "ansorc.tools.ansorc", "small.onnx", "-o", "small.so")
        assert done.returncode == 1
        assert f"module {name} of ANSORC_RULES: " in done.stderr
        assert "Traceback" not in done.stderr
        assert name != "mine" or said in done.stderr
        assert not (tmp_path / "small.so").exists()
