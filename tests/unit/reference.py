"""Runs imported models two ways: plain upstream loops, and onnxruntime on the ONNX file."""

import ctypes
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from mlir import ir
from mlir.dialects import linalg
from mlir.execution_engine import ExecutionEngine
from mlir.passmanager import PassManager
from mlir.runtime import get_ranked_memref_descriptor

from ansorc.frontends.model import Model

Arrays = dict[str, np.ndarray]

DECOMPOSE_CONCAT = """
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%module: !transform.any_op {transform.consumed}) {
    %f = transform.structured.match ops{["func.func"]} in %module
      : (!transform.any_op) -> !transform.any_op
    transform.apply_patterns to %f {
      transform.apply_patterns.tensor.decompose_concat
    } : !transform.any_op
    transform.yield
  }
}
"""
BUFFERIZE = """builtin.module(
  eliminate-empty-tensors,
  one-shot-bufferize{bufferize-function-boundaries
    function-boundary-type-conversion=identity-layout-map},
  buffer-results-to-out-params{modify-public-functions=true},
  canonicalize, cse)"""
LOWER = """builtin.module(
  func.func(convert-linalg-to-loops), expand-strided-metadata, lower-affine,
  convert-scf-to-cf, math-expand-ops{ops=ipowi,ctlz,roundeven}, canonicalize,
  convert-math-to-llvm, convert-math-to-libm, convert-index-to-llvm,
  finalize-memref-to-llvm, convert-arith-to-llvm, convert-func-to-llvm, convert-cf-to-llvm,
  convert-ub-to-llvm, reconcile-unrealized-casts)"""


def run_with_loops(model: Model, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Every op as the loops that upstream makes of it: slow, and nothing of our passes."""
    with ir.Context() as context, ir.Location.unknown():
        context.enable_multithreading(False)  # pyright: ignore[reportAttributeAccessIssue]
        module = ir.Module.parse(model.text)
        module.operation.verify()
        symbols = weights_as_arguments(module)
        apply_script(module, DECOMPOSE_CONCAT)
        PassManager.parse(BUFFERIZE).run(module.operation)
        copies_as_loops(module)
        main = module.body.operations[0]
        main.attributes["llvm.emit_c_interface"] = ir.UnitAttr.get()
        PassManager.parse(LOWER).run(module.operation)
        engine = ExecutionEngine(module, opt_level=1)
    held = [prepared(inputs[spec.name], spec.dtype) for spec in model.inputs]
    held += [prepared(model.weights[s], model.weights[s].dtype.name) for s in symbols]
    outputs = {s.name: np.zeros(s.shape, storage(s.dtype)) for s in model.outputs}
    descriptors = [get_ranked_memref_descriptor(a) for a in [*held, *outputs.values()]]
    engine.invoke("main", *(ctypes.pointer(ctypes.pointer(d)) for d in descriptors))
    return {s.name: outputs[s.name].view(np.bool_) if s.dtype == "bool" else outputs[s.name] for s in model.outputs}


def storage(dtype: str) -> str:
    return "uint8" if dtype == "bool" else dtype


def prepared(array: np.ndarray, dtype: str) -> np.ndarray:
    assert array.dtype.name == dtype
    array = np.require(array, requirements="C")
    return array.view(np.uint8) if dtype == "bool" else array


def weights_as_arguments(module: ir.Module) -> list[str]:
    """Give @main an argument for each weight; returns their symbols in order."""
    symbols: list[str] = []
    for op in list(module.body.operations):
        if op.operation.name == "ml_program.global":
            op.operation.erase()
    main = module.body.operations[0]
    block = main.regions[0].blocks[0]
    for op in list(block.operations):
        if op.operation.name == "ml_program.global_load_const":
            symbols.append(str(op.operation.attributes["global"]).lstrip("@").strip('"'))
            argument = block.add_argument(op.operation.results[0].type, op.location)
            op.operation.results[0].replace_all_uses_with(argument)
            op.operation.erase()
    results = [v.type for v in list(block.operations)[-1].operands]
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get([a.type for a in block.arguments], results))
    for name in ("arg_attrs", "res_attrs"):
        if name in main.attributes:
            del main.attributes[name]
    return symbols


def apply_script(module: ir.Module, script: str) -> None:
    from mlir.dialects.transform.interpreter import apply_named_sequence

    sequence = ir.Module.parse(script)
    apply_named_sequence(module, sequence.body.operations[0], sequence)


def copies_as_loops(module: ir.Module) -> None:
    """memref.copy of strided buffers would call a runtime library."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "memref.copy":
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)  # pyright: ignore[reportCallIssue] walk_order has a default
    for op in found:
        with ir.InsertionPoint(op):
            linalg.copy(op.operands[0], outs=[op.operands[1]])
        op.erase()


def run_with_onnxruntime(proto: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    results = [np.asarray(r) for r in session.run(names, dict(inputs))]
    return dict(zip(names, results, strict=True))
