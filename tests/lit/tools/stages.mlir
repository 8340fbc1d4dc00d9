// RUN: ansorc-opt --pipeline='ansorc-schedule{target=haswell}' %s | FileCheck %s --check-prefix=BLOCKED
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=haswell kind=loops}' %s | FileCheck %s --check-prefix=LOOPS
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=haswell},ansorc-bufferize,ansorc-lower{target=haswell},ansorc-emit{target=haswell}' %s | FileCheck %s --check-prefix=LLVM
// RUN: ansorc-opt --pipeline='ansorc-affine,ansorc-lower{target=haswell stage=affine}' %s | FileCheck %s --check-prefix=LLVM
// RUN: ansorc-opt --pipeline='ansorc-affine' %s | FileCheck %s --check-prefix=AFFINE

// A task by hand through the stages that a worker takes it through.
// BLOCKED: arith.addf {{.*}} : vector<
// LOOPS-NOT: vector<
// LOOPS: scf.forall
// LLVM: llvm.func @task_s0(%{{.*}}: !llvm.ptr
// AFFINE: affine.for
func.func @task(%a: tensor<64x64xf32>, %b: tensor<64x64xf32> {ansorc.constant}) -> tensor<64x64xf32> attributes {ansorc.task} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64xf32>) -> tensor<64x64xf32>
  %m = linalg.matmul ins(%a, %b : tensor<64x64xf32>, tensor<64x64xf32>) outs(%f : tensor<64x64xf32>) -> tensor<64x64xf32>
  return %m : tensor<64x64xf32>
}
