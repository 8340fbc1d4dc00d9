// RUN: ansorc-opt --pipeline=ansorc-destination %s | FileCheck %s

// The result is a last argument; what is padded goes into its middle, and only borders are filled.
// CHECK-LABEL: func.func @task
// CHECK-SAME: %arg1: tensor<6x8xf32> {bufferization.writable = true}
// CHECK-COUNT-2: linalg.fill
// CHECK: %[[MIDDLE:.*]] = tensor.extract_slice {{.*}}[1, 0] [4, 8]
// CHECK: %[[NEG:.*]] = linalg.generic
// CHECK-SAME: outs(%[[MIDDLE]]
// CHECK-NOT: tensor.pad
#map = affine_map<(d0, d1) -> (d0, d1)>
func.func @task(%x: tensor<4x8xf32>) -> tensor<6x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %g = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32):
    %n = arith.negf %a : f32
    linalg.yield %n : f32
  } -> tensor<4x8xf32>
  %p = tensor.pad %g low[1, 0] high[1, 0] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f32
  } : tensor<4x8xf32> to tensor<6x8xf32>
  return %p : tensor<6x8xf32>
}
