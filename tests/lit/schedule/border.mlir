// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512},ansorc-bufferize,ansorc-lower{target=skylake-avx512}' %s | FileCheck %s --check-prefix=LOW

// Positions lie a multiple of 4 KiB apart: what a chunk copies lies close together, and is not evicted by its like.
// A graph's input: each chunk fills the borders that lie in what it reads, around a copy of what lies inside.
// CHECK-LABEL: func.func @task(
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x7x7x{{[0-9x]+}}x16xf32>
// CHECK-NOT: tensor.pad
// CHECK: scf.forall
// CHECK: tensor.empty() : tensor<1x{{[1-9]|1[0-9]}}x{{[0-9x]+}}x16xf32>
// CHECK: arith.maxsi
// CHECK: linalg.fill
// CHECK: tensor.extract_slice %[[X]][0, 0, 0, %{{[0-9]+}}, 
// CHECK: linalg.copy
// CHECK: scf.for

// One section: no buffer lies between two.
// LOW: llvm.func @task_s0
// LOW-NOT: llvm.func @task_s1
func.func @task(%x: tensor<1x7x7x1024xf32>, %w: tensor<3x3x1024xf32> {ansorc.constant}) -> tensor<1x7x7x1024xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %zero : f32
  } : tensor<1x7x7x1024xf32> to tensor<1x9x9x1024xf32>
  %e = tensor.empty() : tensor<1x7x7x1024xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x7x7x1024xf32>) -> tensor<1x7x7x1024xf32>
  %y = linalg.depthwise_conv_2d_nhwc_hwc {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%p, %w : tensor<1x9x9x1024xf32>, tensor<3x3x1024xf32>) outs(%f : tensor<1x7x7x1024xf32>) -> tensor<1x7x7x1024xf32>
  return %y : tensor<1x7x7x1024xf32>
}
