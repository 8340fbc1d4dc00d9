// RUN: %ansorc %s --target x86-64-v3 --emit scheduled -o - | FileCheck %s

// What has neither channels nor rows to work on: plain loops into the destination.
// CHECK: \22kind\22: \22loops\22
// CHECK: %arg1: tensor<5x3xf32> {bufferization.writable = true}
// CHECK: linalg.generic {{.*}} outs(%arg1
module attributes {ansorc.model = "tr", ansorc.signature = "{\22name\22: \22tr\22, \22inputs\22: [[\22a\22, \22float32\22, [3, 5]]], \22outputs\22: [[\22y\22, \22float32\22, [5, 3]]]}", ansorc.stage = "linalg"} {
  func.func @main(%arg0: tensor<3x5xf32> {ansorc.name = "a"}) -> (tensor<5x3xf32> {ansorc.name = "y"}) {
    %0 = call @task_9bad9dcf1e998080(%arg0) : (tensor<3x5xf32>) -> tensor<5x3xf32>
    return %0 : tensor<5x3xf32>
  }
  func.func private @task_9bad9dcf1e998080(%arg0: tensor<3x5xf32>) -> tensor<5x3xf32> attributes {ansorc.node = "Transpose:y", ansorc.task, ansorc.weight = 1 : i64} {
    %0 = tensor.empty() : tensor<5x3xf32>
    %transposed = linalg.transpose ins(%arg0 : tensor<3x5xf32>) outs(%0 : tensor<5x3xf32>) permutation = [1, 0] 
    return %transposed : tensor<5x3xf32>
  }
}

