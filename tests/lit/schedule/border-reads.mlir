// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512},ansorc-bufferize' %s | FileCheck %s --check-prefix=BUFFERS

// Nobody makes the border of what a depthwise convolution reads. A register tile that reads none has code of its own;
// in that of the others, each vector is read where it lies, or is one of zeros.
// CHECK-LABEL: func.func @task(
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x56x56x{{[0-9]+}}x{{[0-9]+}}x16xf32>
// CHECK-NOT: ansorc.pad
// CHECK: scf.forall
// CHECK: %[[ZEROS:.+]] = memref.alloc() {{.*}} : memref<16xf32>
// CHECK: vector.store %{{.+}}, %[[ZEROS]]
// CHECK: %[[AROUND:.+]] = memref.cast %[[ZEROS]]
// CHECK: %[[M:.+]] = bufferization.to_buffer %[[X]] read_only
// CHECK: %[[INSIDE:.+]] = arith.andi
// CHECK: scf.if %[[INSIDE]]
// CHECK: vector.transfer_read %[[X]][{{.*}}vector<16xf32>
// CHECK-NOT: arith.select
// CHECK: } else {
// CHECK: %[[VIEW:.+]] = memref.subview %[[M]]
// CHECK: %[[ROW:.+]] = arith.select %{{.+}}, %[[VIEW]], %[[AROUND]]
// CHECK: vector.transfer_read %[[ROW]]

// Nothing is copied.
// BUFFERS-LABEL: func.func @task(
// BUFFERS-NOT: linalg.copy
// BUFFERS-NOT: memref.copy
func.func @task(%x: tensor<1x56x56x64xf32>, %w: tensor<3x3x64xf32> {ansorc.constant}) -> tensor<1x56x56x64xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%a: index, %b: index, %c: index, %d: index):
    tensor.yield %zero : f32
  } : tensor<1x56x56x64xf32> to tensor<1x58x58x64xf32>
  %e = tensor.empty() : tensor<1x56x56x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32>
  %y = linalg.depthwise_conv_2d_nhwc_hwc {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%p, %w : tensor<1x58x58x64xf32>, tensor<3x3x64xf32>) outs(%f : tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32>
  return %y : tensor<1x56x56x64xf32>
}
