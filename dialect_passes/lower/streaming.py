"""Write large results past the caches: nobody finds them there again, and no line is read to be overwritten.

    section(x, y, lo, hi) { ... store y }
    -->
    section(x, y, lo, hi) { if (y & 63) section_plain(...) else { section_streamed(...); fence } }

Such stores have to be aligned, and the memory of a result may be a caller's: both versions are there.
"""

from __future__ import annotations

from mlir import ir

from ansorc.dialect_passes.ir_walk import body, collect, functions

MARK = "ansorc.stream"
"""Of a function: its result is written so."""
VIEWS = (
    "memref.subview", "memref.cast", "memref.collapse_shape", "memref.expand_shape", "memref.reinterpret_cast",
)  # fmt: skip
NONTEMPORAL = "nontemporal"


def mark(module: ir.Module, vector_bytes: int) -> int | None:
    """Mark the stores of whole vectors into the result of a marked function; return which argument that is."""
    function = next(functions(module))
    result = list(body(function).operations)[-1].operands[0] if MARK in function.attributes else None
    if result is None or not isinstance(result.owner, ir.Block):  # the cut into sections refuses what is not in place
        return None
    for op in collect(function, "vector.store"):
        kind = ir.VectorType(op.operands[0].type)
        whole = kind.shape[-1] * max(1, getattr(kind.element_type, "width", 64) // 8) % vector_bytes == 0
        if whole and _memory(op.operands[1]) == result:
            with function.context:
                op.attributes[NONTEMPORAL] = ir.BoolAttr.get(True)
    return ir.BlockArgument(result).arg_number


def settle(module: ir.Module, result: int, vector_bytes: int) -> None:
    """Give each section of the LLVM dialect that has such stores its two versions; `result` is the argument."""
    for op in [o.operation for o in module.body.operations]:
        if op.name == "llvm.func" and (stores := _streamed(op)):
            name = ir.StringAttr(op.attributes["sym_name"]).value
            plain = op.clone(ir.InsertionPoint(op))
            for store in _streamed(plain):
                del store.attributes[NONTEMPORAL]
            for store in stores:
                store.attributes["alignment"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), vector_bytes)
            for version, suffix in ((op, "streamed"), (plain, "plain")):
                version.attributes["sym_name"] = ir.StringAttr.get(f"{name}_{suffix}")
                version.attributes["linkage"] = ir.Attribute.parse("#llvm.linkage<internal>")
            choice = _choice(op, name, result, vector_bytes)
            list(choice.body.operations)[-1].operation.clone(ir.InsertionPoint(module.body))


def _streamed(function: ir.Operation) -> list[ir.Operation]:
    return [op for op in collect(function, "llvm.store") if NONTEMPORAL in op.attributes]


def _memory(value: ir.Value) -> ir.Value:
    """Return the buffer that a value is a view of."""
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name in VIEWS:
        value = value.owner.operation.operands[0]
    return value


def _choice(version: ir.Operation, name: str, result: int, vector_bytes: int) -> ir.Module:
    """Return a module that ends in the function which calls one of two versions."""
    kinds = [str(a.type) for a in body(version).arguments]
    given = ", ".join(f"%a{k}" for k in range(len(kinds)))
    types = ", ".join(kinds)
    typed = ", ".join(f"%a{k}: {kind}" for k, kind in enumerate(kinds))
    text = f"""
      llvm.func @{name}_streamed({types})
      llvm.func @{name}_plain({types})
      llvm.func @{name}({typed}) {{
        %address = llvm.ptrtoint %a{result} : !llvm.ptr to i64
        %mask = llvm.mlir.constant({vector_bytes - 1} : i64) : i64
        %rest = llvm.and %address, %mask : i64
        %zero = llvm.mlir.constant(0 : i64) : i64
        %aligned = llvm.icmp "eq" %rest, %zero : i64
        llvm.cond_br %aligned, ^streamed, ^plain
      ^streamed:
        llvm.call @{name}_streamed({given}) : ({types}) -> ()
        llvm.call_intrinsic "llvm.x86.sse.sfence"() : () -> ()
        llvm.return
      ^plain:
        llvm.call @{name}_plain({given}) : ({types}) -> ()
        llvm.return
      }}"""
    return ir.Module.parse(text, version.context)
