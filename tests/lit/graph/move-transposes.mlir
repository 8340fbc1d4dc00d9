// RUN: ansorc-opt --pipeline=ansorc-move-transposes,canonicalize,cse %s | FileCheck %s

// A transpose, an elementwise operation and the inverse transpose: nothing is left but the operation.
// CHECK-LABEL: func.func @main
// CHECK-NOT: linalg.transpose
// CHECK: linalg.generic
// CHECK-SAME: ins(%arg0 : tensor<1x4x5x8xf32>)
// CHECK-NOT: linalg.transpose
// CHECK: return
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @main(%x: tensor<1x4x5x8xf32>) -> tensor<1x4x5x8xf32> {
  %e = tensor.empty() : tensor<1x8x4x5xf32>
  %t = linalg.transpose ins(%x : tensor<1x4x5x8xf32>) outs(%e : tensor<1x8x4x5xf32>) permutation = [0, 3, 1, 2]
  %g = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%t : tensor<1x8x4x5xf32>) outs(%e : tensor<1x8x4x5xf32>) {
  ^bb0(%a: f32, %b: f32):
    %n = arith.negf %a : f32
    linalg.yield %n : f32
  } -> tensor<1x8x4x5xf32>
  %e2 = tensor.empty() : tensor<1x4x5x8xf32>
  %r = linalg.transpose ins(%g : tensor<1x8x4x5xf32>) outs(%e2 : tensor<1x4x5x8xf32>) permutation = [0, 2, 3, 1]
  return %r : tensor<1x4x5x8xf32>
}
