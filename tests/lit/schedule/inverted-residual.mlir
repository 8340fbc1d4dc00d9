// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512},ansorc-bufferize,ansorc-lower{target=skylake-avx512}' %s | FileCheck %s --check-prefix=LOW

// A border between two operations of a chain: the input of the first gets it, and its result is 0 there. A chunk computes
// of the first what its windows of the second cover: 9 x 16 points for 7 x 14.
// CHECK-LABEL: func.func @task(
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x28x28x16xf32>
// CHECK-NOT: tensor.pad
// CHECK: scf.forall
// CHECK: tensor.extract_slice %[[X]][0, %{{[0-9]+}},
// CHECK: tensor.empty() : tensor<1x9x16x1x4x16xf32>
// CHECK: arith.cmpi ult
// CHECK: scf.for
// CHECK: arith.maximumf
// CHECK: arith.select
// CHECK: tensor.empty() : tensor<1x7x14x1x4x16xf32>
// CHECK: scf.for
// CHECK-NOT: tensor<1x30x30x64xf32>

// One section: no buffer lies between two.
// LOW: llvm.func @task_s0
// LOW-NOT: llvm.func @task_s1
#all = affine_map<(n, h, w, c) -> (n, h, w, c)>
func.func @task(%x: tensor<1x28x28x16xf32>, %w0: tensor<1x1x16x64xf32> {ansorc.constant}, %w1: tensor<3x3x64xf32> {ansorc.constant}, %w2: tensor<1x1x64x16xf32> {ansorc.constant}) -> tensor<1x28x28x16xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<1x28x28x64xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<1x28x28x64xf32>) -> tensor<1x28x28x64xf32>
  %wide = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%x, %w0 : tensor<1x28x28x16xf32>, tensor<1x1x16x64xf32>) outs(%f0 : tensor<1x28x28x64xf32>) -> tensor<1x28x28x64xf32>
  %relu = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%wide : tensor<1x28x28x64xf32>) outs(%e0 : tensor<1x28x28x64xf32>) {
  ^bb0(%a: f32, %out: f32):
    %r = arith.maximumf %a, %zero : f32
    linalg.yield %r : f32
  } -> tensor<1x28x28x64xf32>
  %p = tensor.pad %relu low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %zero : f32
  } : tensor<1x28x28x64xf32> to tensor<1x30x30x64xf32>
  %deep = linalg.depthwise_conv_2d_nhwc_hwc {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%p, %w1 : tensor<1x30x30x64xf32>, tensor<3x3x64xf32>) outs(%f0 : tensor<1x28x28x64xf32>) -> tensor<1x28x28x64xf32>
  %e1 = tensor.empty() : tensor<1x28x28x16xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x28x28x16xf32>) -> tensor<1x28x28x16xf32>
  %y = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%deep, %w2 : tensor<1x28x28x64xf32>, tensor<1x1x64x16xf32>) outs(%f1 : tensor<1x28x28x16xf32>) -> tensor<1x28x28x16xf32>
  return %y : tensor<1x28x28x16xf32>
}
