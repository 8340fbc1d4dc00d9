// RUN: ansorc-opt --pipeline=ansorc-explicit-copies %s | FileCheck %s

// Two copies into the parts of one destination.
// CHECK-LABEL: func.func @parts
// CHECK: tensor.empty()
// CHECK: %[[E:.*]] = tensor.empty() : tensor<4x5xf32>
// CHECK: %[[P:.*]] = tensor.extract_slice %[[E]][0, 0] [4, 2] [1, 1]
// CHECK: %[[A:.*]] = linalg.copy {{.*}}ins(%arg0 {{.*}} outs(%[[P]]
// CHECK: %[[I:.*]] = tensor.insert_slice %[[A]] into %[[E]][0, 0] [4, 2] [1, 1]
// CHECK: tensor.extract_slice %[[I]][0, 2] [4, 3] [1, 1]
// CHECK: linalg.copy {{.*}}ins(%arg1
// CHECK: tensor.insert_slice {{.*}} into %[[I]][0, 2] [4, 3] [1, 1]
func.func @parts(%a: tensor<4x2xf32>, %b: tensor<4x3xf32>) -> tensor<4x5xf32> {
  %e = tensor.empty() : tensor<4x5xf32>
  %i = tensor.insert_slice %a into %e[0, 0] [4, 2] [1, 1] : tensor<4x2xf32> into tensor<4x5xf32>
  %c = tensor.insert_slice %b into %i[0, 2] [4, 3] [1, 1] : tensor<4x3xf32> into tensor<4x5xf32>
  return %c : tensor<4x5xf32>
}

// What is inserted was computed here: bufferization puts it in its place, there is nothing to copy.
// CHECK-LABEL: func.func @computed
// CHECK-NOT: linalg.copy
// CHECK: tensor.insert_slice
// CHECK: return
func.func @computed(%a: tensor<4xf32>, %o: tensor<8xf32>) -> tensor<8xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %n = linalg.negf ins(%a : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %i = tensor.insert_slice %n into %o[2] [4] [1] : tensor<4xf32> into tensor<8xf32>
  return %i : tensor<8xf32>
}
