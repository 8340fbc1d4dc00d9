// RUN: ansorc-opt --pipeline='ansorc-schedule{target=x86-64-v4 kind=register-tile}' %s | FileCheck %s

// Two planes in a border of one plane of zeros: the loop over the three planes of the window begins and ends where there
// is something else. Nothing is left of what told it so.
// CHECK-DAG: #[[FIRST:.*]] = affine_map<(d0) -> (-d0 + 1, 0)>
// CHECK-DAG: #[[END:.*]] = affine_map<(d0) -> (-d0 + 3, 3)>
// CHECK: scf.for %[[D:.*]] = %c0 to %c2
// CHECK: %[[LO:.*]] = affine.max #[[FIRST]](%[[D]])
// CHECK: %[[HI:.*]] = affine.min #[[END]](%[[D]])
// CHECK: scf.for %{{.*}} = %[[LO]] to %[[HI]] step
// CHECK-NOT: ansorc.place
func.func @task(%x: tensor<1x4x7x16xf32> {ansorc.border = array<i64: 0, 1, 0, 0, 0, 1, 0, 0>},
                %w: tensor<3x1x16x64xf32> {ansorc.constant}) -> tensor<1x2x7x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2x7x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2x7x64xf32>) -> tensor<1x2x7x64xf32>
  %y = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x4x7x16xf32>, tensor<3x1x16x64xf32>)
      outs(%f : tensor<1x2x7x64xf32>) -> tensor<1x2x7x64xf32>
  return %y : tensor<1x2x7x64xf32>
}
