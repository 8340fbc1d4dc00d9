// RUN: %ansorc %s --target x86-64-v3 --emit scheduled -o - | FileCheck %s
// RUN: %ansorc %s --target x86-64 --emit scheduled -o - | FileCheck %s --check-prefix=SSE

// AVX2: 12 accumulators of 8 lanes (6 rows, 2 vectors) live through the reduction; the activation is applied to them
// before the only store; the four rows that are left over are a vector loop, too.
// CHECK: \22kind\22: \22register-tile\22
// CHECK: scf.for {{.*}} -> (vector<6x2x8xf32>)
// CHECK: arith.mulf {{.*}} fastmath<contract> : vector<6x2x8xf32>
// CHECK: arith.addf {{.*}} fastmath<contract> : vector<6x2x8xf32>
// CHECK: arith.maximumf {{.*}} : vector<6x2x8xf32>
// CHECK-NEXT: vector.transfer_write
// CHECK: scf.for {{.*}} -> (vector<4x2x8xf32>)
// SSE: -> (vector<{{[0-9]+}}x{{[0-9]+}}x4xf32>)
#map = affine_map<(d0, d1) -> (d0, d1)>
module attributes {ansorc.model = "mm", ansorc.signature = "{\22name\22: \22mm\22, \22inputs\22: [[\22a\22, \22float32\22, [28, 64]], [\22b\22, \22float32\22, [64, 32]]], \22outputs\22: [[\22y\22, \22float32\22, [28, 32]]]}", ansorc.stage = "linalg"} {
  func.func @main(%arg0: tensor<28x64xf32> {ansorc.name = "a"}, %arg1: tensor<64x32xf32> {ansorc.name = "b"}) -> (tensor<28x32xf32> {ansorc.name = "y"}) {
    %0 = call @task_6d1cd8f51e76a14f(%arg0, %arg1) : (tensor<28x64xf32>, tensor<64x32xf32>) -> tensor<28x32xf32>
    return %0 : tensor<28x32xf32>
  }
  func.func private @task_6d1cd8f51e76a14f(%arg0: tensor<28x64xf32>, %arg1: tensor<64x32xf32>) -> tensor<28x32xf32> attributes {ansorc.node = "MatMul:m", ansorc.task, ansorc.weight = 1 : i64} {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = tensor.empty() : tensor<28x32xf32>
    %1 = linalg.fill ins(%cst : f32) outs(%0 : tensor<28x32xf32>) -> tensor<28x32xf32>
    %2 = linalg.matmul ins(%arg0, %arg1 : tensor<28x64xf32>, tensor<64x32xf32>) outs(%1 : tensor<28x32xf32>) -> tensor<28x32xf32>
    %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%2 : tensor<28x32xf32>) outs(%0 : tensor<28x32xf32>) {
    ^bb0(%in: f32, %out: f32):
      %4 = arith.maximumf %in, %cst : f32
      linalg.yield %4 : f32
    } -> tensor<28x32xf32>
    return %3 : tensor<28x32xf32>
  }
}

