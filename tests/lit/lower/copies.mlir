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

// Rows that follow each other in both buffers are one.
// CHECK-LABEL: func.func @rows
// CHECK-SAME: %[[A:.*]]: memref<?x28x64xf32, strided<[1792, 64, 1], offset: ?>>, %[[B:.*]]: memref<?x28x64xf32, strided<[1920, 64, 1], offset: ?>>
// CHECK-DAG: %[[FROM:.*]] = memref.collapse_shape %[[A]] {{\[\[}}0], [1, 2]] {{.*}} into memref<?x1792xf32, strided<[1792, 1], offset: ?>>
// CHECK-DAG: %[[TO:.*]] = memref.collapse_shape %[[B]] {{\[\[}}0], [1, 2]] {{.*}} into memref<?x1792xf32, strided<[1920, 1], offset: ?>>
// CHECK: linalg.copy {{.*}}ins(%[[FROM]] : {{.*}}) outs(%[[TO]] : {{.*}})
// CHECK: linalg.fill ins(%{{.*}}) outs(%{{.*}} : memref<?x1792xf32, strided<[1920, 1], offset: ?>>)
func.func @rows(%a: memref<?x28x64xf32, strided<[1792, 64, 1], offset: ?>>, %b: memref<?x28x64xf32, strided<[1920, 64, 1], offset: ?>>, %c: f32) {
  linalg.copy ins(%a : memref<?x28x64xf32, strided<[1792, 64, 1], offset: ?>>) outs(%b : memref<?x28x64xf32, strided<[1920, 64, 1], offset: ?>>)
  linalg.fill ins(%c : f32) outs(%b : memref<?x28x64xf32, strided<[1920, 64, 1], offset: ?>>)
  return
}

// Every second column is no row; a unit dim does not part what it is in.
// CHECK-LABEL: func.func @columns
// CHECK: linalg.fill {{.*}}outs(%arg0 : memref<4x8xf32, strided<[16, 2]>>)
// CHECK: linalg.fill {{.*}}outs(%{{.*}} : memref<3x40xf32, strided<[100, 1]>>)
func.func @columns(%a: memref<4x8xf32, strided<[16, 2]>>, %b: memref<3x5x1x8xf32, strided<[100, 8, 50, 1]>>, %c: f32) {
  linalg.fill ins(%c : f32) outs(%a : memref<4x8xf32, strided<[16, 2]>>)
  linalg.fill ins(%c : f32) outs(%b : memref<3x5x1x8xf32, strided<[100, 8, 50, 1]>>)
  return
}
