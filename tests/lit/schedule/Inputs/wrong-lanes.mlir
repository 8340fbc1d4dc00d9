module attributes {transform.with_named_sequence, ansorc.kind = "register-tile", ansorc.lanes = 7 : i64, ansorc.vectors = 2 : i64, ansorc.pack = 0 : i64, ansorc.border = 0 : i64, ansorc.prefetch = 0 : i64} {
}
