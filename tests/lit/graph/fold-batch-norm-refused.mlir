// RUN: ansorc-opt --pipeline=ansorc-fold-batch-norm %s | FileCheck %s

// The product is read twice, so that its weight may not be scaled for one of the readers.
// CHECK-NOT: w_folded
// CHECK-LABEL: func.func @main
// CHECK: linalg.matmul
// CHECK: arith.mulf
#id = affine_map<(d0, d1) -> (d0, d1)>
#channel = affine_map<(d0, d1) -> (d1)>
module {
  ml_program.global private @w(dense<1.0> : tensor<2x2xf32>) : tensor<2x2xf32>
  ml_program.global private @scale(dense<[2.0, 10.0]> : tensor<2xf32>) : tensor<2xf32>
  func.func @main(%x: tensor<4x2xf32>) -> (tensor<4x2xf32>, tensor<4x2xf32>) {
    %w = ml_program.global_load_const @w : tensor<2x2xf32>
    %scale = ml_program.global_load_const @scale : tensor<2xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<4x2xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x2xf32>) -> tensor<4x2xf32>
    %m = linalg.matmul ins(%x, %w : tensor<4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<4x2xf32>) -> tensor<4x2xf32>
    %n = linalg.generic {indexing_maps = [#id, #channel, #id], iterator_types = ["parallel", "parallel"]}
        ins(%m, %scale : tensor<4x2xf32>, tensor<2xf32>) outs(%e : tensor<4x2xf32>) {
    ^bb0(%a: f32, %s: f32, %out: f32):
      %p = arith.mulf %a, %s : f32
      linalg.yield %p : f32
    } -> tensor<4x2xf32>
    return %m, %n : tensor<4x2xf32>, tensor<4x2xf32>
  }
}
