// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=strassen}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=strassen},ansorc-bufferize,ansorc-lower{target=skylake-avx512},ansorc-emit{target=skylake-avx512}' %s | FileCheck %s --check-prefix=LLVM

// 64x64 by 64x64: seven products of half the channels for each of 32 pairs of rows. Sums of inputs and of products are
// additions of whole vectors, and the epilogue is applied to a pair's four vectors in registers.
// CHECK: \22kind\22: \22strassen\22{{.*}}\22strassen\22: true
// CHECK: tensor<7x{{.*}}xf32> {ansorc.constant
// CHECK-NOT: linalg.
// CHECK: scf.forall
// CHECK: arith.addf {{.*}} : vector<16xf32>
// CHECK: arith.subf {{.*}} : vector<16xf32>
// CHECK: arith.mulf {{.*}} : vector<8x16xf32>
// CHECK: arith.maximumf {{.*}} : vector<2x2x16xf32>
// CHECK-NOT: linalg.
// LLVM: llvm.func @task_s0(
#m0 = affine_map<(d0, d1) -> (d0, d1)>
#x = affine_map<(d0, d1, d2) -> (d0, d2)>
#w = affine_map<(d0, d1, d2) -> (d2, d1)>
#y = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func @task(%x: tensor<64x64xf32>, %w: tensor<64x64xf32> {ansorc.constant}) -> tensor<64x64xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64xf32>) -> tensor<64x64xf32>
  %c = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%x, %w : tensor<64x64xf32>, tensor<64x64xf32>) outs(%f : tensor<64x64xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<64x64xf32>
  %r = linalg.generic {indexing_maps = [#m0, #m0], iterator_types = ["parallel", "parallel"]} ins(%c : tensor<64x64xf32>) outs(%e : tensor<64x64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.maximumf %a, %zero : f32
    linalg.yield %m : f32
  } -> tensor<64x64xf32>
  return %r : tensor<64x64xf32>
}
