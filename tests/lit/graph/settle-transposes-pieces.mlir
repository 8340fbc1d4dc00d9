// RUN: ansorc-opt --pipeline=ansorc-settle-transposes %s | FileCheck %s

// Pieces that overlap are cut from what is transposed once; one small piece is transposed by itself.
// CHECK-LABEL: func.func @main
// CHECK: %[[W:.*]] = linalg.transpose ins(%arg0 : tensor<3x6x6xf32>) {{.*}} permutation = [1, 2, 0]
// CHECK: %[[A:.*]] = tensor.extract_slice %[[W]][0, 0, 0] [5, 5, 3] [1, 1, 1]
// CHECK: %[[B:.*]] = tensor.extract_slice %[[W]][0, 1, 0] [5, 5, 3] [1, 1, 1]
// CHECK: %[[S:.*]] = tensor.extract_slice %arg1[0, 1, 2] [3, 2, 2]
// CHECK: %[[C:.*]] = linalg.transpose ins(%[[S]] : tensor<3x2x2xf32>)
// CHECK: return %[[A]], %[[B]], %[[C]]
module {
  func.func @main(%x: tensor<3x6x6xf32>, %y: tensor<3x6x6xf32>) -> (tensor<5x5x3xf32>, tensor<5x5x3xf32>, tensor<2x2x3xf32>) {
    %a = tensor.extract_slice %x[0, 0, 0] [3, 5, 5] [1, 1, 1] : tensor<3x6x6xf32> to tensor<3x5x5xf32>
    %b = tensor.extract_slice %x[0, 0, 1] [3, 5, 5] [1, 1, 1] : tensor<3x6x6xf32> to tensor<3x5x5xf32>
    %s = tensor.extract_slice %y[0, 1, 2] [3, 2, 2] [1, 1, 1] : tensor<3x6x6xf32> to tensor<3x2x2xf32>
    %e = tensor.empty() : tensor<5x5x3xf32>
    %t = linalg.transpose ins(%a : tensor<3x5x5xf32>) outs(%e : tensor<5x5x3xf32>) permutation = [1, 2, 0]
    %u = linalg.transpose ins(%b : tensor<3x5x5xf32>) outs(%e : tensor<5x5x3xf32>) permutation = [1, 2, 0]
    %f = tensor.empty() : tensor<2x2x3xf32>
    %v = linalg.transpose ins(%s : tensor<3x2x2xf32>) outs(%f : tensor<2x2x3xf32>) permutation = [1, 2, 0]
    return %t, %u, %v : tensor<5x5x3xf32>, tensor<5x5x3xf32>, tensor<2x2x3xf32>
  }
}
