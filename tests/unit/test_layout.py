"""The packaging's promises: links, who may import whom, and what a plain import costs."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("compiler", "dialect_passes", "runtime", "frontends", "tools")
MAY_IMPORT = {
    "dialect_passes": {"dialect_passes"},
    "frontends": {"frontends"},
    "runtime": {"runtime"},
    "compiler": {"compiler", "dialect_passes", "frontends", "runtime"},
    "tools": set(ROOMS),
}


def test_links_are_the_rooms_of_the_wheel() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = configuration["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == {"src/ansorc": "ansorc", **{room: f"ansorc/{room}" for room in ROOMS}}
    assert set(wheel["only-include"]) == {"src/ansorc", *ROOMS}
    links = {path.name: path for path in (ROOT / "src/ansorc").iterdir() if path.is_symlink()}
    assert set(links) == set(ROOMS)
    for room, link in links.items():
        assert link.resolve() == ROOT / room


def test_the_version_is_said_once() -> None:
    import ansorc

    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert configuration["project"]["version"] == ansorc.__version__


def _imported_rooms(source: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        rooms |= {name.split(".")[1] for name in names if name.startswith("ansorc.")} & set(ROOMS)
    return rooms


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_they_may(room: str) -> None:
    for source in (ROOT / room).rglob("*.py"):
        forbidden = _imported_rooms(source) - MAY_IMPORT[room]
        assert not forbidden, f"{source.relative_to(ROOT)} imports {sorted(forbidden)}"


def test_only_one_file_imports_llvmlite() -> None:
    users = {
        source.relative_to(ROOT).as_posix()
        for room in ROOMS
        for source in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llvmlite"))
        or (isinstance(node, ast.Import) and any("llvmlite" in a.name for a in node.names))
    }
    assert users <= {"runtime/llvm_binding.py"}


def test_loading_needs_no_compiler(tmp_path: Path) -> None:
    script = (
        "import sys, ansorc\n"
        f"try: ansorc.load({str(tmp_path / 'missing.so')!r})\n"
        "except Exception as error: print(type(error).__module__)\n"
        "bad = {'mlir', 'llvmlite', 'onnx', 'rich', 'click'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_that_say_nothing_are_not_used() -> None:
    empty = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.name in empty]
    assert found == []
