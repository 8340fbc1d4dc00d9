// RUN: ansorc-opt --pipeline=ansorc-expand-math %s | FileCheck %s

// On f32, exp, tanh, erf and logarithms become arithmetic; what has no polynomial and what is f64 stays.
// CHECK-LABEL: func.func @f32
// CHECK-NOT: math.exp
// CHECK-NOT: math.tanh
// CHECK-NOT: math.erf
// CHECK-NOT: math.log
// CHECK: math.fpowi
// CHECK: arith.divf
// CHECK: %[[SIN:.*]] = math.sin %{{.*}} : f32
// CHECK: return {{.*}}, %[[SIN]]
// CHECK-LABEL: func.func @f64
// CHECK: math.exp %{{.*}} : f64
func.func @f32(%x: f32) -> (f32, f32, f32, f32, f32, f32) {
  %e = math.exp %x : f32
  %t = math.tanh %x : f32
  %r = math.erf %x : f32
  %l = math.log %x : f32
  %p = math.log1p %x : f32
  %s = math.sin %x : f32
  return %e, %t, %r, %l, %p, %s : f32, f32, f32, f32, f32, f32
}
func.func @f64(%x: f64) -> f64 {
  %e = math.exp %x : f64
  return %e : f64
}
