// What ansorc wrote for a product of 64x64 by 64x64 and Haswell, edited: tiles of 4 rows instead of 5, nothing to peel.
module attributes {transform.with_named_sequence, ansorc.kind = "register-tile", ansorc.lanes = 8 : i64, ansorc.vectors = 2 : i64, ansorc.pack = 0 : i64, ansorc.border = 0 : i64, ansorc.prefetch = 0 : i64} {
 transform.named_sequence @__transform_main(%m: !transform.any_op {transform.consumed}) {
  %root0 = transform.structured.match attributes {ansorc.root} in %m : (!transform.any_op) -> !transform.any_op
  %anchor0 = transform.structured.match attributes {ansorc.anchor} in %m : (!transform.any_op) -> !transform.any_op
  %fill0 = transform.structured.match attributes {ansorc.fill} in %m : (!transform.any_op) -> !transform.any_op
  %root1, %loop1 = transform.structured.tile_using_forall %root0 tile_sizes [2, 0] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
  %anchor1, %into1_0 = transform.structured.fuse_into_containing_op %anchor0 into %loop1 : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
  %fill1, %into1_1 = transform.structured.fuse_into_containing_op %fill0 into %into1_0 : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
  %root2, %loop2 = transform.structured.tile_using_for %root1 tile_sizes [1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
  %anchor2, %into2_0 = transform.structured.fuse_into_containing_op %anchor1 into %loop2 : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
  %fill2, %into2_1 = transform.structured.fuse_into_containing_op %fill1 into %into2_0 : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
  %root3, %loop3 = transform.structured.tile_using_for %root2 tile_sizes [0, 4] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
  %anchor3, %into3_0 = transform.structured.fuse_into_containing_op %anchor2 into %loop3 : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
  %fill3, %into3_1 = transform.structured.fuse_into_containing_op %fill2 into %into3_0 : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
  %step, %reduce0 = transform.structured.tile_using_for %anchor3 tile_sizes [0, 0, 0, 0, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
  %f = transform.structured.match ops{["func.func"]} in %m : (!transform.any_op) -> !transform.any_op
  transform.apply_patterns to %f { transform.apply_patterns.scf.for_loop_canonicalization transform.apply_patterns.canonicalization } : !transform.any_op
  transform.apply_cse to %f : !transform.any_op
  transform.apply_patterns to %f { transform.apply_patterns.linalg.fold_unit_extent_dims_via_slices transform.apply_patterns.canonicalization } : !transform.any_op
  transform.apply_cse to %f : !transform.any_op
  transform.yield
 }
}

