"""Named pipelines of upstream passes, each step with its reason."""

GENERALIZE = "builtin.module(linalg-generalize-named-ops)"

PREPARE = "builtin.module(linalg-generalize-named-ops,linalg-fuse-elementwise-ops,canonicalize,cse)"

BUFFERIZE = ",".join(
    (
        "builtin.module(eliminate-empty-tensors",
        "one-shot-bufferize{bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map}",
        "drop-equivalent-buffer-results",  # results are destinations already
        "canonicalize",
        "cse",
        "canonicalize)",  # copies of a buffer onto itself vanish only after CSE
    )
)

AFFINE = "builtin.module(convert-linalg-to-affine-loops,canonicalize,cse)"

TO_LLVM = ",".join(
    (
        "builtin.module(func.func(scf-forall-to-for",
        "convert-linalg-to-loops)",  # what was not vectorized
        "convert-vector-to-scf",
        "canonicalize",
        "cse",
        "expand-strided-metadata",
        "lower-affine",
        "convert-scf-to-cf",
        # The next ones are before vectors become many operations: each walks over all there are.
        "convert-math-to-llvm",
        "convert-math-to-libm",  # what no polynomial replaced
        "convert-index-to-llvm",
        "convert-vector-to-llvm{enable-x86vector=%s reassociate-fp-reductions=1}",
        "convert-ub-to-llvm",
        "finalize-memref-to-llvm",
        "convert-func-to-llvm{use-bare-ptr-memref-call-conv=1}",
        "convert-arith-to-llvm",
        "convert-cf-to-llvm",
        "reconcile-unrealized-casts",
        "canonicalize",
        "cse)",
    )
)


def to_llvm(x86: bool) -> str:
    """Return the pipeline from buffers and vectors to the LLVM dialect."""
    return TO_LLVM % ("true" if x86 else "false")
