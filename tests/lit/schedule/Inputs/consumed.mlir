// The second tiling is of what the first one took apart.
module attributes {transform.with_named_sequence, ansorc.kind = "register-tile", ansorc.lanes = 8 : i64, ansorc.vectors = 2 : i64, ansorc.pack = 0 : i64, ansorc.border = 0 : i64, ansorc.prefetch = 0 : i64} {
  transform.named_sequence @__transform_main(%m: !transform.any_op {transform.consumed}) {
    %a = transform.structured.match attributes {ansorc.root} in %m : (!transform.any_op) -> !transform.any_op
    %b, %c = transform.structured.tile_using_for %a tile_sizes [4] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    %d, %e = transform.structured.tile_using_for %a tile_sizes [2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
