// RUN: %ansorc %s --target x86-64-v3 --emit scheduled -o - | FileCheck %s

// Each chunk is one row: maximum, exponential, sum and quotient stay in the cache, in buffers of one row.
// CHECK: \22kind\22: \22rows\22
// CHECK: scf.forall (%{{.*}}) in (16)
// CHECK: arith.maximumf {{.*}} : f32
// CHECK: arith.addf {{.*}} fastmath<reassoc,contract>
// CHECK: arith.divf
// CHECK: } -> tensor<1x48xf32>
// CHECK: scf.forall.in_parallel
// CHECK-NOT: scf.forall
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
module attributes {ansorc.model = "sm", ansorc.signature = "{\22name\22: \22sm\22, \22inputs\22: [[\22a\22, \22float32\22, [16, 48]]], \22outputs\22: [[\22y\22, \22float32\22, [16, 48]]]}", ansorc.stage = "linalg"} {
  func.func @main(%arg0: tensor<16x48xf32> {ansorc.name = "a"}) -> (tensor<16x48xf32> {ansorc.name = "y"}) {
    %0 = call @task_2a9d05a9f294e6da(%arg0) : (tensor<16x48xf32>) -> tensor<16x48xf32>
    return %0 : tensor<16x48xf32>
  }
  func.func private @task_2a9d05a9f294e6da(%arg0: tensor<16x48xf32>) -> tensor<16x48xf32> attributes {ansorc.node = "Softmax:y", ansorc.task, ansorc.weight = 1 : i64} {
    %cst = arith.constant 0xFF800000 : f32
    %0 = tensor.empty() : tensor<16xf32>
    %1 = linalg.fill ins(%cst : f32) outs(%0 : tensor<16xf32>) -> tensor<16xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0 : tensor<16x48xf32>) outs(%1 : tensor<16xf32>) {
    ^bb0(%in: f32, %out: f32):
      %8 = arith.maximumf %out, %in : f32
      linalg.yield %8 : f32
    } -> tensor<16xf32>
    %3 = tensor.empty() : tensor<16x48xf32>
    %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %2 : tensor<16x48xf32>, tensor<16xf32>) outs(%3 : tensor<16x48xf32>) {
    ^bb0(%in: f32, %in_1: f32, %out: f32):
      %8 = arith.subf %in, %in_1 : f32
      %9 = math.exp %8 : f32
      linalg.yield %9 : f32
    } -> tensor<16x48xf32>
    %cst_0 = arith.constant 0.000000e+00 : f32
    %5 = linalg.fill ins(%cst_0 : f32) outs(%0 : tensor<16xf32>) -> tensor<16xf32>
    %6 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%4 : tensor<16x48xf32>) outs(%5 : tensor<16xf32>) {
    ^bb0(%in: f32, %out: f32):
      %8 = arith.addf %out, %in : f32
      linalg.yield %8 : f32
    } -> tensor<16xf32>
    %7 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%4, %6 : tensor<16x48xf32>, tensor<16xf32>) outs(%3 : tensor<16x48xf32>) {
    ^bb0(%in: f32, %in_1: f32, %out: f32):
      %8 = arith.divf %in, %in_1 : f32
      linalg.yield %8 : f32
    } -> tensor<16x48xf32>
    return %7 : tensor<16x48xf32>
  }
}

