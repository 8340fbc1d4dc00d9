// RUN: ansorc-opt --pipeline=ansorc-sink-reshapes,canonicalize %s | FileCheck %s

// The bias belongs to one half of an expanded dim: in the product's own shape it has no index.
// CHECK-LABEL: func.func @main
// CHECK: linalg.matmul
// CHECK-NEXT: %[[V:.*]] = tensor.expand_shape
// CHECK: linalg.generic {{.*}} ins(%[[V]], %arg2
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#half = affine_map<(d0, d1, d2) -> (d1)>
func.func @main(%x: tensor<6x4xf32>, %w: tensor<4x8xf32>, %b: tensor<3xf32>) -> tensor<2x3x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
  %o = tensor.empty() : tensor<2x3x8xf32>
  %m = linalg.matmul ins(%x, %w : tensor<6x4xf32>, tensor<4x8xf32>) outs(%f : tensor<6x8xf32>) -> tensor<6x8xf32>
  %v = tensor.expand_shape %m [[0, 1], [2]] output_shape [2, 3, 8] : tensor<6x8xf32> into tensor<2x3x8xf32>
  %s = linalg.generic {indexing_maps = [#id, #half, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%v, %b : tensor<2x3x8xf32>, tensor<3xf32>) outs(%o : tensor<2x3x8xf32>) {
  ^bb0(%a: f32, %c: f32, %z: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<2x3x8xf32>
  return %s : tensor<2x3x8xf32>
}
