"""The words of a transform-dialect script: text for the steps that schedules are made of."""

OP = "!transform.any_op"


def script(*steps: str, attributes: str = "") -> str:
    """Wrap steps into a module with the named sequence that the transform interpreter runs on `%m`."""
    more = f", {attributes}" if attributes else ""
    return (
        f"module attributes {{transform.with_named_sequence{more}}} {{\n"
        f" transform.named_sequence @__transform_main(%m: {OP} {{transform.consumed}}) {{\n"
        + "\n".join(steps)
        + "\n  transform.yield\n }\n}\n"
    )


def match_attribute(handle: str, attribute: str) -> str:
    """Bind `handle` to the operations which carry a unit attribute."""
    return f"  {handle} = transform.structured.match attributes {{{attribute}}} in %m : ({OP}) -> {OP}"


def match_ops(handle: str, *names: str) -> str:
    """Bind `handle` to all operations of the given names."""
    listed = ", ".join(f'"{n}"' for n in names)
    return f"  {handle} = transform.structured.match ops{{[{listed}]}} in %m : ({OP}) -> {OP}"


def tile(target: str, tiled: str, loops: list[str], sizes: list[int], kind: str) -> str:
    """Tile `target`; kind is "forall" (one loop handle) or "for" (one for each non-zero size)."""
    results = ", ".join([tiled, *loops])
    types = ", ".join([OP] * (1 + len(loops)))
    return f"  {results} = transform.structured.tile_using_{kind} {target} tile_sizes {sizes} : ({OP}) -> ({types})"


def fuse(producer: str, fused: str, loop: str, new_loop: str) -> str:
    """Compute a producer inside a loop over its consumer."""
    return (
        f"  {fused}, {new_loop} = transform.structured.fuse_into_containing_op {producer} into {loop} "
        f": ({OP}, {OP}) -> ({OP}, {OP})"
    )


def patterns(handle: str, *names: str) -> str:
    """Apply upstream pattern sets greedily under `handle`."""
    body = " ".join(f"transform.apply_patterns.{n}" for n in names)
    return f"  transform.apply_patterns to {handle} {{ {body} }} : {OP}"


def cse(handle: str) -> str:
    """Eliminate common subexpressions under `handle`."""
    return f"  transform.apply_cse to {handle} : {OP}"


def settled(*first: str) -> list[str]:
    """Return the last lines of a script: pattern sets to apply `first`, then what tiling left becomes static and small.

    Sizes of peeled loops come before unit dims: folding unit dims of sizes not yet known ends the process.
    """
    return [
        match_ops("%f", "func.func"),
        *(patterns("%f", name) for name in first),
        patterns("%f", "scf.for_loop_canonicalization", "canonicalization"),
        cse("%f"),
        patterns("%f", "linalg.fold_unit_extent_dims_via_slices", "canonicalization"),
        cse("%f"),
    ]
