// RUN: ansorc-opt --pipeline=ansorc-prefetch %s | FileCheck %s

// Of two weights the marked one is fetched 512 elements ahead, through views of it; nothing else is.
// CHECK-LABEL: func.func @task
// CHECK: %[[PANEL:.*]] = memref.subview %arg0
// CHECK: vector.load %[[PANEL]][%[[V:[a-z0-9]+]], %[[L:[a-z0-9]+]]]
// CHECK: vector.store
// CHECK: %[[AHEAD:.*]] = arith.addi %[[L]], %{{.*}} : index
// CHECK: memref.prefetch %[[PANEL]][%[[V]], %[[AHEAD]]], read, locality<3>, data
// CHECK-NOT: memref.prefetch
func.func @task(%w: memref<4x8x2x16xf32> {ansorc.constant, ansorc.prefetch = 512 : i64},
                %b: memref<4x2x16xf32> {ansorc.constant}, %y: memref<2x16xf32>, %k: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %panel = memref.subview %w[%k, %k, 0, 0] [1, 1, 2, 16] [1, 1, 1, 1] : memref<4x8x2x16xf32> to memref<2x16xf32, strided<[16, 1], offset: ?>>
  %x = vector.load %panel[%c1, %c0] : memref<2x16xf32, strided<[16, 1], offset: ?>>, vector<16xf32>
  %z = vector.load %b[%k, %c1, %c0] : memref<4x2x16xf32>, vector<16xf32>
  %s = arith.addf %x, %z : vector<16xf32>
  vector.store %s, %y[%c1, %c0] : memref<2x16xf32>, vector<16xf32>
  return
}
