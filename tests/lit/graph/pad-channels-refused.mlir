// RUN: ansorc-opt --pipeline=ansorc-pad-channels %s | FileCheck %s

// Eight channels fill vectors; a product of two activations has no weight to pad; one channel is a dot product.
// CHECK-LABEL: func.func @main
// CHECK-NOT: extract_slice
// CHECK: linalg.matmul {{.*}} -> tensor<5x8xf32>
// CHECK: linalg.matmul {{.*}} -> tensor<5x3xf32>
// CHECK: linalg.matmul {{.*}} -> tensor<5x1xf32>
// CHECK-NOT: extract_slice
module {
  ml_program.global private @w8(dense<1.0> : tensor<7x8xf32>) : tensor<7x8xf32>
  ml_program.global private @w1(dense<1.0> : tensor<7x1xf32>) : tensor<7x1xf32>
  func.func @main(%x: tensor<5x7xf32>, %y: tensor<7x3xf32>) -> (tensor<5x8xf32>, tensor<5x3xf32>, tensor<5x1xf32>) {
    %w8 = ml_program.global_load_const @w8 : tensor<7x8xf32>
    %w1 = ml_program.global_load_const @w1 : tensor<7x1xf32>
    %zero = arith.constant 0.0 : f32
    %e8 = tensor.empty() : tensor<5x8xf32>
    %f8 = linalg.fill ins(%zero : f32) outs(%e8 : tensor<5x8xf32>) -> tensor<5x8xf32>
    %m8 = linalg.matmul ins(%x, %w8 : tensor<5x7xf32>, tensor<7x8xf32>) outs(%f8 : tensor<5x8xf32>) -> tensor<5x8xf32>
    %e3 = tensor.empty() : tensor<5x3xf32>
    %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<5x3xf32>) -> tensor<5x3xf32>
    %m3 = linalg.matmul ins(%x, %y : tensor<5x7xf32>, tensor<7x3xf32>) outs(%f3 : tensor<5x3xf32>) -> tensor<5x3xf32>
    %e1 = tensor.empty() : tensor<5x1xf32>
    %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<5x1xf32>) -> tensor<5x1xf32>
    %m1 = linalg.matmul ins(%x, %w1 : tensor<5x7xf32>, tensor<7x1xf32>) outs(%f1 : tensor<5x1xf32>) -> tensor<5x1xf32>
    return %m8, %m3, %m1 : tensor<5x8xf32>, tensor<5x3xf32>, tensor<5x1xf32>
  }
}
