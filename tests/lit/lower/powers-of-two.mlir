// RUN: ansorc-opt --pipeline='ansorc-lower{target=skylake-avx512}' %s | FileCheck %s --check-prefix=WIDE
// RUN: ansorc-opt --pipeline='ansorc-lower{target=haswell}' %s | FileCheck %s --check-prefix=NARROW

// One intrinsic for each row of a vector, or two factors.
// WIDE-LABEL: llvm.func @scale
// WIDE-COUNT-2: llvm.call_intrinsic "llvm.ldexp.v16f32.v16i32"
// WIDE-NOT: llvm.shl
// NARROW-LABEL: llvm.func @scale
// NARROW-NOT: ldexp
// NARROW: llvm.ashr
// NARROW-COUNT-2: llvm.fmul
func.func @scale(%x: memref<2x16xf32>, %n: memref<2x16xi32>, %y: memref<2x16xf32>) attributes {ansorc.task} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %none = arith.constant 0 : i32
  %two = arith.constant dense<2.0> : vector<2x16xf32>
  %v = vector.transfer_read %x[%c0, %c0], %zero {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %e = vector.transfer_read %n[%c0, %c0], %none {in_bounds = [true, true]} : memref<2x16xi32>, vector<2x16xi32>
  %p = math.fpowi %two, %e : vector<2x16xf32>, vector<2x16xi32>
  %r = arith.mulf %v, %p : vector<2x16xf32>
  vector.transfer_write %r, %y[%c0, %c0] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}
