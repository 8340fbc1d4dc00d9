// RUN: ansorc-opt --pipeline=ansorc-share-borders %s | FileCheck %s

// A few elements, a whole buffer, every other row, and borders that are no longer than a row stay with one thread.
// CHECK-NOT: scf.forall
// CHECK: linalg.fill
// CHECK-NOT: scf.forall
// CHECK: linalg.fill
// CHECK-NOT: scf.forall
// CHECK: linalg.fill
// CHECK-NOT: scf.forall
// CHECK: linalg.fill
// CHECK-NOT: scf.forall
// CHECK: linalg.fill
// CHECK-NOT: scf.forall
func.func @task(%few: memref<14x14xf32>, %whole: memref<64x64xf32>, %row: memref<1x1x4096xf32>) {
  %zero = arith.constant 0.0 : f32
  %left = memref.subview %few[1, 0] [12, 1] [1, 1] : memref<14x14xf32> to memref<12x1xf32, strided<[14, 1], offset: 14>>
  linalg.fill ins(%zero : f32) outs(%left : memref<12x1xf32, strided<[14, 1], offset: 14>>)
  %right = memref.subview %few[1, 13] [12, 1] [1, 1] : memref<14x14xf32> to memref<12x1xf32, strided<[14, 1], offset: 27>>
  linalg.fill ins(%zero : f32) outs(%right : memref<12x1xf32, strided<[14, 1], offset: 27>>)
  linalg.fill ins(%zero : f32) outs(%whole : memref<64x64xf32>)
  %every = memref.subview %whole[0, 0] [32, 64] [2, 1] : memref<64x64xf32> to memref<32x64xf32, strided<[128, 1]>>
  linalg.fill ins(%zero : f32) outs(%every : memref<32x64xf32, strided<[128, 1]>>)
  %e = memref.expand_shape %row [[0], [1], [2, 3]] output_shape [1, 1, 2, 2048] : memref<1x1x4096xf32> into memref<1x1x2x2048xf32>
  %half = memref.subview %e[0, 0, 1, 0] [1, 1, 1, 2048] [1, 1, 1, 1] : memref<1x1x2x2048xf32> to memref<1x1x1x2048xf32, strided<[4096, 4096, 2048, 1], offset: 2048>>
  linalg.fill ins(%zero : f32) outs(%half : memref<1x1x1x2048xf32, strided<[4096, 4096, 2048, 1], offset: 2048>>)
  return
}
