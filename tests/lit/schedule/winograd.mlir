// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=winograd}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=winograd},ansorc-bufferize,ansorc-lower{target=skylake-avx512},ansorc-emit{target=skylake-avx512}' %s | FileCheck %s --check-prefix=LLVM
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=winograd},ansorc-bufferize' %s | FileCheck %s --check-prefix=BUFFERS

// F(2x2, 3x3) of 12x12 pixels: 36 tiles, 16 products for each; a transform is additions of whole vectors, and the
// epilogue is applied to a tile of results in registers.
// CHECK: \22kind\22: \22winograd\22{{.*}}\22winograd\22: 2
// CHECK: tensor<4x4x{{.*}}xf32> {ansorc.constant
// CHECK-NOT: linalg.
// CHECK: scf.forall
// CHECK: vector.transfer_read {{.*}}, vector<{{.*}}4x4{{.*}}16xf32>
// CHECK: arith.subf {{.*}} : vector<16xf32>
// CHECK: arith.maximumf {{.*}} : vector<2x2x16xf32>
// CHECK-NOT: linalg.
// LLVM: llvm.func @task_s0(
// What a transform makes is written where it is read next: no zeros before it, no copy behind it.
// BUFFERS-LABEL: func.func @task(
// BUFFERS-NOT: linalg.
#m0 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#x = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d1 + d4, d2 + d5, d6)>
#w = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d4, d5, d6, d3)>
#y = affine_map<(d0, d1, d2, d3, d4, d5, d6) -> (d0, d1, d2, d3)>
func.func @task(%x: tensor<1x14x14x32xf32>, %w: tensor<3x3x32x32xf32> {ansorc.constant}) -> tensor<1x12x12x32xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x12x12x32xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x12x12x32xf32>) -> tensor<1x12x12x32xf32>
  %c = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
    ins(%x, %w : tensor<1x14x14x32xf32>, tensor<3x3x32x32xf32>) outs(%f : tensor<1x12x12x32xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<1x12x12x32xf32>
  %r = linalg.generic {indexing_maps = [#m0, #m0], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%c : tensor<1x12x12x32xf32>) outs(%e : tensor<1x12x12x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.maximumf %a, %zero : f32
    linalg.yield %m : f32
  } -> tensor<1x12x12x32xf32>
  return %r : tensor<1x12x12x32xf32>
}
