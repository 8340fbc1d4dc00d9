// RUN: ansorc-opt --pipeline=ansorc-pad-channels %s | FileCheck %s

// Three channels become four; bias and activation are computed on four, too.
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[W:.*]] = ml_program.global_load_const @w_folded : tensor<3x3x8x4xf32>
// CHECK: %[[CONV:.*]] = linalg.conv_2d_nhwc_hwcf {{.*}}, %[[W]] : {{.*}} -> tensor<1x4x4x4xf32>
// CHECK: %[[BIAS:.*]] = ml_program.global_load_const @b_folded : tensor<4xf32>
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[CONV]], %[[BIAS]] : tensor<1x4x4x4xf32>, tensor<4xf32>)
// CHECK: %[[PART:.*]] = tensor.extract_slice %[[SUM]][0, 0, 0, 0] [1, 4, 4, 3] [1, 1, 1, 1]
// CHECK: return %[[PART]] : tensor<1x4x4x3xf32>
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#channel = affine_map<(d0, d1, d2, d3) -> (d3)>
module {
  ml_program.global private @w(dense<1.0> : tensor<3x3x8x3xf32>) : tensor<3x3x8x3xf32>
  ml_program.global private @b(dense<2.0> : tensor<3xf32>) : tensor<3xf32>
  func.func @main(%x: tensor<1x6x6x8xf32>) -> tensor<1x4x4x3xf32> {
    %w = ml_program.global_load_const @w : tensor<3x3x8x3xf32>
    %b = ml_program.global_load_const @b : tensor<3xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<1x4x4x3xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
    %c = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x6x6x8xf32>, tensor<3x3x8x3xf32>) outs(%f : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
    %s = linalg.generic {indexing_maps = [#id, #channel, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%c, %b : tensor<1x4x4x3xf32>, tensor<3xf32>) outs(%e : tensor<1x4x4x3xf32>) {
    ^bb0(%in: f32, %bias: f32, %out: f32):
      %sum = arith.addf %in, %bias : f32
      linalg.yield %sum : f32
    } -> tensor<1x4x4x3xf32>
    return %s : tensor<1x4x4x3xf32>
  }
}
