// RUN: ansorc-opt --pipeline=ansorc-move-transposes,canonicalize,cse %s | FileCheck %s

// A product of few rows reads keys as they lie; one of many rows wants them as columns.
// CHECK: #[[KEYS:map.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[Q:.*]]: tensor<3x1x64xf32>, %[[MANY:.*]]: tensor<3x32x64xf32>, %[[K:.*]]: tensor<3x48x64xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[K]]
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[KEYS]], #{{.*}}]{{.*}} ins(%[[Q]], %[[K]]
// CHECK: linalg.batch_matmul ins(%[[MANY]], %{{.*}} : tensor<3x32x64xf32>, tensor<3x64x48xf32>)
func.func @main(%q: tensor<3x1x64xf32>, %many: tensor<3x32x64xf32>, %k: tensor<3x48x64xf32>)
    -> (tensor<3x1x48xf32>, tensor<3x32x48xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x64x48xf32>
  %t = linalg.transpose ins(%k : tensor<3x48x64xf32>) outs(%e : tensor<3x64x48xf32>) permutation = [0, 2, 1]
  %e1 = tensor.empty() : tensor<3x1x48xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x1x48xf32>) -> tensor<3x1x48xf32>
  %one = linalg.batch_matmul ins(%q, %t : tensor<3x1x64xf32>, tensor<3x64x48xf32>)
      outs(%f1 : tensor<3x1x48xf32>) -> tensor<3x1x48xf32>
  %e2 = tensor.empty() : tensor<3x32x48xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x32x48xf32>) -> tensor<3x32x48xf32>
  %two = linalg.batch_matmul ins(%many, %t : tensor<3x32x64xf32>, tensor<3x64x48xf32>)
      outs(%f2 : tensor<3x32x48xf32>) -> tensor<3x32x48xf32>
  return %one, %two : tensor<3x1x48xf32>, tensor<3x32x48xf32>
}
