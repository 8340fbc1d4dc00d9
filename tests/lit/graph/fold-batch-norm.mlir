// RUN: ansorc-opt --pipeline=ansorc-fold-batch-norm %s | FileCheck %s

// (x w) * 2 + 3 becomes x (2 w) + 3.
// CHECK-DAG: ml_program.global private @[[W:w_folded.*]](dense<{{\[\[}}2.000000e+00, 2.000000e+01], [4.000000e+00, 4.000000e+01]]> : tensor<2x2xf32>)
// CHECK-LABEL: func.func @main
// CHECK: %[[WEIGHT:.*]] = ml_program.global_load_const @{{w_folded.*}} : tensor<2x2xf32>
// CHECK: %[[PRODUCT:.*]] = linalg.matmul ins(%{{.*}}, %[[WEIGHT]]
// CHECK: linalg.generic {{.*}} ins(%[[PRODUCT]], %{{.*}} : tensor<4x2xf32>, tensor<2xf32>)
// CHECK-NOT: arith.mulf
// CHECK: arith.addf
// CHECK-NOT: arith.mulf
#id = affine_map<(d0, d1) -> (d0, d1)>
#channel = affine_map<(d0, d1) -> (d1)>
module {
  ml_program.global private @w(dense<[[1.0, 2.0], [2.0, 4.0]]> : tensor<2x2xf32>) : tensor<2x2xf32>
  ml_program.global private @scale(dense<[2.0, 10.0]> : tensor<2xf32>) : tensor<2xf32>
  ml_program.global private @shift(dense<3.0> : tensor<2xf32>) : tensor<2xf32>
  func.func @main(%x: tensor<4x2xf32>) -> tensor<4x2xf32> {
    %w = ml_program.global_load_const @w : tensor<2x2xf32>
    %scale = ml_program.global_load_const @scale : tensor<2xf32>
    %shift = ml_program.global_load_const @shift : tensor<2xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<4x2xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x2xf32>) -> tensor<4x2xf32>
    %m = linalg.matmul ins(%x, %w : tensor<4x2xf32>, tensor<2x2xf32>) outs(%f : tensor<4x2xf32>) -> tensor<4x2xf32>
    %n = linalg.generic {indexing_maps = [#id, #channel, #channel, #id], iterator_types = ["parallel", "parallel"]}
        ins(%m, %scale, %shift : tensor<4x2xf32>, tensor<2xf32>, tensor<2xf32>) outs(%e : tensor<4x2xf32>) {
    ^bb0(%a: f32, %s: f32, %b: f32, %out: f32):
      %p = arith.mulf %a, %s : f32
      %q = arith.addf %p, %b : f32
      linalg.yield %q : f32
    } -> tensor<4x2xf32>
    return %n : tensor<4x2xf32>
  }
}
