// RUN: ansorc-opt --pipeline=ansorc-settle-transposes %s | FileCheck %s

// The border is written around the transposed tensor, not before.
// CHECK-LABEL: func.func @main
// CHECK: %[[T:.*]] = linalg.transpose ins(%arg0 : tensor<3x5x7xf32>) {{.*}} permutation = [1, 2, 0]
// CHECK: %[[P:.*]] = tensor.pad %[[T]] low[1, 0, 0] high[2, 0, 0]
// Two transposes around a collapse_shape are one: 4x6 channels become 6x4.
// CHECK: %[[S:.*]] = linalg.transpose ins(%arg1 : tensor<9x4x6xf32>) {{.*}} permutation = [0, 2, 1]
// CHECK: %[[C:.*]] = tensor.collapse_shape %[[S]] {{\[\[}}0], [1, 2]{{\]}} : tensor<9x6x4xf32> into tensor<9x24xf32>
// CHECK: return %[[P]], %[[C]]
module {
  func.func @main(%x: tensor<3x5x7xf32>, %y: tensor<9x4x6xf32>) -> (tensor<8x7x3xf32>, tensor<9x24xf32>) {
    %zero = arith.constant 0.0 : f32
    %p = tensor.pad %x low[0, 1, 0] high[0, 2, 0] {
    ^bb0(%i: index, %j: index, %k: index):
      tensor.yield %zero : f32
    } : tensor<3x5x7xf32> to tensor<3x8x7xf32>
    %e = tensor.empty() : tensor<8x7x3xf32>
    %t = linalg.transpose ins(%p : tensor<3x8x7xf32>) outs(%e : tensor<8x7x3xf32>) permutation = [1, 2, 0]
    %f = tensor.empty() : tensor<6x4x9xf32>
    %u = linalg.transpose ins(%y : tensor<9x4x6xf32>) outs(%f : tensor<6x4x9xf32>) permutation = [2, 1, 0]
    %c = tensor.collapse_shape %u [[0, 1], [2]] : tensor<6x4x9xf32> into tensor<24x9xf32>
    %g = tensor.empty() : tensor<9x24xf32>
    %s = linalg.transpose ins(%c : tensor<24x9xf32>) outs(%g : tensor<9x24xf32>) permutation = [1, 0]
    return %t, %s : tensor<8x7x3xf32>, tensor<9x24xf32>
  }
}
