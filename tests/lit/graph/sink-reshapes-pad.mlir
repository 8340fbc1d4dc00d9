// RUN: ansorc-opt --pipeline=ansorc-sink-reshapes,canonicalize %s | FileCheck %s

// A border around the image is written by the grouped convolution; one between channels would split a group.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = math.exp %arg0
// CHECK: %[[P:.*]] = tensor.pad %[[A]] low[0, 1, 1, 0, 0] high[0, 1, 1, 0, 0]
// CHECK: %[[C:.*]] = tensor.collapse_shape %[[P]] {{.*}} : tensor<1x6x6x2x3xf32> into tensor<1x6x6x6xf32>
// CHECK: %[[D:.*]] = tensor.collapse_shape
// CHECK: %[[Q:.*]] = tensor.pad %[[D]]
// CHECK: return %[[C]], %[[Q]]
func.func @main(%x: tensor<1x4x4x2x3xf32>, %y: tensor<1x4x4x2x3xf32>) -> (tensor<1x6x6x6xf32>, tensor<1x4x4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %a = math.exp %x : tensor<1x4x4x2x3xf32>
  %c = tensor.collapse_shape %a [[0], [1], [2], [3, 4]] : tensor<1x4x4x2x3xf32> into tensor<1x4x4x6xf32>
  %p = tensor.pad %c low[0, 1, 1, 0] high[0, 1, 1, 0] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x4x4x6xf32> to tensor<1x6x6x6xf32>
  %b = math.exp %y : tensor<1x4x4x2x3xf32>
  %d = tensor.collapse_shape %b [[0], [1], [2], [3, 4]] : tensor<1x4x4x2x3xf32> into tensor<1x4x4x6xf32>
  %q = tensor.pad %d low[0, 0, 0, 1] high[0, 0, 0, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x4x4x6xf32> to tensor<1x4x4x8xf32>
  return %p, %q : tensor<1x6x6x6xf32>, tensor<1x4x4x8xf32>
}
