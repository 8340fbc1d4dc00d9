// RUN: ansorc-opt --pipeline=ansorc-unstack-products,canonicalize,cse %s | FileCheck %s
// RUN: ansorc-opt --pipeline=ansorc-unstack-products,canonicalize,ansorc-move-transposes,canonicalize,cse %s | FileCheck %s --check-prefix=MOVED

// Scores of 2 images and 3 heads: the product has a loop for each, and nothing is flattened for it. What has no rows of
// its own to go back to stays, and a transpose of keys is not read across.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[Q:.*]]: tensor<2x3x16x8xf32>, %[[K:.*]]: tensor<2x3x32x8xf32>, %[[A:.*]]: tensor<6x16x8xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[K]]
// CHECK-NOT: tensor.collapse_shape
// CHECK: %[[S:.*]] = linalg.generic {{.*}}"parallel", "parallel", "parallel", "parallel", "reduction"]} ins(%[[Q]], %[[T]]
// CHECK-NOT: tensor.expand_shape
// CHECK: linalg.batch_matmul ins(%[[A]]
// CHECK: return %[[S]]
// MOVED: %[[T:.*]] = linalg.transpose
// MOVED: linalg.generic {{.*}} ins(%{{.*}}, %[[T]]
func.func @main(%q: tensor<2x3x16x8xf32>, %k: tensor<2x3x32x8xf32>, %a: tensor<6x16x8xf32>, %b: tensor<6x8x32xf32>)
    -> (tensor<2x3x16x32xf32>, tensor<6x16x32xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x3x8x32xf32>
  %t = linalg.transpose ins(%k : tensor<2x3x32x8xf32>) outs(%e : tensor<2x3x8x32xf32>) permutation = [0, 1, 3, 2]
  %x = tensor.collapse_shape %q [[0, 1], [2], [3]] : tensor<2x3x16x8xf32> into tensor<6x16x8xf32>
  %y = tensor.collapse_shape %t [[0, 1], [2], [3]] : tensor<2x3x8x32xf32> into tensor<6x8x32xf32>
  %e1 = tensor.empty() : tensor<6x16x32xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<6x16x32xf32>) -> tensor<6x16x32xf32>
  %p = linalg.batch_matmul ins(%x, %y : tensor<6x16x8xf32>, tensor<6x8x32xf32>)
      outs(%f1 : tensor<6x16x32xf32>) -> tensor<6x16x32xf32>
  %s = tensor.expand_shape %p [[0, 1], [2], [3]] output_shape [2, 3, 16, 32]
      : tensor<6x16x32xf32> into tensor<2x3x16x32xf32>
  %other = linalg.batch_matmul ins(%a, %b : tensor<6x16x8xf32>, tensor<6x8x32xf32>)
      outs(%f1 : tensor<6x16x32xf32>) -> tensor<6x16x32xf32>
  return %s, %other : tensor<2x3x16x32xf32>, tensor<6x16x32xf32>
}
