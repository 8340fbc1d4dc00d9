// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512}' %s | FileCheck %s

// What is read by channels lies 4096 bytes apart and is no weight: a section of its own copies it into panels.
// CHECK: scf.forall (%{{.*}}, %{{.*}}) in ({{[0-9]+, [0-9]+}})
// CHECK: vector.transfer_read
// CHECK: scf.forall
// CHECK: arith.mulf {{.*}} : vector<
func.func @task(%a: tensor<512x1024xf32>, %b: tensor<1024x1024xf32>) -> tensor<512x1024xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<512x1024xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<512x1024xf32>) -> tensor<512x1024xf32>
  %m = linalg.matmul ins(%a, %b : tensor<512x1024xf32>, tensor<1024x1024xf32>) outs(%f : tensor<512x1024xf32>) -> tensor<512x1024xf32>
  return %m : tensor<512x1024xf32>
}
