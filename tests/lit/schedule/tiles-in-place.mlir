// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=register-tile},ansorc-bufferize' %s | FileCheck %s

// A task that ends in its anchor: every register tile is written where its results belong, none by way of the stack.
// CHECK-LABEL: func.func @task(
// CHECK-SAME: %[[OUT:[a-z0-9]+]]: memref<96x{{[0-9x]+}}x16xf32>) 
// CHECK-NOT: memref.alloc
// CHECK: memref.subview %[[OUT]]
// CHECK-NOT: memref.alloc
// CHECK: vector.transfer_write
// CHECK-NOT: memref.alloc
// CHECK-NOT: linalg.copy
func.func @task(%x: tensor<96x64xf32>, %w: tensor<64x96xf32> {ansorc.constant}) -> tensor<96x96xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<96x96xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<96x96xf32>) -> tensor<96x96xf32>
  %y = linalg.matmul ins(%x, %w : tensor<96x64xf32>, tensor<64x96xf32>) outs(%f : tensor<96x96xf32>) -> tensor<96x96xf32>
  return %y : tensor<96x96xf32>
}
