// RUN: ansorc-opt --pipeline=ansorc-sections %s | FileCheck %s

// A fill, a loop over 4 x 8 chunks, and a buffer between them which becomes an argument.
// CHECK-DAG: #[[COLUMN:.*]] = affine_map<(d0) -> (d0 mod 8)>
// CHECK-DAG: #[[ROW:.*]] = affine_map<(d0) -> (d0 floordiv 8)>
// CHECK-LABEL: func.func @task_s0
// CHECK-SAME: memref<4x8xf32>, %{{.*}}: memref<4x8xf32>, %{{.*}}: memref<4x8xf32>, %{{.*}}: index, %{{.*}}: index)
// CHECK-NOT: memref.alloc
// CHECK: linalg.fill
// CHECK-LABEL: func.func @task_s1
// CHECK-NOT: linalg.fill
// CHECK: scf.for
// CHECK: affine.apply #[[COLUMN]]
// CHECK: affine.apply #[[ROW]]
// CHECK: memref.store
// CHECK-NOT: scf.forall
func.func @task(%x: memref<4x8xf32>, %y: memref<4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %t = memref.alloc() : memref<4x8xf32>
  linalg.fill ins(%zero : f32) outs(%t : memref<4x8xf32>)
  scf.forall (%i, %j) in (4, 8) {
    %a = memref.load %x[%i, %j] : memref<4x8xf32>
    %b = memref.load %t[%i, %j] : memref<4x8xf32>
    %s = arith.addf %a, %b : f32
    memref.store %s, %y[%i, %j] : memref<4x8xf32>
  }
  return
}
