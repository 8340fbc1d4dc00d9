// RUN: ansorc-opt --pipeline=ansorc-collapse-reductions %s | FileCheck %s

// Height and width lie one after the other: one loop, which LLVM can vectorize.
// CHECK: func.func @mean(%[[X:.*]]: tensor<2x8x49xf32>)
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]{{.*}} ins(%[[X]] : tensor<2x8x49xf32>)
func.func @mean(%x: tensor<2x8x7x7xf32>) -> tensor<2x8xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x8xf32>) -> tensor<2x8xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(n, c, h, w) -> (n, c, h, w)>, affine_map<(n, c, h, w) -> (n, c)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%x : tensor<2x8x7x7xf32>) outs(%f : tensor<2x8xf32>) {
  ^bb0(%v: f32, %a: f32):
    %s = arith.addf %a, %v : f32
    linalg.yield %s : f32
  } -> tensor<2x8xf32>
  return %r : tensor<2x8xf32>
}

// Here the reduced loops lie apart, and the numbers of one are computed with.
// CHECK: func.func @apart(%{{.*}}: tensor<7x8x7xf32>)
func.func @apart(%x: tensor<7x8x7xf32>) -> tensor<8xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(c, h, w) -> (h, c, w)>, affine_map<(c, h, w) -> (c)>],
      iterator_types = ["parallel", "reduction", "reduction"]} ins(%x : tensor<7x8x7xf32>) outs(%f : tensor<8xf32>) {
  ^bb0(%v: f32, %a: f32):
    %s = arith.addf %a, %v : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}
