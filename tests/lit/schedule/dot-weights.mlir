// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=dot}' %s | FileCheck %s

// A mask of one channel: its weight is packed along what is summed.
// CHECK-LABEL: func.func @mask
// CHECK-SAME: tensor<1x3x3x2x16xf32>
// CHECK: vector.reduction <add>, %{{.*}} : vector<16xf32> into f32
func.func @mask(%x: tensor<1x18x18x32xf32>, %w: tensor<3x3x32x1xf32> {ansorc.constant}) -> tensor<1x16x16x1xf32>
    attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x16x16x1xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x16x16x1xf32>) -> tensor<1x16x16x1xf32>
  %r = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x18x18x32xf32>, tensor<3x3x32x1xf32>)
      outs(%f : tensor<1x16x16x1xf32>) -> tensor<1x16x16x1xf32>
  return %r : tensor<1x16x16x1xf32>
}
