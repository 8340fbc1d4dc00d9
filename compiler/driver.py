"""The whole compiler on one screen: a model in, a library (or any stage on the way) out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ansorc.compiler import library, program
from ansorc.compiler.assemble import Assembly, assemble, write_packed
from ansorc.compiler.errors import DifferentResultError, InvalidStageForTuningError, UnknownStageError
from ansorc.compiler.fusion import form_tasks, fuses
from ansorc.compiler.kernel import STAGES
from ansorc.compiler.options import NO_RECORDS, Options
from ansorc.compiler.program import Program
from ansorc.compiler.summary import Summary
from ansorc.compiler.task_code import TaskCode
from ansorc.compiler.tasks import compile_tasks

if TYPE_CHECKING:
    from onnx import ModelProto

    from ansorc.runtime.module import CompiledModel

MODEL_TOLERANCE = 1e-3
"""Of the largest number of an output: between default and other schedules, over all layers of a model."""
LATER = {
    "imported": ("linalg", "affine", "scheduled", "bufferized", "llvm-mlir"),
    "linalg": ("linalg", "affine", "scheduled", "bufferized", "llvm-mlir"),
    "affine": ("affine", "llvm-mlir"),
    "scheduled": ("scheduled", "bufferized", "llvm-mlir"),
    "bufferized": ("bufferized", "llvm-mlir"),
    "llvm-mlir": ("llvm-mlir",),
}
"""The stages that a program of some stage can still come to; machine code follows from each."""


def compile_model(model: str | PathLike[str] | ModelProto, options: Options) -> CompiledModel:
    """Compile and load; the library lives in a temporary folder as long as the result."""
    from ansorc.runtime.module import CompiledModel

    folder = tempfile.TemporaryDirectory(prefix="ansorc-")
    path = Path(folder.name) / "model.so"
    compile_to_file(model, options, path, "so")
    return CompiledModel(path, keep_alive=folder)


def compile_to_file(model: str | PathLike[str] | ModelProto, options: Options, output: Path, emit: str) -> Summary:
    """Compile `model` and write the stage `emit` to `output`.

    Raises ModelError, AnsorcError or RuntimeFailure for everything that a user can mend.
    """
    start = time.perf_counter()
    if library.is_low_level(model):
        return library.from_low_level(Path(str(model)), options, output, emit, start)
    source = to_tasks(read(model, options), options)
    options = with_schedules(source, options, start)
    known = (*LATER[source.stage], *library.STAGES)
    if emit not in known:
        raise UnknownStageError(emit, known)
    if options.dump_dir is not None:
        dump(source, options, options.dump_dir)
    if emit == source.stage:
        program.write(source, output)
        return Summary.of(output, source, 0, 0, start)
    if emit in STAGES:
        compiled = compile_tasks(source, emit, options)
        later = {name: task.code.decode() for name, task in compiled.tasks.items()}
        program.write(replace(source, stage=emit, code=later), output)
        return Summary.of(output, source, compiled.cached, 0, start)
    compiled = compile_tasks(source, "object" if emit == "so" else "llvm", options)
    if emit == "so" and options.candidates.keys() - options.shipped and options.target.native:
        check_schedules(source, compiled.tasks, options)
    options.report("linking")
    assembly = link_tasks(source, compiled.tasks, options, output, emit)
    return Summary.of(output, source, compiled.cached, assembly.calls, start, str(assembly.memory))


def link_tasks(
    source: Program, tasks: Mapping[str, TaskCode], options: Options, output: Path, emit: str = "so"
) -> Assembly:
    """Plan the memory of a program of compiled tasks, and write it as a library or a stage before one."""
    assembly = assemble(source, {name: task.facts for name, task in tasks.items()}, options.threads)
    code = [task.code for task in tasks.values()]
    with library.packed(lambda path: write_packed(assembly, source.weights, path)) as weights:
        library.write(emit, code, assembly.host, weights, program.signature_json(source), options, output)
    return assembly


def with_schedules(source: Program, options: Options, began: float | None = None) -> Options:
    """Search schedules for the tasks, or look them up, if the options say so; their seconds count from `began`."""
    wanted = options.searches or options.records is not None
    if not options.searches and (options.records == NO_RECORDS or (not wanted and source.stage != "linalg")):
        return options
    if source.stage != "linalg":
        raise InvalidStageForTuningError(source.stage)
    from ansorc.compiler import recorded

    if options.searches:
        from ansorc.compiler.tuning import search

        return recorded.with_schedules(options, search([source], options, began=began).best)
    found, coverage = recorded.recorded(source, options)
    for line in recorded.coverage_lines(coverage) if wanted else ():
        options.report(line)
    return recorded.with_schedules(options, found, coverage)


def check_schedules(source: Program, tasks: Mapping[str, TaskCode], options: Options) -> None:
    """Run a program of given schedules beside one of default schedules; raises DifferentResultError.

    Its tasks were compared one by one when they were measured; this compares all of them together.
    """
    from ansorc.compiler.measuring.whole_model import difference
    from ansorc.runtime.module import CompiledModel

    options.report("comparing with default schedules")
    plain = replace(options, candidates={})
    default = compile_tasks(source, "object", plain).tasks
    with tempfile.TemporaryDirectory(prefix="ansorc-") as folder:
        models: list[CompiledModel] = []
        for name, made in (("given", tasks), ("default", default)):
            path = Path(folder) / f"{name}.so"
            link_tasks(source, made, options, path)
            models.append(CompiledModel(path))
        name, error = difference(*models, seed=options.seed)
    if not error <= MODEL_TOLERANCE:
        raise DifferentResultError(source.name, name, error, MODEL_TOLERANCE)


def read(model: str | PathLike[str] | ModelProto, options: Options) -> Program:
    """Read an ONNX model, or the text of a stage."""
    if isinstance(model, str | PathLike) and Path(model).suffix == ".mlir":
        return program.read(Path(model))
    from ansorc.frontends.onnx.reader import load_model

    options.report("importing")
    return program.of_model(load_model(model, options.shapes))


def to_tasks(source: Program, options: Options) -> Program:
    """Run the graph passes on an imported model; later stages are left as they are.

    Where schedules are searched, chains of tasks are measured as one and as several.
    """
    if source.stage != "imported":
        return source
    options.report("forming tasks")
    if options.searches:
        from ansorc.compiler.measured_fusion import form_fastest_tasks

        return form_fastest_tasks(source, options)
    return form_tasks(source, fuses(options))


def dump(source: Program, options: Options, folder: Path) -> None:
    """Write every stage of MLIR, and each task alone with its transform script, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if source.stage == "linalg":
        for name, text in source.code.items():
            (folder / f"{name}.mlir").write_text(text)
    for stage in LATER[source.stage]:
        path = folder / f"{source.name}.{stage}.mlir"
        if stage == source.stage:
            program.write(source, path)
            continue
        tasks = compile_tasks(source, stage, options).tasks
        program.write(replace(source, stage=stage, code={n: t.code.decode() for n, t in tasks.items()}), path)
        for name, task in tasks.items():
            if task.transform:
                (folder / f"{name}.transform.mlir").write_text(task.transform)
