// RUN: ansorc-opt --pipeline=ansorc-sections %s | FileCheck %s
// RUN: not ansorc-opt --pipeline=ansorc-sections %S/Inputs/shared-write.mlir 2>&1 | FileCheck %s --check-prefix=WRITTEN

// WRITTEN: two sections need %0 = vector.load %arg1{{.*}}, which reads what a section may write

// What two sections need is computed in each, if it is read from what no section writes.
// CHECK-LABEL: func.func @task_s0
// CHECK: %[[FIRST:.*]] = vector.load %arg0
// CHECK: vector.store %[[FIRST]], %arg1
// CHECK-LABEL: func.func @task_s1
// CHECK-NOT: vector.load
// CHECK: scf.for
// CHECK-LABEL: func.func @task_s2
// CHECK: %[[AGAIN:.*]] = vector.load %arg0
// CHECK: %[[SUM:.*]] = arith.addf %[[AGAIN]], %[[AGAIN]]
// CHECK: vector.store %[[SUM]], %arg1
func.func @task(%x: memref<4xf32> {bufferization.writable = false}, %y: memref<8x4xf32> {bufferization.writable = true}) {
  %c0 = arith.constant 0 : index
  %c7 = arith.constant 7 : index
  %zero = arith.constant 0.0 : f32
  %v = vector.load %x[%c0] : memref<4xf32>, vector<4xf32>
  vector.store %v, %y[%c0, %c0] : memref<8x4xf32>, vector<4xf32>
  scf.forall (%i) in (6) {
    memref.store %zero, %y[%i, %c0] : memref<8x4xf32>
  }
  %w = arith.addf %v, %v : vector<4xf32>
  vector.store %w, %y[%c7, %c0] : memref<8x4xf32>, vector<4xf32>
  return
}
