// RUN: ansorc-opt --pipeline='ansorc-schedule{target=haswell}' %s | FileCheck %s --check-prefix=DEFAULT
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/edited.mlir},ansorc-bufferize,ansorc-lower{target=haswell},ansorc-emit{target=haswell}' %s | FileCheck %s --check-prefix=LLVM
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/edited.mlir}' %s | FileCheck %s --check-prefix=EDITED
// RUN: not ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/wrong-lanes.mlir}' %s 2>&1 | FileCheck %s --check-prefix=LANES
// RUN: not ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/no-match.mlir}' %s 2>&1 | FileCheck %s --check-prefix=NOTHING
// RUN: not ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/consumed.mlir}' %s 2>&1 | FileCheck %s --check-prefix=CONSUMED
// RUN: not ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/none.mlir}' %s 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not ansorc-opt --pipeline='ansorc-schedule{target=haswell script=%S/Inputs/no-attributes.mlir}' %s 2>&1 | FileCheck %s --check-prefix=KIND

// KIND: its module has no attribute ansorc.kind
// A schedule is text: with another register tile it makes another kernel.
// DEFAULT: -> (vector<5x2x8xf32>)
// EDITED-NOT: vector<5x2x8xf32>
// EDITED: -> (vector<4x2x8xf32>)
// LLVM: llvm.func @task_s0(
// LANES: 2 vectors of 7 lanes do not divide the channels of the task
// NOTHING: cannot replay the schedule: it changes nothing
// CONSUMED: op uses a handle invalidated by a previously executed transform op
// FILE: none.mlir
func.func @task(%a: tensor<64x64xf32>, %b: tensor<64x64xf32> {ansorc.constant}) -> tensor<64x64xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64xf32>) -> tensor<64x64xf32>
  %m = linalg.matmul ins(%a, %b : tensor<64x64xf32>, tensor<64x64xf32>) outs(%f : tensor<64x64xf32>) -> tensor<64x64xf32>
  return %m : tensor<64x64xf32>
}
