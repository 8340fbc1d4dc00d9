"""The last part of a schedule: fold unit dims and vectorize on tensors; on buffers, lower vectors to one dimension."""

from ansorc.dialect_passes.schedule.words import OP, cse, match_ops, patterns, script

FOLD_UNITS = script(
    match_ops("%f", "func.func"),
    patterns("%f", "linalg.fold_unit_extent_dims_via_slices", "canonicalization"),
    cse("%f"),
)

# `structured.vectorize` on the operations themselves: vectorize_children_and_apply_patterns folds rank-reducing slices
# wrongly (docs/pitfalls.md).
VECTORIZE = script(
    match_ops("%ops", "linalg.generic"),
    f"  transform.structured.vectorize %ops {{vectorize_nd_extract}} : {OP}",
    match_ops("%f", "func.func"),
    patterns("%f", "vector.reduction_to_contract", "vector.transfer_permutation_patterns", "canonicalization"),
    cse("%f"),
    match_ops("%loops", "scf.for"),
    f"  transform.apply_licm to %loops : {OP}",
    f"  transform.loop.hoist_loop_invariant_subsets %loops : {OP}",
    patterns("%f", "canonicalization"),
)

# Canonicalization in between keeps the other sets small: half of the time of one set after the other.
LOWER_VECTORS = script(
    match_ops("%f", "func.func"),
    patterns("%f", 'vector.lower_contraction lowering_strategy = "outerproduct"'),
    patterns(
        "%f",
        "vector.lower_outerproduct",
        'vector.lower_transpose lowering_strategy = "shuffle_16x16"',
        "vector.lower_broadcast",
        'vector.lower_multi_reduction lowering_strategy = "innerparallel"',
        "vector.transfer_permutation_patterns",
        "vector.transfer_to_scf max_transfer_rank = 1 full_unroll = true",
        "vector.lower_transfer max_transfer_rank = 1",
        "canonicalization",
    ),
    cse("%f"),
)
