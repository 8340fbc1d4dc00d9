// RUN: ansorc-opt --pipeline='ansorc-maxima' %s | FileCheck %s

// CHECK-LABEL: func.func @clamp(
// CHECK-SAME: %[[X:[a-z0-9]+]]: f32, %[[Y:[a-z0-9]+]]: f32, %[[V:[a-z0-9]+]]: vector<4xf32>
func.func @clamp(%x: f32, %y: f32, %v: vector<4xf32>) -> (f32, f32, f32, f32, vector<4xf32>) {
  %zero = arith.constant 0.0 : f32
  %six = arith.constant 6.0 : f32
  %zeros = arith.constant dense<0.0> : vector<4xf32>
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00
  // CHECK-DAG: %[[ZEROS:.*]] = arith.constant dense<0.000000e+00>
  // CHECK: %[[C:.*]] = arith.cmpf ogt, %[[ZERO]], %[[X]]
  // CHECK: %[[A:.*]] = arith.select %[[C]], %[[ZERO]], %[[X]]
  %a = arith.maximumf %x, %zero : f32
  // CHECK: %[[D:.*]] = arith.cmpf olt, %[[ZERO]], %[[X]]
  // CHECK: %[[B:.*]] = arith.select %[[D]], %[[ZERO]], %[[X]]
  %b = arith.minimumf %zero, %x : f32
  // What is no constant only forgets the sign of zero; with a number that is not zero the maximum is one instruction.
  // CHECK: arith.maximumf %[[X]], %[[Y]] fastmath<nsz>
  %c = arith.maximumf %x, %y : f32
  // CHECK: arith.minimumf %[[A]]
  %d = arith.minimumf %a, %six : f32
  // CHECK: %[[E:.*]] = arith.cmpf ogt, %[[ZEROS]], %[[V]] : vector<4xf32>
  // CHECK: arith.select %[[E]], %[[ZEROS]], %[[V]] : vector<4xi1>, vector<4xf32>
  %e = arith.maximumf %v, %zeros : vector<4xf32>
  return %a, %b, %c, %d, %e : f32, f32, f32, f32, vector<4xf32>
}
