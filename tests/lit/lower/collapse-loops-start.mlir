// RUN: ansorc-opt --pipeline='func.func(linalg-generalize-named-ops),ansorc-collapse-loops' %s | FileCheck %s

// A sum of one step reads what it starts from: its loops stay, and so does the fill.
// CHECK-LABEL: func.func @task
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<4x3xf32>)
// CHECK: linalg.generic {{.*}} ins(%arg0 : tensor<4x3xf32>) outs({{.*}} : tensor<4x3xf32>)
// CHECK: arith.addf %out, %in
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @task(%x: tensor<4x3xf32>) -> tensor<4x3xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x3xf32>) -> tensor<4x3xf32>
  %s = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x3xf32>) outs(%f : tensor<4x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %t = arith.addf %out, %in : f32
    linalg.yield %t : f32
  } -> tensor<4x3xf32>
  return %s : tensor<4x3xf32>
}
