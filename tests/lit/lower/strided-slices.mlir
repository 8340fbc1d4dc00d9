// RUN: ansorc-opt --pipeline=ansorc-strided-slices %s | FileCheck %s

// A read through d0 * 2 becomes a strided slice; d1 + d2 (a window of stride one) stays.
// CHECK-DAG: #[[PLAIN:.*]] = affine_map<(d0) -> (d0)>
// CHECK-DAG: #[[WINDOW:.*]] = affine_map<(d0, d1) -> (d0 + d1)>
// CHECK-LABEL: func.func @strided
// CHECK: %[[S:.*]] = tensor.extract_slice %{{.*}}[0] [4] [2] : tensor<8xf32> to tensor<4xf32>
// CHECK: linalg.generic {indexing_maps = [#[[PLAIN]], #[[PLAIN]]]
// CHECK-SAME: ins(%[[S]]
// CHECK-LABEL: func.func @window
// CHECK-NOT: extract_slice
// CHECK: linalg.generic {indexing_maps = [#[[WINDOW]],
func.func @strided(%x: tensor<8xf32>, %o: tensor<4xf32>) -> tensor<4xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0 * 2)>, affine_map<(d0) -> (d0)>],
                       iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%o : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}
func.func @window(%x: tensor<6xf32>, %w: tensor<3xf32>, %o: tensor<4xf32>) -> tensor<4xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0 + d1)>, affine_map<(d0, d1) -> (d1)>,
                                        affine_map<(d0, d1) -> (d0)>], iterator_types = ["parallel", "reduction"]}
      ins(%x, %w : tensor<6xf32>, tensor<3xf32>) outs(%o : tensor<4xf32>) {
  ^bb0(%a: f32, %v: f32, %b: f32):
    %p = arith.mulf %a, %v : f32
    %s = arith.addf %b, %p : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}
