// RUN: ansorc-opt --pipeline=ansorc-form-tasks %s | FileCheck %s

// Two equal products share a task, whatever their operands are called; each has its epilogue inside.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = call @[[TASK:task_[0-9a-f]+]](%arg0, %arg1)
// CHECK: %[[B:.*]] = call @[[TASK]](%[[A]], %arg1)
// CHECK: return %[[B]]
// CHECK: func.func private @[[TASK]]
// CHECK-SAME: ansorc.weight = 2
// CHECK: linalg.matmul
// CHECK: arith.negf
// CHECK-NOT: func.func
#map = affine_map<(d0, d1) -> (d0, d1)>
func.func @main(%x: tensor<4x4xf32>, %w: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %m = linalg.matmul ins(%x, %w : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %g = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
      ins(%m : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32):
    %n = arith.negf %a : f32
    linalg.yield %n : f32
  } -> tensor<4x4xf32>
  %m2 = linalg.matmul ins(%g, %w : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f : tensor<4x4xf32>) -> tensor<4x4xf32>
  %g2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
      ins(%m2 : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%c: f32, %d: f32):
    %n = arith.negf %c : f32
    linalg.yield %n : f32
  } -> tensor<4x4xf32>
  return %g2 : tensor<4x4xf32>
}
