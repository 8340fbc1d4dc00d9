// RUN: ansorc-opt --pipeline=ansorc-form-tasks %s | FileCheck %s

// An input is copied into its place; so is a value that lies in another whole already. Rows that lie behind each other
// need no pitch, only an offset. What reads a part reads it where it lies.
// CHECK-LABEL: func.func @main
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>)
// CHECK: %[[A:.*]] = call @[[MADE:task_[0-9a-f]+]](%[[X]])
// CHECK: %[[R:.*]] = call @[[READER:task_[0-9a-f]+]](%[[A]])
// CHECK: %[[XC:.*]] = call @[[COPY:task_[0-9a-f]+]](%[[X]])
// CHECK: %[[C:.*]] = tensor.concat dim(1) %[[XC]], %[[A]]
// CHECK: %[[AC:.*]] = call @[[FLAT:task_[0-9a-f]+]](%[[A]])
// CHECK: %[[D:.*]] = tensor.concat dim(0) %[[R]], %[[AC]]
// CHECK: return %[[C]], %[[D]]
// CHECK-DAG: @[[MADE]]({{.*}}) -> (tensor<4x8xf32> {ansorc.pitch = array<i64: 8, 16>})
// CHECK-DAG: @[[READER]](%{{.*}}: tensor<4x8xf32> {ansorc.pitch = array<i64: 8, 16>}) -> tensor<4x8xf32>
// CHECK-DAG: @[[COPY]](%{{.*}}: tensor<4x8xf32>) -> (tensor<4x8xf32> {ansorc.pitch = array<i64: 8, 16>})
// CHECK-DAG: @[[FLAT]](%{{.*}}: tensor<4x8xf32> {ansorc.pitch = array<i64: 8, 16>}) -> tensor<4x8xf32>
module attributes {ansorc.stage = "imported"} {
  func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<8x8xf32>) {
    %e = tensor.empty() : tensor<4x8xf32>
    %a = linalg.exp ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    %r = linalg.negf ins(%a : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    %c = tensor.concat dim(1) %x, %a : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x16xf32>
    %d = tensor.concat dim(0) %r, %a : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<8x8xf32>
    return %c, %d : tensor<4x16xf32>, tensor<8x8xf32>
  }
}
