// RUN: ansorc-opt --pipeline=ansorc-sink-reshapes,canonicalize %s | FileCheck %s

// Two groups of four channels are collapsed after the bias, which is read as 2x4.
// CHECK-LABEL: func.func @main
// CHECK: %[[M:.*]] = linalg.batch_matmul
// CHECK: %[[B:.*]] = tensor.expand_shape %arg2 {{\[\[}}0, 1]] output_shape [2, 3]
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[M]], %[[B]] : tensor<2x3x4xf32>, tensor<2x3xf32>)
// CHECK: tensor.collapse_shape %[[S]] {{\[\[}}0, 1], [2]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
func.func @main(%x: tensor<2x3x5xf32>, %w: tensor<2x5x4xf32>, %b: tensor<6xf32>) -> tensor<6x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x3x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %m = linalg.batch_matmul ins(%x, %w : tensor<2x3x5xf32>, tensor<2x5x4xf32>) outs(%f : tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %v = tensor.collapse_shape %m [[0, 1], [2]] : tensor<2x3x4xf32> into tensor<6x4xf32>
  %o = tensor.empty() : tensor<6x4xf32>
  %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%v, %b : tensor<6x4xf32>, tensor<6xf32>) outs(%o : tensor<6x4xf32>) {
  ^bb0(%a: f32, %c: f32, %z: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<6x4xf32>
  return %s : tensor<6x4xf32>
}
