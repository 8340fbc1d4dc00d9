// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=gather}' %s | FileCheck %s

// Rows of a table: where one begins is found out once, then it is read as vectors; its two dims are one row.
// CHECK-LABEL: func.func @rows
// CHECK: %[[AT:.*]] = tensor.extract %{{.*}} : tensor<i64>
// CHECK: %[[PLACE:.*]] = arith.index_cast %[[AT]]
// CHECK: tensor.extract_slice %{{.*}}[%[[PLACE]], 0] [1, 64] [1, 1] : tensor<512x96xf32> to tensor<64xf32>
// CHECK: vector.transfer_write {{.*}} : vector<64xf32>
func.func @rows(%table: tensor<512x4x24xf32>, %at: tensor<128xi64>) -> tensor<128x4x24xf32> attributes {ansorc.task} {
  %e = tensor.empty() : tensor<128x4x24xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j, k) -> (i)>, affine_map<(i, j, k) -> (i, j, k)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%at : tensor<128xi64>) outs(%e : tensor<128x4x24xf32>) {
  ^bb0(%n: i64, %o: f32):
    %p = arith.index_cast %n : i64 to index
    %j = linalg.index 1 : index
    %k = linalg.index 2 : index
    %v = tensor.extract %table[%p, %j, %k] : tensor<512x4x24xf32>
    %two = arith.addf %v, %v : f32
    linalg.yield %two : f32
  } -> tensor<128x4x24xf32>
  return %r : tensor<128x4x24xf32>
}
