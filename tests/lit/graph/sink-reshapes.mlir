// RUN: ansorc-opt --split-input-file --pipeline=ansorc-sink-reshapes,canonicalize %s | FileCheck %s

// The bias is added to the product itself; its unit dim comes back afterwards.
// CHECK-LABEL: func.func @main
// CHECK: %[[M:.*]] = linalg.matmul
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[M]], %arg2 : tensor<6x8xf32>, tensor<8xf32>)
// CHECK: %[[E:.*]] = tensor.expand_shape %[[S]] {{\[\[}}0, 1], [2]] output_shape [1, 6, 8]
// CHECK: return %[[E]]
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#channel = affine_map<(d0, d1, d2) -> (d2)>
func.func @main(%x: tensor<6x4xf32>, %w: tensor<4x8xf32>, %b: tensor<8xf32>) -> tensor<1x6x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x8xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
  %m = linalg.matmul ins(%x, %w : tensor<6x4xf32>, tensor<4x8xf32>) outs(%f : tensor<6x8xf32>) -> tensor<6x8xf32>
  %v = tensor.expand_shape %m [[0, 1], [2]] output_shape [1, 6, 8] : tensor<6x8xf32> into tensor<1x6x8xf32>
  %o = tensor.empty() : tensor<1x6x8xf32>
  %s = linalg.generic {indexing_maps = [#id, #channel, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%v, %b : tensor<1x6x8xf32>, tensor<8xf32>) outs(%o : tensor<1x6x8xf32>) {
  ^bb0(%a: f32, %c: f32, %z: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<1x6x8xf32>
  return %s : tensor<1x6x8xf32>
}

// -----

// A unit dim of the source, which the view keeps as it is, stays a loop.
// CHECK-LABEL: func.func @main
// CHECK: %[[P:.*]] = linalg.batch_matmul
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[P]] : tensor<1x8x6xf32>)
// CHECK: tensor.expand_shape %[[S]] {{\[\[}}0], [1], [2, 3]] output_shape [1, 8, 2, 3]
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @main(%x: tensor<1x8x4xf32>, %w: tensor<1x4x6xf32>) -> tensor<1x8x2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x8x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x8x6xf32>) -> tensor<1x8x6xf32>
  %m = linalg.batch_matmul ins(%x, %w : tensor<1x8x4xf32>, tensor<1x4x6xf32>) outs(%f : tensor<1x8x6xf32>) -> tensor<1x8x6xf32>
  %v = tensor.expand_shape %m [[0], [1], [2, 3]] output_shape [1, 8, 2, 3] : tensor<1x8x6xf32> into tensor<1x8x2x3xf32>
  %o = tensor.empty() : tensor<1x8x2x3xf32>
  %s = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%v : tensor<1x8x2x3xf32>) outs(%o : tensor<1x8x2x3xf32>) {
  ^bb0(%a: f32, %z: f32):
    %t = arith.mulf %a, %a : f32
    linalg.yield %t : f32
  } -> tensor<1x8x2x3xf32>
  return %s : tensor<1x8x2x3xf32>
}

// -----

// A view of scores, read twice, sinks through the softmax behind them: its reductions run over the product's own loops.
// CHECK-LABEL: func.func @main
// CHECK: %[[P:.*]] = linalg.batch_matmul
// CHECK: %[[X:.*]] = linalg.generic {{.*}}["parallel", "parallel", "reduction"]} ins(%[[P]] : tensor<8x4x6xf32>)
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[P]], %[[X]] : tensor<8x4x6xf32>, tensor<8x4xf32>)
// CHECK: %[[E:.*]] = tensor.expand_shape %[[S]] {{\[\[}}0, 1], [2], [3]] output_shape [1, 8, 4, 6]
// CHECK: return %[[E]]
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#row = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
func.func @main(%x: tensor<8x4x5xf32>, %w: tensor<8x5x6xf32>) -> tensor<1x8x4x6xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<8x4x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x4x6xf32>) -> tensor<8x4x6xf32>
  %m = linalg.batch_matmul ins(%x, %w : tensor<8x4x5xf32>, tensor<8x5x6xf32>) outs(%f : tensor<8x4x6xf32>) -> tensor<8x4x6xf32>
  %v = tensor.expand_shape %m [[0, 1], [2], [3]] output_shape [1, 8, 4, 6] : tensor<8x4x6xf32> into tensor<1x8x4x6xf32>
  %e1 = tensor.empty() : tensor<1x8x4xf32>
  %g = linalg.fill ins(%low : f32) outs(%e1 : tensor<1x8x4xf32>) -> tensor<1x8x4xf32>
  %r = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%v : tensor<1x8x4x6xf32>) outs(%g : tensor<1x8x4xf32>) {
  ^bb0(%a: f32, %z: f32):
    %t = arith.maximumf %a, %z : f32
    linalg.yield %t : f32
  } -> tensor<1x8x4xf32>
  %o = tensor.empty() : tensor<1x8x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%v, %r : tensor<1x8x4x6xf32>, tensor<1x8x4xf32>) outs(%o : tensor<1x8x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %z: f32):
    %t = arith.subf %a, %b : f32
    linalg.yield %t : f32
  } -> tensor<1x8x4x6xf32>
  return %s : tensor<1x8x4x6xf32>
}
