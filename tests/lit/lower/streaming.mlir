// RUN: ansorc-opt --pipeline='ansorc-bufferize,ansorc-lower{target=skylake-avx512}' %s | FileCheck %s

// A result that is marked is written past the caches where its memory is aligned; a caller's may not be.
// CHECK-LABEL: llvm.func internal @task_s0_plain(
// CHECK-NOT: nontemporal
// CHECK-LABEL: llvm.func internal @task_s0_streamed(
// CHECK: llvm.store {{.*}} {alignment = 64 : i64, nontemporal} : vector<16xf32>
// CHECK-LABEL: llvm.func @task_s0(
// CHECK: llvm.ptrtoint %arg1
// CHECK: llvm.call @task_s0_streamed(
// CHECK: "llvm.x86.sse.sfence"
// CHECK: llvm.call @task_s0_plain(
func.func @task(%x: tensor<64xf32> {bufferization.writable = false}, %y: tensor<64xf32> {bufferization.writable = true}) -> tensor<64xf32> attributes {ansorc.task, ansorc.stream} {
  %c0 = arith.constant 0 : index
  %p = arith.constant 0.0 : f32
  %r = scf.forall (%i) in (4) shared_outs(%o = %y) -> (tensor<64xf32>) {
    %at = affine.apply affine_map<(i) -> (i * 16)>(%i)
    %from = tensor.extract_slice %x[%at] [16] [1] : tensor<64xf32> to tensor<16xf32>
    %to = tensor.extract_slice %o[%at] [16] [1] : tensor<64xf32> to tensor<16xf32>
    %v = vector.transfer_read %from[%c0], %p {in_bounds = [true]} : tensor<16xf32>, vector<16xf32>
    %s = arith.addf %v, %v : vector<16xf32>
    %w = vector.transfer_write %s, %to[%c0] {in_bounds = [true]} : vector<16xf32>, tensor<16xf32>
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %w into %o[%at] [16] [1] : tensor<16xf32> into tensor<64xf32>
    }
  }
  return %r : tensor<64xf32>
}
