// RUN: ansorc-opt --pipeline=ansorc-share-borders %s | FileCheck %s

// Rows above and below belong to the first and the last row in the middle, which are numbered from 0.
// CHECK-LABEL: func.func @task
// CHECK: scf.forall (%[[ROW:.*]]) in (12) {
// CHECK: %[[FIRST:.*]] = arith.cmpi eq, %[[ROW]], %c0
// CHECK: scf.if %[[FIRST]] {
// CHECK: memref.subview %arg0[0, 0, 0, 0] [1, 1, 14, 64]
// CHECK: linalg.fill
// CHECK: %[[LAST:.*]] = arith.cmpi eq, %[[ROW]], %c11
// CHECK: scf.if %[[LAST]] {
// CHECK: memref.subview %arg0[0, 13, 0, 0] [1, 1, 14, 64]
// CHECK: linalg.fill
// CHECK: %[[AT:.*]] = arith.addi %[[ROW]], %c1
// CHECK: memref.subview %arg0[0, %[[AT]], 0, 0] [1, 1, 1, 64]
// CHECK: linalg.fill
// CHECK: %[[AGAIN:.*]] = arith.addi %[[ROW]], %c1
// CHECK: memref.subview %arg0[0, %[[AGAIN]], 13, 0] [1, 1, 1, 64]
// CHECK: linalg.fill
// CHECK-NOT: linalg.fill
func.func @task(%y: memref<1x14x14x64xf32>) {
  %zero = arith.constant 0.0 : f32
  %above = memref.subview %y[0, 0, 0, 0] [1, 1, 14, 64] [1, 1, 1, 1] : memref<1x14x14x64xf32> to memref<1x1x14x64xf32, strided<[12544, 896, 64, 1]>>
  linalg.fill ins(%zero : f32) outs(%above : memref<1x1x14x64xf32, strided<[12544, 896, 64, 1]>>)
  %below = memref.subview %y[0, 13, 0, 0] [1, 1, 14, 64] [1, 1, 1, 1] : memref<1x14x14x64xf32> to memref<1x1x14x64xf32, strided<[12544, 896, 64, 1], offset: 11648>>
  linalg.fill ins(%zero : f32) outs(%below : memref<1x1x14x64xf32, strided<[12544, 896, 64, 1], offset: 11648>>)
  %left = memref.subview %y[0, 1, 0, 0] [1, 12, 1, 64] [1, 1, 1, 1] : memref<1x14x14x64xf32> to memref<1x12x1x64xf32, strided<[12544, 896, 64, 1], offset: 896>>
  linalg.fill ins(%zero : f32) outs(%left : memref<1x12x1x64xf32, strided<[12544, 896, 64, 1], offset: 896>>)
  %right = memref.subview %y[0, 1, 13, 0] [1, 12, 1, 64] [1, 1, 1, 1] : memref<1x14x14x64xf32> to memref<1x12x1x64xf32, strided<[12544, 896, 64, 1], offset: 1728>>
  linalg.fill ins(%zero : f32) outs(%right : memref<1x12x1x64xf32, strided<[12544, 896, 64, 1], offset: 1728>>)
  return
}
