"""The wheel: the same through the source archive as from the tree, and it works where it is installed."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = (
    "import sys\n"
    "from hatchling.builders.{kind} import {name} as Builder\n"
    "print(next(Builder(sys.argv[1]).build(directory=sys.argv[2])))\n"
)


def _build(kind: str, name: str, tree: Path, output: Path) -> Path:
    output.mkdir()
    script = BUILD.format(kind=kind, name=name)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tree), str(output)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns(".*", "build", "dist", "__pycache__")
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / ".gitignore", tree)
    direct = _build("wheel", "WheelBuilder", tree, folder / "direct")
    source = _build("sdist", "SdistBuilder", tree, folder / "source")
    with tarfile.open(source) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    return direct, _build("wheel", "WheelBuilder", unpacked, folder / "through")


def _contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def test_the_wheel_through_the_source_archive_is_the_same(wheels: tuple[Path, Path]) -> None:
    direct, through = wheels
    assert direct.name == through.name
    assert _contents(direct) == _contents(through)


def test_the_wheel_has_every_room_once(wheels: tuple[Path, Path]) -> None:
    names = [name for name in _contents(wheels[0]) if ".dist-info/" not in name]
    expected = {
        f"ansorc/{path.relative_to(ROOT).as_posix()}"
        for room in ("compiler", "dialect_passes", "runtime", "frontends", "tools")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix in (".py", ".c", ".h", ".npz", ".db", ".onnx")
    }
    assert set(names) == expected | {"ansorc/__init__.py", "ansorc/__main__.py", "ansorc/py.typed"}
    assert len(names) == len(set(names))


def test_the_wheel_compiles_a_model(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(installed)
    script = (
        "import ansorc, numpy as np\n"
        "from onnx import helper, TensorProto\n"
        "io = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in 'xy']\n"
        "graph = helper.make_graph([helper.make_node('Neg', ['x'], ['y'])], 'g', io[:1], io[1:])\n"
        "model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)\n"
        "result = ansorc.compile(model).run({'x': np.arange(4, dtype=np.float32)})['y']\n"
        "assert (result == -np.arange(4)).all()\n"
        "print(ansorc.__file__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed)


def test_pip_installs_the_command(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(installed)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheels[0])], check=True)
    assert {p.name for p in (installed / "bin").iterdir()} == {
        "ansorc",
        "ansorc-opt",
        "ansorc-bench",
        "ansorc-tune",
        "ansorc-records",
    }
    assert {"pool.c", "model.c", "ansorc.h"} <= {p.name for p in (installed / "ansorc/runtime/native").iterdir()}
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for command in ([sys.executable, "-P", "-m", "ansorc"], [sys.executable, str(installed / "bin/ansorc")]):
        done = subprocess.run(
            [*command, "--version"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("ansorc "), done.stderr
