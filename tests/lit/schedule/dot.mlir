// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=dot}' %s | FileCheck %s

// One row against keys that lie row by row: sums of 16 lanes, each of them added up once.
// CHECK-LABEL: func.func @scores
// CHECK-SAME: tensor<4x100x16x16xf32>
// CHECK: scf.for {{.*}} -> (vector<{{.*}}x16xf32>)
// CHECK: arith.mulf %{{.*}} fastmath<contract> : vector<{{.*}}x16xf32>
// CHECK: vector.reduction <add>, %{{.*}} : vector<16xf32> into f32
func.func @scores(%q: tensor<4x256xf32>, %k: tensor<4x100x256xf32>) -> tensor<4x100xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x100xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x100xf32>) -> tensor<4x100xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(b, n, k) -> (b, k)>, affine_map<(b, n, k) -> (b, n, k)>,
                                        affine_map<(b, n, k) -> (b, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<4x256xf32>, tensor<4x100x256xf32>) outs(%f : tensor<4x100xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %m = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<4x100xf32>
  return %r : tensor<4x100xf32>
}
