// RUN: ansorc-opt --pipeline='ansorc-destination,ansorc-pitched-arguments' %s | FileCheck %s

// CHECK-LABEL: func.func @task(
// CHECK-SAME: %[[X:.*]]: memref<2x3x8xf32, strided<[48, 16, 1]>>
// CHECK-SAME: %[[O:.*]]: memref<2x3x8xf32, strided<[96, 32, 1]>>
// CHECK: %[[OT:.*]] = bufferization.to_tensor %[[O]] restrict writable
// CHECK: %[[XT:.*]] = bufferization.to_tensor %[[X]] restrict :
// CHECK: %[[R:.*]] = linalg.exp ins(%[[XT]] : tensor<2x3x8xf32>) outs(%[[OT]]
// CHECK: bufferization.materialize_in_destination %[[R]] in restrict writable %[[O]]
// CHECK: return{{$}}
func.func @task(%x: tensor<2x3x8xf32> {ansorc.pitch = array<i64: 8, 16>})
    -> (tensor<2x3x8xf32> {ansorc.pitch = array<i64: 8, 32>}) {
  %e = tensor.empty() : tensor<2x3x8xf32>
  %r = linalg.exp ins(%x : tensor<2x3x8xf32>) outs(%e : tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  return %r : tensor<2x3x8xf32>
}
