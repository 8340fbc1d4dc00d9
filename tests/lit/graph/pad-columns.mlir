// RUN: ansorc-opt --pipeline=ansorc-pad-columns %s | FileCheck %s

// 21 columns become 32: what is read by columns ends in zeros, the sum ignores what lies behind, the result is a slice.
// CHECK-LABEL: func.func @main
// CHECK: %[[B:.*]] = tensor.pad %arg1 low[0, 0] high[0, 11]
// CHECK: %[[PRODUCT:.*]] = linalg.matmul ins(%arg0, %[[B]] : tensor<5x16xf32>, tensor<16x32xf32>)
// CHECK: %[[MASK:.*]] = ml_program.global_load_const @mask_folded : tensor<32xf32>
// CHECK: %[[REAL:.*]] = linalg.generic {{.*}} ins(%[[PRODUCT]], %[[MASK]] : tensor<5x32xf32>, tensor<32xf32>)
// CHECK: arith.select
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[REAL]] : tensor<5x32xf32>) outs({{.*}} : tensor<5xf32>)
// CHECK: %[[PART:.*]] = tensor.extract_slice %[[REAL]][0, 0] [5, 21] [1, 1]
// CHECK: return %[[PART]], %[[SUM]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
module {
  func.func @main(%a: tensor<5x16xf32>, %b: tensor<16x21xf32>) -> (tensor<5x21xf32>, tensor<5xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<5x21xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x21xf32>) -> tensor<5x21xf32>
    %p = linalg.matmul ins(%a, %b : tensor<5x16xf32>, tensor<16x21xf32>) outs(%f : tensor<5x21xf32>) -> tensor<5x21xf32>
    %re = tensor.empty() : tensor<5xf32>
    %rf = linalg.fill ins(%zero : f32) outs(%re : tensor<5xf32>) -> tensor<5xf32>
    %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%p : tensor<5x21xf32>) outs(%rf : tensor<5xf32>) {
    ^bb0(%in: f32, %out: f32):
      %sum = arith.addf %out, %in : f32
      linalg.yield %sum : f32
    } -> tensor<5xf32>
    return %p, %s : tensor<5x21xf32>, tensor<5xf32>
  }
}
