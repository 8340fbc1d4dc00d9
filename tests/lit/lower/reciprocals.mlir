// RUN: ansorc-opt --pipeline=ansorc-reciprocals %s | FileCheck %s

// CHECK-LABEL: func.func @divide(
// CHECK-SAME: %[[X:[a-z0-9]+]]: f32, %[[Y:[a-z0-9]+]]: f32, %[[Z:[a-z0-9]+]]: f64
func.func @divide(%x: f32, %y: f32, %z: f64) -> (f32, f64, f32, f32, f32, f32) {
  %six = arith.constant 6.0 : f32
  %three = arith.constant 3.0 : f64
  %zero = arith.constant 0.0 : f32
  %tiny = arith.constant 1.0e-40 : f32
  %huge = arith.constant 3.0e+38 : f32
  // CHECK: %[[SIXTH:.*]] = arith.constant 0.166666672 : f32
  // CHECK: arith.mulf %[[X]], %[[SIXTH]] fastmath<contract> : f32
  %a = arith.divf %x, %six : f32
  // CHECK: %[[THIRD:.*]] = arith.constant 0.33333333333333331 : f64
  // CHECK: arith.mulf %[[Z]], %[[THIRD]] fastmath<contract> : f64
  %b = arith.divf %z, %three : f64
  // Not by zero, nor where one of both is subnormal, nor by what is no constant.
  // CHECK-COUNT-4: arith.divf
  %c = arith.divf %x, %zero : f32
  %d = arith.divf %x, %tiny : f32
  %e = arith.divf %x, %huge : f32
  %f = arith.divf %x, %y : f32
  return %a, %b, %c, %d, %e, %f : f32, f64, f32, f32, f32, f32
}
