"""A model between two stages: the host program, the code of every task, and the weights beside them.

As text (`--emit`), a program of the stage `linalg` is one module. Later stages keep @main and declare the tasks; the
code of each task is a module of its own inside. The weights are in a file of the same name with `.npz` added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mlir import ir

from ansorc.compiler.errors import InvalidStageTextError
from ansorc.compiler.kernel import STAGES
from ansorc.compiler.output import whole_file
from ansorc.dialect_passes.ir_context import context
from ansorc.dialect_passes.ir_walk import functions, text_of
from ansorc.frontends.model import Model, TensorSpec

CODE_PREFIX = "code_"


@dataclass(frozen=True)
class Program:
    """One model at one stage of MLIR."""

    name: str
    stage: str
    """`imported`, `linalg`, `affine`, `scheduled`, `bufferized` or `llvm-mlir`."""
    main: str
    """Module text; tasks are defined in it at `linalg` and declared in it later."""
    code: Mapping[str, str]
    """Symbol of a task -> module text, from `linalg` on."""
    weights: Mapping[str, np.ndarray]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def weight_bytes(self) -> int:
        """Of all weights together."""
        return sum(array.nbytes for array in self.weights.values())


def of_model(model: Model) -> Program:
    """Wrap what a frontend made."""
    return Program(model.name, "imported", model.text, {}, model.weights, model.inputs, model.outputs)


def split_tasks(program: Program, module: ir.Module) -> Program:
    """Return the program of the stage `linalg` whose module is `module`."""
    code: dict[str, str] = {}
    for function in functions(module):
        if "ansorc.task" in function.attributes:
            code[ir.StringAttr(function.attributes["sym_name"]).value] = _alone(function)
    text = text_of(module.operation, locations=True)
    return replace(program, stage="linalg", main=text, code=code)


def _alone(function: ir.Operation) -> str:
    with function.context, function.location:
        module = ir.Module.create()
        clone = function.clone(ir.InsertionPoint(module.body))
        # Neither belongs to the computation: equal tasks must have equal text for the cache.
        for name in ("ansorc.node", "ansorc.weight", "sym_visibility"):
            if name in clone.attributes:
                del clone.attributes[name]
        return text_of(module.operation)


def signature_json(program: Program) -> str:
    """Return names, dtypes and shapes as text."""
    sides = {
        side: [[t.name, t.dtype, list(t.shape)] for t in tensors]
        for side, tensors in (("inputs", program.inputs), ("outputs", program.outputs))
    }
    return json.dumps({"name": program.name, **sides})


def read_signature(text: str) -> tuple[str, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the model's name, inputs and outputs."""
    raw = json.loads(text)
    inputs, outputs = (
        tuple(TensorSpec(name, dtype, tuple(shape)) for name, dtype, shape in raw[side])
        for side in ("inputs", "outputs")
    )
    return raw["name"], inputs, outputs


def write(program: Program, path: Path) -> None:
    """Write the text and, beside it, the weights."""
    with context(), ir.Location.unknown():
        module = ir.Module.parse(program.main)
        attributes = module.operation.attributes
        attributes["ansorc.stage"] = ir.StringAttr.get(program.stage)
        attributes["ansorc.signature"] = ir.StringAttr.get(signature_json(program))
        if program.stage not in ("imported", "linalg"):
            for function in list(functions(module)):
                if "ansorc.task" in function.attributes:
                    _replace_by_code(function, program.code, module)
        text = text_of(module.operation)
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n")
    write_weights(path, dict(program.weights))


def _replace_by_code(function: ir.Operation, code: Mapping[str, str], module: ir.Module) -> None:
    name = ir.StringAttr(function.attributes["sym_name"]).value
    if len(function.regions[0].blocks) > 0:
        clone = function.clone(ir.InsertionPoint(function))
        declaration = _declare(clone)
        function.erase()
        declaration.attributes["sym_name"] = ir.StringAttr.get(name)
    nested = ir.Module.parse(code[name], module.context).operation.clone(ir.InsertionPoint(module.body))
    nested.attributes["sym_name"] = ir.StringAttr.get(CODE_PREFIX + name)


def _declare(function: ir.Operation) -> ir.Operation:
    attributes = {name: function.attributes[name] for name in function.attributes}
    attributes["sym_visibility"] = ir.StringAttr.get("private")
    with ir.InsertionPoint(function), function.location:
        made = ir.Operation.create("func.func", [], [], attributes, regions=1)
    function.erase()
    return made


def write_weights(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays that belong to the text at `path`."""
    with whole_file(weights_path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def weights_path(path: Path) -> Path:
    """Return where the weights of a stage's text are."""
    return path.with_name(path.name + ".npz")


def read(path: Path) -> Program:
    """Read what `write` wrote, perhaps edited since."""
    with context(), ir.Location.unknown():
        try:
            module = ir.Module.parseFile(str(path))
        except ir.MLIRError as error:  # pyright: ignore[reportAttributeAccessIssue]
            raise InvalidStageTextError(path, str(error)) from error
        attributes = module.operation.attributes
        if "ansorc.stage" not in attributes or "ansorc.signature" not in attributes:
            raise InvalidStageTextError(path, "the module has no attributes ansorc.stage and ansorc.signature")
        stage = ir.StringAttr(attributes["ansorc.stage"]).value
        if stage not in STAGES:
            raise InvalidStageTextError(path, f"unknown stage {stage!r}; known: {', '.join(STAGES)}")
        name, inputs, outputs = read_signature(ir.StringAttr(attributes["ansorc.signature"]).value)
        weights = read_weights(path)
        program = Program(name, stage, "", {}, weights, inputs, outputs)
        if stage == "linalg":
            return split_tasks(program, module)
        code: dict[str, str] = {}
        for op in [o.operation for o in module.body.operations]:
            if op.name == "builtin.module":
                symbol = ir.StringAttr(op.attributes["sym_name"]).value.removeprefix(CODE_PREFIX)
                del op.attributes["sym_name"]
                code[symbol] = text_of(op)
                op.erase()
        return replace(program, main=text_of(module.operation), code=code)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays that belong to the text at `path`; none where the text names no weights."""
    beside = weights_path(path)
    if not beside.exists():
        if "#ml_program.extern" not in path.read_text():
            return {}
        raise InvalidStageTextError(path, f"its weights are missing: expected {beside}")
    with np.load(beside) as stored:
        return dict(stored)
