// RUN: ansorc-opt --pipeline='ansorc-schedule{target=skylake-avx512 kind=gather}' %s | FileCheck %s

// Every element of a row is elsewhere in that row.
// CHECK: %[[ROW:.*]] = tensor.extract_slice %arg0[%{{.*}}, 0] [1, 50] [1, 1] : tensor<64x50xf32> to tensor<50xf32>
// CHECK: vector.gather %[[ROW]][%{{.*}}] [%{{.*}}], {{.*}} : tensor<50xf32>, vector<16xindex>, vector<16xi1>, vector<16xf32> into vector<16xf32>
func.func @task(%x: tensor<64x50xf32>, %at: tensor<32xi64>) -> tensor<64x32xf32> attributes {ansorc.task} {
  %e = tensor.empty() : tensor<64x32xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%at : tensor<32xi64>) outs(%e : tensor<64x32xf32>) {
  ^bb0(%n: i64, %o: f32):
    %i = linalg.index 0 : index
    %p = arith.index_cast %n : i64 to index
    %v = tensor.extract %x[%i, %p] : tensor<64x50xf32>
    linalg.yield %v : f32
  } -> tensor<64x32xf32>
  return %r : tensor<64x32xf32>
}
