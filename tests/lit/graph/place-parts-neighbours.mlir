// RUN: ansorc-opt --pipeline=ansorc-form-tasks %s | FileCheck %s

// Slices along the channels are read of the value between zeros; what its task writes are rows of the whole.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = call @[[MAKER:task_[0-9a-f]+]](%{{.*}}) : (tensor<4x32xf32>) -> tensor<4x32xf32>
// CHECK: %[[Z:.*]] = call @[[ZEROS:task_[0-9a-f]+]]() : () -> tensor<4x2xf32>
// CHECK: %[[W:.*]] = tensor.concat dim(1) %[[A]], %[[Z]]
// CHECK: %[[L:.*]] = tensor.extract_slice %[[W]][0, 0] [4, 32] [1, 1] {ansorc.view}
// CHECK: %[[R:.*]] = tensor.extract_slice %[[W]][0, 2] [4, 32] [1, 1] {ansorc.view}
// CHECK: %[[S:.*]] = call @[[READER:task_[0-9a-f]+]](%[[L]], %[[R]])
// A border of rows is written by whoever makes what it surrounds.
// CHECK: call @task_{{[0-9a-f]+}}(%{{.*}}) : (tensor<4x32xf32>) -> tensor<6x32xf32>
// CHECK-DAG: @[[MAKER]](%{{.*}}) -> (tensor<4x32xf32> {ansorc.pitch = array<i64: 32, 34>})
// CHECK-DAG: @[[ZEROS]]() -> (tensor<4x2xf32> {ansorc.pitch = array<i64: 2, 34>})
// CHECK-DAG: @[[READER]](%{{.*}}: tensor<4x32xf32> {ansorc.pitch = array<i64: 32, 34>}, %{{.*}}: tensor<4x32xf32> {ansorc.pitch = array<i64: 32, 34>})
module attributes {ansorc.stage = "imported"} {
  func.func @main(%x: tensor<4x32xf32>) -> (tensor<4x32xf32>, tensor<4x32xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<4x32xf32>
    %a = linalg.exp ins(%x : tensor<4x32xf32>) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
    %p = tensor.pad %a low[0, 0] high[0, 2] {
    ^bb0(%i: index, %j: index):
      tensor.yield %zero : f32
    } : tensor<4x32xf32> to tensor<4x34xf32>
    %l = tensor.extract_slice %p[0, 0] [4, 32] [1, 1] : tensor<4x34xf32> to tensor<4x32xf32>
    %r = tensor.extract_slice %p[0, 2] [4, 32] [1, 1] : tensor<4x34xf32> to tensor<4x32xf32>
    %s = linalg.add ins(%l, %r : tensor<4x32xf32>, tensor<4x32xf32>) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
    %b = linalg.log ins(%x : tensor<4x32xf32>) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
    %q = tensor.pad %b low[1, 0] high[1, 0] {
    ^bb0(%i: index, %j: index):
      tensor.yield %zero : f32
    } : tensor<4x32xf32> to tensor<6x32xf32>
    %u = tensor.extract_slice %q[0, 0] [4, 32] [1, 1] : tensor<6x32xf32> to tensor<4x32xf32>
    %v = linalg.exp ins(%u : tensor<4x32xf32>) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
    return %s, %v : tensor<4x32xf32>, tensor<4x32xf32>
  }
}
