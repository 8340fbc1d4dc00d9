"""What is moved only to be moved is counted: tasks that compute nothing, and copies within those that do."""

import numpy as np
import pytest
from mlir import ir
from onnx import helper
from onnx_cases import graph_model

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.options import Options
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.target import parse_target
from ansorc.compiler.task_job import TaskJob, compile_task, machine_of
from ansorc.compiler.task_spaces import spaces_of_task
from ansorc.dialect_passes.ir_context import context
from ansorc.tools.moved_bytes import computes, copied_bytes

TARGET = parse_target("skylake-avx512")
X = np.ones((4, 6, 10), np.float32)
ROWS, SUMMED, COLUMNS = 96, 64, 96


def tasks(
    node: str, inputs: dict[str, np.ndarray], constants: dict[str, np.ndarray] | None = None, **attributes: object
) -> list[str]:
    names = [*inputs, *(constants or {})]
    model = graph_model([helper.make_node(node, names, ["y"], **attributes)], inputs, ["y"], constants)
    return list(to_tasks(read(model, Options()), Options()).code.values())


def copied(task: str, kind: str, **overrides: int) -> int:
    """Count what a task copies with the default of a kind, but for some decisions."""
    (space,) = (s for s in spaces_of_task(task, machine_of(TARGET)) if s.kind.name == kind)
    choice = space.choose()
    assert choice is not None
    candidate = Candidate(space.sketch, tuple((dict(choice.candidate.decisions) | overrides).items()))
    assert not space.illegal(candidate)
    with context(), ir.Location.unknown():
        made = compile_task(TaskJob(task, "linalg", "bufferized", TARGET, candidate=candidate))
        return copied_bytes(ir.Module.parse(made.code.decode()))


def test_what_only_moves_computes_nothing() -> None:
    assert [computes(text) for text in tasks("Transpose", {"x": X}, perm=[2, 1, 0])] == [False]
    assert [computes(text) for text in tasks("Abs", {"x": X})] == [True]
    assert all(computes(text) for text in tasks("MatMul", {"x": X}, {"w": np.ones((10, 8), np.float32)}))


@pytest.mark.parametrize(("pack", "expected"), [(0, 0), (1, 4 * SUMMED * COLUMNS)])
def test_panels_are_copies_and_products_are_not(pack: int, expected: int) -> None:
    (task,) = tasks("MatMul", {"x": np.ones((ROWS, SUMMED), np.float32), "z": np.ones((SUMMED, COLUMNS), np.float32)})
    assert copied(task, "register-tile", pack=pack) == expected


@pytest.mark.parametrize(("kind", "shape"), [("winograd", (32, 32, 3, 3)), ("strassen", (64, 64, 1, 1))])
def test_transforms_copy_nothing(kind: str, shape: tuple[int, ...]) -> None:
    x, w = np.ones((1, shape[1], 12, 12), np.float32), np.ones(shape, np.float32)
    convolution = next(text for text in tasks("Conv", {"x": x}, {"w": w}) if computes(text))
    assert copied(convolution, kind) == 0


TEXT = """
func.func @task(%x: memref<8x16xf32>, %y: memref<8x16xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %z = arith.constant 0.0 : f32
  scf.for %i = %c0 to END step %c1 {
    %v = vector.load %x[%i, %c0] : memref<8x16xf32>, vector<16xf32>
    %e:16 = vector.to_elements %v : vector<16xf32>
    %w = vector.from_elements %e#1, %e#0, %z, %e#3, %e#4, %e#5, %e#6, %e#7 : vector<8xf32>
    %s = arith.addf %w, %w : vector<8xf32>
    vector.store VALUE, %y[%i, %c0] : memref<8x16xf32>, vector<8xf32>
  }
  return
}
"""


@pytest.mark.parametrize(("end", "value", "expected"), [("%c8", "%w", 8 * 32), ("%n", "%w", 32), ("%c8", "%s", 0)])
def test_what_is_rearranged_is_a_copy_and_what_is_added_is_not(end: str, value: str, expected: int) -> None:
    with context(), ir.Location.unknown():
        assert copied_bytes(ir.Module.parse(TEXT.replace("END", end).replace("VALUE", value))) == expected
