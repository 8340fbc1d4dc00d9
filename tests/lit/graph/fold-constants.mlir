// RUN: ansorc-opt --pipeline=ansorc-fold-constants,canonicalize %s | FileCheck %s

// A transpose and a slice of a weight are computed by numpy; what depends on an input stays.
// CHECK-DAG: ml_program.global private @[[T:w_folded.*]](dense<{{\[\[}}1.000000e+00, 3.000000e+00], [2.000000e+00, 4.000000e+00]]> : tensor<2x2xf32>)
// CHECK-DAG: ml_program.global private @[[S:w_folded.*]](dense<{{\[\[}}3.000000e+00, 4.000000e+00]]> : tensor<1x2xf32>)
// CHECK-LABEL: func.func @main
// CHECK-SAME: (%[[X:.*]]: tensor<2x2xf32>)
// CHECK-DAG: %[[A:.*]] = ml_program.global_load_const @{{w_folded.*}} : tensor<2x2xf32>
// CHECK-DAG: %[[B:.*]] = ml_program.global_load_const @{{w_folded.*}} : tensor<1x2xf32>
// CHECK: %[[C:.*]] = linalg.transpose ins(%[[X]]
// CHECK: return %[[A]], %[[B]], %[[C]]
module {
  ml_program.global private @w(dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>) : tensor<2x2xf32>
  func.func @main(%x: tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<1x2xf32>, tensor<2x2xf32>) {
    %w = ml_program.global_load_const @w : tensor<2x2xf32>
    %e = tensor.empty() : tensor<2x2xf32>
    %t = linalg.transpose ins(%w : tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) permutation = [1, 0]
    %s = tensor.extract_slice %w[1, 0] [1, 2] [1, 1] : tensor<2x2xf32> to tensor<1x2xf32>
    %y = linalg.transpose ins(%x : tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) permutation = [1, 0]
    return %t, %s, %y : tensor<2x2xf32>, tensor<1x2xf32>, tensor<2x2xf32>
  }
}
