// RUN: ansorc-opt --pipeline=ansorc-pad-channels %s | FileCheck %s

// 18 channels become 32, behind a border and a depthwise convolution, too: only the result is cut.
// CHECK-LABEL: func.func @main
// CHECK: linalg.conv_2d_nhwc_hwcf {{.*}} -> tensor<1x4x4x32xf32>
// CHECK: tensor.pad {{.*}}
// CHECK: tensor<1x4x4x32xf32> to tensor<1x6x6x32xf32>
// CHECK-NOT: tensor.extract_slice
// CHECK: %[[D:.*]] = linalg.depthwise_conv_2d_nhwc_hwc {{.*}} -> tensor<1x4x4x32xf32>
// CHECK: %[[PART:.*]] = tensor.extract_slice %[[D]][0, 0, 0, 0] [1, 4, 4, 18] [1, 1, 1, 1]
// CHECK: return %[[PART]]
module {
  ml_program.global private @w(dense<1.0> : tensor<1x1x8x18xf32>) : tensor<1x1x8x18xf32>
  ml_program.global private @d(dense<2.0> : tensor<3x3x18xf32>) : tensor<3x3x18xf32>
  func.func @main(%x: tensor<1x4x4x8xf32>) -> tensor<1x4x4x18xf32> {
    %w = ml_program.global_load_const @w : tensor<1x1x8x18xf32>
    %d = ml_program.global_load_const @d : tensor<3x3x18xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<1x4x4x18xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x4x18xf32>) -> tensor<1x4x4x18xf32>
    %c = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x4x4x8xf32>, tensor<1x1x8x18xf32>)
        outs(%f : tensor<1x4x4x18xf32>) -> tensor<1x4x4x18xf32>
    %p = tensor.pad %c low[0, 1, 1, 0] high[0, 1, 1, 0] {
    ^bb0(%i: index, %j: index, %k: index, %l: index):
      tensor.yield %zero : f32
    } : tensor<1x4x4x18xf32> to tensor<1x6x6x18xf32>
    %r = linalg.depthwise_conv_2d_nhwc_hwc ins(%p, %d : tensor<1x6x6x18xf32>, tensor<3x3x18xf32>)
        outs(%f : tensor<1x4x4x18xf32>) -> tensor<1x4x4x18xf32>
    return %r : tensor<1x4x4x18xf32>
  }
}
