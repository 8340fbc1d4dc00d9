"""Compile ONNX models into fast, self-contained native libraries.

    model = ansorc.compile("model.onnx")
    model.save("model.so")
    outputs = ansorc.load("model.so").run({"input": array})

`load` needs numpy alone: what only the compiler uses is imported inside `compile`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from ansorc.runtime.module import CompiledModel

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["CompiledModel", "__version__", "compile", "load"]

__version__ = "0.1.0"


def compile(
    model: str | PathLike[str] | ModelProto,
    *,
    target: str = "native",
    threads: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    trials: int = 0,
    seconds: float | None = None,
    records: str | PathLike[str] | None = None,
    cost_model: str | PathLike[str] | None = None,
    seed: int = 0,
    exact: bool = False,
    cold: bool = False,
    cluster: str | None = None,
    fuse_chains: str = "auto",
) -> CompiledModel:
    """Compile an ONNX model for a target and load it.

    `target` is `native`, the name of a CPU or a triple. `threads` is the default number of threads
    (None: the cores that the running process may use). `shapes` gives the inputs with symbolic dimensions their sizes.
    `trials` (candidates of all tasks together) or `seconds` ask for a search before compiling; `records` is a file of
    trials, which a search reads and adds to, and whose best schedules are used without one ("none": a search keeps no
    trials, and schedules that are shipped are not used).
    `cost_model` is a file that `ansorc-tune train` wrote, or "shipped": a search starts from it, and it
    chooses schedules that nobody tuned (None: a search starts from the one that is shipped, and closed-form models
    choose; "none": a search starts from nothing, too). `exact` leaves out algorithms
    that round more than the model's operators do. `cold` searches schedules for calls that find their data in memory,
    not in a cache. `cluster` is a Dask scheduler whose workers search (tcp://HOST:PORT, or local:N for N workers that
    are started here). `fuse_chains` says whether attention and other chains of products become one task: `auto` (where
    models promise a gain, or a search measured one), `never` or `always`.
    """
    from ansorc.compiler.driver import compile_model
    from ansorc.compiler.options import Options
    from ansorc.compiler.target import parse_target

    options = Options(
        target=parse_target(target),
        threads=threads,
        shapes={name: tuple(shape) for name, shape in (shapes or {}).items()},
        trials=trials,
        seconds=seconds,
        records=records,
        cost_model=cost_model,
        seed=seed,
        exact=exact,
        cold=cold,
        cluster=cluster,
        fuse_chains=fuse_chains,
    )
    return compile_model(model, options)


def load(path: str | PathLike[str]) -> CompiledModel:
    """Load a library that `ansorc` made."""
    return CompiledModel(path)
