// RUN: ansorc-opt --pipeline=ansorc-form-tasks %s | FileCheck %s

// Each task writes its part in the rows of the whole, and a border with it.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = call @[[RELU:task_[0-9a-f]+]](%arg0) : (tensor<1x4x4x8xf32>) -> tensor<1x6x6x8xf32>
// CHECK: %[[B:.*]] = call @[[NEGATED:task_[0-9a-f]+]](%arg1) : (tensor<1x4x4x24xf32>) -> tensor<1x6x6x24xf32>
// CHECK: %[[C:.*]] = tensor.concat dim(3) %[[A]], %[[B]]
// CHECK: return %[[C]]
// CHECK: func.func private @[[RELU]]({{.*}}) -> (tensor<1x6x6x8xf32> {ansorc.pitch = array<i64: 8, 32>})
// CHECK: func.func private @[[NEGATED]]({{.*}}) -> (tensor<1x6x6x24xf32> {ansorc.pitch = array<i64: 24, 32>})
module attributes {ansorc.stage = "imported"} {
  func.func @main(%x: tensor<1x4x4x8xf32>, %y: tensor<1x4x4x24xf32>) -> tensor<1x6x6x32xf32> {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<1x4x4x8xf32>
    %a = linalg.exp ins(%x : tensor<1x4x4x8xf32>) outs(%e : tensor<1x4x4x8xf32>) -> tensor<1x4x4x8xf32>
    %f = tensor.empty() : tensor<1x4x4x24xf32>
    %b = linalg.negf ins(%y : tensor<1x4x4x24xf32>) outs(%f : tensor<1x4x4x24xf32>) -> tensor<1x4x4x24xf32>
    %c = tensor.concat dim(3) %a, %b : (tensor<1x4x4x8xf32>, tensor<1x4x4x24xf32>) -> tensor<1x4x4x32xf32>
    %p = tensor.pad %c low[0, 1, 1, 0] high[0, 1, 1, 0] {
    ^bb0(%i: index, %j: index, %k: index, %l: index):
      tensor.yield %zero : f32
    } : tensor<1x4x4x32xf32> to tensor<1x6x6x32xf32>
    return %p : tensor<1x6x6x32xf32>
  }
}
