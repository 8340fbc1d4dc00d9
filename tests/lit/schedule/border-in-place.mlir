// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=register-tile}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=register-tile},ansorc-bufferize' %s | FileCheck %s --check-prefix=BUFFERS

// A chunk that reads no border reads the graph's input where it lies; others have a tile whose rows lie as far apart.
// CHECK-LABEL: func.func @task(
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x112x112x16xf32>
// CHECK: scf.forall
// CHECK: %[[M:.+]] = bufferization.to_buffer %[[X]] read_only
// CHECK: scf.if %{{.+}} -> (memref<1x[[H:[0-9]+]]x[[W:[0-9]+]]x16xf32, strided<[200704, 1792, 16, 1], offset: ?>>) {
// CHECK-NEXT: memref.subview %[[M]]
// CHECK: scf.yield
// CHECK: } else {
// CHECK: memref.alloc() {{.*}} : memref<1x[[H]]x112x16xf32>
// CHECK: linalg.fill
// CHECK: linalg.copy
// CHECK: scf.yield
// CHECK: bufferization.to_tensor

// The strides are known where vectors are read, and nothing is copied but what others need.
// BUFFERS-LABEL: func.func @task(
// BUFFERS: scf.if
// BUFFERS: linalg.copy
// BUFFERS-NOT: linalg.copy
// BUFFERS-NOT: memref.alloc
// BUFFERS-NOT: strided<[?
// BUFFERS: vector.transfer_read {{.*}} vector<2x16xf32>
func.func @task(%x: tensor<1x112x112x16xf32>, %w: tensor<3x3x16x64xf32> {ansorc.constant}) -> tensor<1x112x112x64xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %zero : f32
  } : tensor<1x112x112x16xf32> to tensor<1x114x114x16xf32>
  %e = tensor.empty() : tensor<1x112x112x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x112x112x64xf32>) -> tensor<1x112x112x64xf32>
  %y = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%p, %w : tensor<1x114x114x16xf32>, tensor<3x3x16x64xf32>) outs(%f : tensor<1x112x112x64xf32>) -> tensor<1x112x112x64xf32>
  return %y : tensor<1x112x112x64xf32>
}
