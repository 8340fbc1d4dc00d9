// RUN: ansorc-opt --pipeline=ansorc-form-tasks %s | FileCheck %s

// What reads a piece reads rows of the whole; the first rows of a value need no pitch. A result is no piece of another.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = call @
// CHECK: %[[B:.*]] = tensor.extract_slice %[[A]][0, 8] [4, 24] [1, 1] {ansorc.view}
// CHECK: %[[R:.*]] = call @[[COLUMNS:task_[0-9a-f]+]](%[[B]])
// CHECK: %[[C:.*]] = tensor.extract_slice %[[A]][1, 0] [2, 32] [1, 1] {ansorc.view}
// CHECK: %[[S:.*]] = call @[[ROWS:task_[0-9a-f]+]](%[[C]])
// CHECK: %[[T:.*]] = call @task_{{[0-9a-f]+}}(%[[A]]) : (tensor<4x32xf32>) -> tensor<1x32xf32>
// CHECK: return %[[R]], %[[S]], %[[T]]
// CHECK-DAG: @[[COLUMNS]](%{{.*}}: tensor<4x24xf32> {ansorc.pitch = array<i64: 24, 32>}) -> tensor<24x4xf32>
// CHECK-DAG: @[[ROWS]](%{{[a-z0-9]*}}: tensor<2x32xf32>) -> tensor<32x2xf32>
module attributes {ansorc.stage = "imported"} {
  func.func @main(%x: tensor<4x32xf32>) -> (tensor<24x4xf32>, tensor<32x2xf32>, tensor<1x32xf32>) {
    %e = tensor.empty() : tensor<4x32xf32>
    %a = linalg.exp ins(%x : tensor<4x32xf32>) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
    %b = tensor.extract_slice %a[0, 8] [4, 24] [1, 1] : tensor<4x32xf32> to tensor<4x24xf32>
    %f = tensor.empty() : tensor<24x4xf32>
    %r = linalg.transpose ins(%b : tensor<4x24xf32>) outs(%f : tensor<24x4xf32>) permutation = [1, 0]
    %c = tensor.extract_slice %a[1, 0] [2, 32] [1, 1] : tensor<4x32xf32> to tensor<2x32xf32>
    %g = tensor.empty() : tensor<32x2xf32>
    %s = linalg.transpose ins(%c : tensor<2x32xf32>) outs(%g : tensor<32x2xf32>) permutation = [1, 0]
    %t = tensor.extract_slice %a[3, 0] [1, 32] [1, 1] : tensor<4x32xf32> to tensor<1x32xf32>
    return %r, %s, %t : tensor<24x4xf32>, tensor<32x2xf32>, tensor<1x32xf32>
  }
}
