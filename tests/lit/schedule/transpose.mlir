// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=transpose}' %s | FileCheck %s
// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=transpose},ansorc-bufferize,ansorc-lower{target=skylake-avx512}' %s | FileCheck %s --check-prefix=LLVM

// Blocks of 16 x 16 elements, and what is left over of 33 rows.
// CHECK: vector.transfer_read {{.*}} vector<16x16xf32>
// CHECK: vector.transpose {{.*}} vector<16x16xf32> to vector<16x16xf32>
// LLVM: llvm.shufflevector
func.func @task(%x: tensor<33x48xf32>) -> tensor<48x33xf32> attributes {ansorc.task} {
  %e = tensor.empty() : tensor<48x33xf32>
  %t = linalg.transpose ins(%x : tensor<33x48xf32>) outs(%e : tensor<48x33xf32>) permutation = [1, 0]
  return %t : tensor<48x33xf32>
}
