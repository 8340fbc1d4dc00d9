"""Scalar statements in the body of a `linalg.generic`."""

from collections.abc import Callable
from dataclasses import dataclass

from ansorc.frontends.onnx.element_types import ELEMENT_TYPES, is_float, is_unsigned, literal

INDEX = "index"


@dataclass(frozen=True)
class Scalar:
    """An SSA value in a body; `dtype` is a numpy dtype name or `index`."""

    name: str
    dtype: str

    @property
    def element(self) -> str:
        return INDEX if self.dtype == INDEX else ELEMENT_TYPES[self.dtype]


class Block:
    """Collects statements; `fresh` names values, `write` takes one line of MLIR."""

    def __init__(self, fresh: Callable[[], str], write: Callable[[str], None]) -> None:
        self._fresh = fresh
        self._write = write

    def statement(self, text: str, dtype: str) -> Scalar:
        name = self._fresh()
        self._write(f"{name} = {text}")
        return Scalar(name, dtype)

    def apply(self, op: str, *operands: Scalar, attributes: str = "") -> Scalar:
        """An op whose operands and result have one type."""
        names = ", ".join(o.name for o in operands)
        return self.statement(f"{op} {names}{attributes} : {operands[0].element}", operands[0].dtype)

    def constant(self, value: object, dtype: str) -> Scalar:
        if dtype == INDEX:
            return self.statement(f"arith.constant {int(str(value))} : index", dtype)
        if dtype == "bool":
            return self.statement(f"arith.constant {literal(value, dtype)}", dtype)
        return self.statement(f"arith.constant {literal(value, dtype)} : {ELEMENT_TYPES[dtype]}", dtype)

    def _pick(self, a: Scalar, floating: str, signed: str, unsigned: str) -> str:
        if is_float(a.dtype):
            return floating
        return unsigned if is_unsigned(a.dtype) else signed

    def add(self, a: Scalar, b: Scalar, contract: bool = False) -> Scalar:
        op = self._pick(a, "arith.addf", "arith.addi", "arith.addi")
        return self.apply(op, a, b, attributes=self._fast(a, contract))

    def sub(self, a: Scalar, b: Scalar) -> Scalar:
        return self.apply(self._pick(a, "arith.subf", "arith.subi", "arith.subi"), a, b)

    def mul(self, a: Scalar, b: Scalar, contract: bool = False) -> Scalar:
        op = self._pick(a, "arith.mulf", "arith.muli", "arith.muli")
        return self.apply(op, a, b, attributes=self._fast(a, contract))

    def div(self, a: Scalar, b: Scalar, by_reciprocal: bool = False) -> Scalar:
        """With `by_reciprocal`, LLVM may compute 1 / b once where it is the same for many a."""
        flags = " fastmath<arcp>" if by_reciprocal and is_float(a.dtype) else ""
        return self.apply(self._pick(a, "arith.divf", "arith.divsi", "arith.divui"), a, b, attributes=flags)

    def maximum(self, a: Scalar, b: Scalar, any_nan: bool = False) -> Scalar:
        """NaN wins; with `any_nan` it does not matter which of a NaN and a number does, nor the sign of a zero."""
        flags = " fastmath<nnan,nsz>" if any_nan and is_float(a.dtype) else ""
        return self.apply(self._pick(a, "arith.maximumf", "arith.maxsi", "arith.maxui"), a, b, attributes=flags)

    def minimum(self, a: Scalar, b: Scalar) -> Scalar:
        """NaN wins."""
        return self.apply(self._pick(a, "arith.minimumf", "arith.minsi", "arith.minui"), a, b)

    def _fast(self, a: Scalar, contract: bool) -> str:
        return " fastmath<contract>" if contract and is_float(a.dtype) else ""

    def compare(self, relation: str, a: Scalar, b: Scalar) -> Scalar:
        """relation: eq ne lt le gt ge; a NaN compares false except for `ne`."""
        if is_float(a.dtype):
            predicate = ("u" if relation == "ne" else "o") + relation
            op = "arith.cmpf"
        else:
            sign = "" if relation in ("eq", "ne") else "u" if is_unsigned(a.dtype) else "s"
            predicate, op = sign + relation, "arith.cmpi"
        text = f"{op} {predicate}, {a.name}, {b.name} : {a.element}"
        return self.statement(text, "bool")

    def select(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        text = f"arith.select {condition.name}, {a.name}, {b.name} : {a.element}"
        return self.statement(text, a.dtype)

    def convert(self, op: str, a: Scalar, dtype: str) -> Scalar:
        element = INDEX if dtype == INDEX else ELEMENT_TYPES[dtype]
        return self.statement(f"{op} {a.name} : {a.element} to {element}", dtype)

    def cast(self, a: Scalar, dtype: str) -> Scalar:
        """ONNX Cast: floats truncate towards zero, anything non-zero is true."""
        if a.dtype == dtype:
            return a
        if dtype == "bool":
            return self.compare("ne", a, self.constant(0, a.dtype))
        source, target = ELEMENT_TYPES[a.dtype], ELEMENT_TYPES[dtype]
        if is_float(a.dtype) and is_float(dtype):
            if {source, target} == {"f16", "bf16"}:
                return self.cast(self.convert("arith.extf", a, "float32"), dtype)
            wider = int(target.strip("bf")) > int(source.strip("bf"))
            return self.convert("arith.extf" if wider else "arith.truncf", a, dtype)
        if is_float(a.dtype):
            return self.convert("arith.fptoui" if is_unsigned(dtype) else "arith.fptosi", a, dtype)
        if is_float(dtype):
            return self.convert("arith.uitofp" if is_unsigned(a.dtype) else "arith.sitofp", a, dtype)
        if source == target:
            return Scalar(a.name, dtype)
        if int(target[1:]) < int(source[1:]):
            return self.convert("arith.trunci", a, dtype)
        return self.convert("arith.extui" if is_unsigned(a.dtype) else "arith.extsi", a, dtype)

    def index(self, dim: int) -> Scalar:
        return self.statement(f"linalg.index {dim} : index", INDEX)

    def index_of(self, a: Scalar) -> Scalar:
        """An integer as an index."""
        return self.convert("arith.index_cast", a, INDEX)
