// RUN: ansorc-opt --pipeline=ansorc-copies %s | FileCheck %s

// What is short and lies in one row of memory is a vector; buffers are joined to that row.
// CHECK-LABEL: func.func @row
// CHECK-NOT: memref.copy
// CHECK: %[[A:.*]] = memref.collapse_shape %arg0 {{.*}} : memref<4x8xf32> into memref<32xf32>
// CHECK: %[[B:.*]] = memref.collapse_shape %arg1 {{.*}} into memref<32xf32, strided<[1], offset: ?>>
// CHECK: %[[V:.*]] = vector.transfer_read %[[A]]
// CHECK: vector.transfer_write %[[V]], %[[B]]
func.func @row(%a: memref<4x8xf32>, %b: memref<4x8xf32, strided<[8, 1], offset: ?>>) {
  memref.copy %a, %b : memref<4x8xf32> to memref<4x8xf32, strided<[8, 1], offset: ?>>
  return
}

// CHECK-LABEL: func.func @apart
// CHECK: linalg.copy {{.*}}ins(%arg0 : memref<4x8xf32>)
func.func @apart(%a: memref<4x8xf32>, %b: memref<4x8xf32, strided<[16, 1]>>) {
  memref.copy %a, %b : memref<4x8xf32> to memref<4x8xf32, strided<[16, 1]>>
  return
}

// CHECK-LABEL: func.func @large
// CHECK: linalg.copy {{.*}}ins(%arg0 : memref<512xf32>)
func.func @large(%a: memref<512xf32>, %b: memref<512xf32>) {
  memref.copy %a, %b : memref<512xf32> to memref<512xf32>
  return
}
