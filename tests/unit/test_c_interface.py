"""A library answers as its header says: types and status codes."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from onnx_cases import graph_model

import ansorc

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include "model.h"

static int failures;
static void expect(int holds, const char *what) {
  if (!holds) { printf("%s; error: %s\n", what, ansorc_error(NULL)); failures++; }
}
#define EXPECT(condition) expect(condition, #condition)

int main(void) {
  float x[4] = {-1, 2, -3, 4}, y[4];
  const void *in[1] = {x}, *no_in[1] = {NULL};
  void *out[1] = {y}, *no_out[1] = {NULL};
  ansorc_model *model = NULL;
  size_t workspace = ansorc_workspace_size();
  EXPECT(strlen(ansorc_version()) > 0);
  EXPECT(workspace < 1 << 20);
  EXPECT(ansorc_create(NULL) == ANSORC_NULL_POINTER);
  EXPECT(ansorc_create(&model) == ANSORC_OK);
  EXPECT(ansorc_run(NULL, in, out) == ANSORC_NULL_POINTER);
  EXPECT(ansorc_run(model, NULL, out) == ANSORC_NULL_POINTER);
  EXPECT(ansorc_run(model, in, NULL) == ANSORC_NULL_POINTER);
  EXPECT(ansorc_run(model, no_in, out) == ANSORC_NULL_POINTER);
  EXPECT(strstr(ansorc_error(model), "input 0 (x) is NULL") != NULL);
  EXPECT(ansorc_run(model, in, no_out) == ANSORC_NULL_POINTER);
  EXPECT(strstr(ansorc_error(model), "output 0 (y) is NULL") != NULL);
  EXPECT(ansorc_set_threads(-1) == ANSORC_BAD_THREADS);
  EXPECT(ansorc_set_threads(1025) == ANSORC_BAD_THREADS);
  EXPECT(ansorc_set_threads(3) == ANSORC_OK);
  EXPECT(ansorc_get_threads() == 3);
  EXPECT(ansorc_input_dtype(0) == ANSORC_F32);
  EXPECT(ansorc_input_rank(0) == 2 && ansorc_input_shape(0)[1] == 4);
  EXPECT(ansorc_output_dtype(-1) == -1 && ansorc_output_rank(1) == -1);
  EXPECT(ansorc_input_name(1) == NULL && ansorc_output_shape(7) == NULL);
  EXPECT(ansorc_run(model, in, out) == ANSORC_OK);
  EXPECT(y[0] == 0 && y[1] == 2 && y[2] == 0 && y[3] == 4);
  ansorc_destroy(model);
  ansorc_destroy(NULL);
  return failures;
}
"""


@pytest.mark.parametrize("language", ["c99", "c++11"])
def test_types_and_status_codes(language: str, tmp_path: Path) -> None:
    compiler = shutil.which("cc" if language == "c99" else "c++")
    if compiler is None:
        pytest.skip("no compiler")
    node = helper.make_node("Relu", ["x"], ["y"])
    library, program = tmp_path / "model.so", tmp_path / "program"
    ansorc.compile(graph_model([node], {"x": np.zeros((1, 4), np.float32)}, ["y"])).save(library)
    source = tmp_path / ("program.c" if language == "c99" else "program.cpp")
    source.write_text(PROGRAM)
    flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-std={language}", f"-Wl,-rpath,{tmp_path}"]
    subprocess.run([compiler, *flags, source, library, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


NAMES = ["inputs", "outputs", "int", "and", "int64_t", "NULL", "ansorc_run", "_x", "x:0", "model", "linux", "EXPORT",
         "INT64_MAX"]  # fmt: skip


@pytest.mark.parametrize("language", ["c99", "c++11"])
def test_tensors_may_have_any_name(language: str, tmp_path: Path) -> None:
    """Such as those of the entry's own variables, and words of C."""
    compiler = shutil.which("cc" if language == "c99" else "c++")
    if compiler is None:
        pytest.skip("no compiler")
    x = np.arange(4, dtype=np.float32).reshape(1, 4) - 2
    nodes = [helper.make_node("Relu", [name], [f"y{k}"]) for k, name in enumerate(NAMES)]
    outputs = [f"y{k}" for k in range(len(NAMES))]
    compiled = ansorc.compile(graph_model(nodes, dict.fromkeys(NAMES, x), outputs))
    for result in compiled.run(dict.fromkeys(NAMES, x)).values():
        np.testing.assert_array_equal(result, np.maximum(x, 0))
    compiled.save(tmp_path / "model.so")
    source = tmp_path / ("program.c" if language == "c99" else "program.cpp")
    source.write_text('#include "model.h"\nint main(void) { return 0; }\n')
    flags = ["-Wall", "-Wextra", "-Werror", f"-std={language}", "-I", str(tmp_path)]
    subprocess.run([compiler, *flags, source, "-o", tmp_path / "program"], check=True)
