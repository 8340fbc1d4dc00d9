// RUN: ansorc-opt --split-input-file --pipeline=ansorc-collapse-loops,canonicalize %s | FileCheck %s

// All of an operand is read in order: one loop.
// CHECK-LABEL: func.func @whole(
// CHECK-SAME: %arg0: tensor<12288xf32>) -> tensor<12288xf32>
// CHECK: iterator_types = ["parallel"]
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
func.func @whole(%x: tensor<1x64x64x3xf32>) -> tensor<1x64x64x3xf32> {
  %e = tensor.empty() : tensor<1x64x64x3xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x : tensor<1x64x64x3xf32>) outs(%e : tensor<1x64x64x3xf32>) {
  ^bb0(%a: f32, %o: f32):
    %t = math.tanh %a : f32
    linalg.yield %t : f32
  } -> tensor<1x64x64x3xf32>
  return %y : tensor<1x64x64x3xf32>
}

// -----

// The bias is read by channels: they stay a loop; so does what is read with a gap.
// CHECK-LABEL: func.func @channels(
// CHECK-SAME: %arg0: tensor<4096x3xf32>, %arg1: tensor<3xf32>) -> tensor<4096x3xf32>
// CHECK: iterator_types = ["parallel", "parallel"]
#id = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#channel = affine_map<(d0, d1, d2, d3) -> (d3)>
func.func @channels(%x: tensor<1x64x64x3xf32>, %b: tensor<3xf32>) -> tensor<1x64x64x3xf32> {
  %e = tensor.empty() : tensor<1x64x64x3xf32>
  %y = linalg.generic {indexing_maps = [#id, #channel, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x, %b : tensor<1x64x64x3xf32>, tensor<3xf32>) outs(%e : tensor<1x64x64x3xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<1x64x64x3xf32>
  return %y : tensor<1x64x64x3xf32>
}

// -----

// CHECK-LABEL: func.func @transposed(
// CHECK-SAME: tensor<4x8xf32>, %arg1: tensor<8x4xf32>
#id = affine_map<(d0, d1) -> (d0, d1)>
#t = affine_map<(d0, d1) -> (d1, d0)>
func.func @transposed(%x: tensor<4x8xf32>, %b: tensor<8x4xf32>) -> tensor<4x8xf32> {
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [#id, #t, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %b : tensor<4x8xf32>, tensor<8x4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %t = arith.addf %a, %c : f32
    linalg.yield %t : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
