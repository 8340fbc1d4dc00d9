"""Writes a module of the stage `imported` as text, one op a line."""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ansorc.frontends.onnx.block import Block, Scalar
from ansorc.frontends.onnx.element_types import STORED_TYPES
from ansorc.frontends.onnx.reassociation import groups_of, segments

Body = Callable[..., Scalar]


@dataclass(frozen=True)
class Value:
    """A ranked tensor in SSA form; `dtype` is a numpy dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def type(self) -> str:
        return tensor_type(self.shape, self.dtype)


def tensor_type(shape: Sequence[int], dtype: str) -> str:
    return "tensor<" + "".join(f"{d}x" for d in shape) + STORED_TYPES[dtype] + ">"


def held(dtype: str) -> str:
    """The element type of tensors: a bool is a byte."""
    return "uint8" if dtype == "bool" else dtype


def integers(numbers: Sequence[int]) -> str:
    return "[" + ", ".join(str(int(n)) for n in numbers) + "]"


def affine_map(rank: int, results: Sequence[int | str]) -> str:
    """A result is a dim number or an expression in d0, d1, ..."""
    dims = ", ".join(f"d{i}" for i in range(rank))
    texts = ", ".join(f"d{r}" if isinstance(r, int) else r for r in results)
    return f"affine_map<({dims}) -> ({texts})>"


def quoted(text: str) -> str:
    return (
        '"'
        + "".join(
            c if c.isprintable() and c not in '"\\' and ord(c) < 128 else "".join(f"\\{b:02X}" for b in c.encode())
            for c in text
        )
        + '"'
    )


class Emitter:
    """The body of @main, with the weights that it loads."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.globals: list[str] = []
        self.weights: dict[str, np.ndarray] = {}
        self._loaded: dict[tuple[object, ...], list[tuple[np.ndarray, Value]]] = {}
        self._locations: dict[str, str] = {}
        self._location = "unknown"
        self._indent = 2
        self._next = 0

    def at(self, location: str) -> None:
        """Name the ONNX node that the following ops come from."""
        self._location = self._locations.setdefault(location, f"#node{len(self._locations)}")

    @property
    def locations(self) -> list[str]:
        return [f"{alias} = loc({quoted(name)})" for name, alias in self._locations.items()]

    def fresh(self) -> str:
        self._next += 1
        return f"%{self._next - 1}"

    def write(self, text: str) -> None:
        self.lines.append(f"{'  ' * self._indent}{text} loc({self._location})")

    def op(self, text: str, shape: Sequence[int], dtype: str) -> Value:
        name = self.fresh()
        self.write(f"{name} = {text}")
        return Value(name, tuple(int(d) for d in shape), dtype)

    # --- constants

    def scalar(self, value: object, dtype: str) -> Scalar:
        """A number as tensors of `dtype` hold it."""
        block = Block(self.fresh, self.write)
        return block.constant(bool(value), "uint8") if dtype == "bool" else block.constant(value, dtype)

    def weight(self, array: np.ndarray, hint: str) -> Value:
        """Load a constant tensor; equal tensors share one global. Bools are kept as bytes."""
        dtype = array.dtype.name
        if dtype == "bool":
            stored = self.weight(array.view(np.uint8), hint)
            return Value(stored.name, stored.shape, "bool")
        array = np.require(array, requirements="C")
        key = (array.shape, dtype, zlib.crc32(array.reshape(-1).view(np.uint8)))  # pyright: ignore[reportArgumentType]
        known = self._loaded.setdefault(key, [])
        for other, value in known:
            if other is array or other.tobytes() == array.tobytes():
                return value
        symbol = self._symbol(hint)
        kind = tensor_type(array.shape, dtype)
        self.globals.append(f"  ml_program.global private @{symbol}(#ml_program.extern<{kind}>) : {kind}")
        self.weights[symbol] = array
        value = self.op(f"ml_program.global_load_const @{symbol} : {kind}", array.shape, dtype)
        known.append((array, value))
        return value

    def _symbol(self, hint: str) -> str:
        base = re.sub(r"[^A-Za-z0-9_]", "_", hint) or "weight"
        base = base if base[0].isalpha() else "w" + base
        symbol, count = base, 1
        while symbol in self.weights:
            symbol, count = f"{base}_{count}", count + 1
        return symbol

    # --- structure

    def empty(self, shape: Sequence[int], dtype: str) -> Value:
        return self.op(f"tensor.empty() : {tensor_type(shape, dtype)}", shape, dtype)

    def fill(self, shape: Sequence[int], dtype: str, number: object) -> Value:
        out, value = self.empty(shape, dtype), self.scalar(number, dtype)
        text = f"linalg.fill ins({value.name} : {value.element}) outs({out.name} : {out.type})"
        return self.op(f"{text} -> {out.type}", shape, dtype)

    def transpose(self, value: Value, perm: Sequence[int]) -> Value:
        if list(perm) == list(range(value.rank)):
            return value
        out = self.empty([value.shape[p] for p in perm], value.dtype)
        text = f"linalg.transpose ins({value.name} : {value.type}) outs({out.name} : {out.type})"
        return self.op(f"{text} permutation = {integers(perm)}", out.shape, out.dtype)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """Collapse, then expand, over the finest grouping that serves both shapes."""
        shape = tuple(int(d) for d in shape)
        if shape == value.shape:
            return value
        if prod(shape) == 0:
            return self.empty(shape, value.dtype)
        parts = segments(value.shape, shape)
        middle = tuple(prod(value.shape[i] for i in source) for source, _ in parts)
        sources, targets = [s for s, _ in parts], [t for _, t in parts]
        if not value.shape or not shape:
            middle, sources, targets = (), [], []
        if middle != value.shape:
            kind = tensor_type(middle, value.dtype)
            text = f"tensor.collapse_shape {value.name} {groups_of(sources)}"
            value = self.op(f"{text} : {value.type} into {kind}", middle, value.dtype)
        if middle != shape:
            kind = tensor_type(shape, value.dtype)
            text = f"tensor.expand_shape {value.name} {groups_of(targets)}"
            text = f"{text} output_shape {integers(shape)} : {value.type} into {kind}"
            value = self.op(text, shape, value.dtype)
        return value

    def pad(self, value: Value, low: Sequence[int], high: Sequence[int], number: object) -> Value:
        """Widen each dim by low and high; negative amounts crop."""
        if any(p < 0 for p in (*low, *high)):
            begin = [max(0, -p) for p in low]
            sizes = [d - b - max(0, -h) for d, b, h in zip(value.shape, begin, high, strict=True)]
            value = self.slice(value, begin, sizes)
            low, high = [max(0, p) for p in low], [max(0, p) for p in high]
        if not any(low) and not any(high):
            return value
        shape = [a + d + b for a, d, b in zip(low, value.shape, high, strict=True)]
        fill = self.scalar(number, value.dtype)
        name = self.fresh()
        self.lines.append(
            f"{'  ' * self._indent}{name} = tensor.pad {value.name} low{integers(low)} high{integers(high)} {{"
        )
        args = ", ".join(f"%p{i}: index" for i in range(value.rank))
        self.lines.append(f"{'  ' * self._indent}^bb0({args}):")
        self._indent += 1
        self.write(f"tensor.yield {fill.name} : {fill.element}")
        self._indent -= 1
        self.write(f"}} : {value.type} to {tensor_type(shape, value.dtype)}")
        return Value(name, tuple(shape), value.dtype)

    def slice(
        self, value: Value, begin: Sequence[int], sizes: Sequence[int], steps: Sequence[int] | None = None
    ) -> Value:
        steps = steps or [1] * value.rank
        if tuple(sizes) == value.shape:
            return value
        text = f"tensor.extract_slice {value.name}{integers(begin)} {integers(sizes)}"
        kind = tensor_type(sizes, value.dtype)
        return self.op(f"{text} {integers(steps)} : {value.type} to {kind}", sizes, value.dtype)

    def insert(self, value: Value, into: Value, begin: Sequence[int]) -> Value:
        text = f"tensor.insert_slice {value.name} into {into.name}{integers(begin)}"
        text = f"{text} {integers(value.shape)} {integers([1] * into.rank)}"
        return self.op(f"{text} : {value.type} into {into.type}", into.shape, into.dtype)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        if len(values) == 1:
            return values[0]
        shape = list(values[0].shape)
        shape[axis] = sum(v.shape[axis] for v in values)
        names, types = ", ".join(v.name for v in values), ", ".join(v.type for v in values)
        text = f"tensor.concat dim({axis}) {names} : ({types})"
        return self.op(f"{text} -> {tensor_type(shape, values[0].dtype)}", shape, values[0].dtype)

    # --- computation

    def named(self, op: str, inputs: Sequence[Value], init: Value, attributes: str = "") -> Value:
        """A linalg named op accumulating into `init`."""
        names, types = ", ".join(v.name for v in inputs), ", ".join(v.type for v in inputs)
        text = f"linalg.{op}{attributes} ins({names} : {types}) outs({init.name} : {init.type})"
        return self.op(f"{text} -> {init.type}", init.shape, init.dtype)

    def generics(
        self,
        extents: Sequence[int],
        inputs: Sequence[tuple[Value, Sequence[int | str]]],
        inits: Sequence[Value],
        out_dims: Sequence[int],
        body: Callable[..., Sequence[Scalar]],
    ) -> list[Value]:
        """A linalg.generic over `extents`; each input comes with its map's results.

        Dims missing from `out_dims` are reductions. The body gets a Block, a scalar for
        each input and, with reductions, one for each accumulator.
        """
        rank = len(extents)
        maps = [affine_map(rank, m) for _, m in inputs]
        maps += [affine_map(rank, out_dims)] * len(inits)
        kinds = ['"parallel"' if d in out_dims else '"reduction"' for d in range(rank)]
        parts = [f"indexing_maps = [{', '.join(maps)}]", f"iterator_types = [{', '.join(kinds)}]"]
        results = [Value(self.fresh(), i.shape, i.dtype) for i in inits]
        ins, outs = _operands("ins", [v for v, _ in inputs]), _operands("outs", inits)
        left = ", ".join(r.name for r in results)
        pad = "  " * self._indent
        self.lines.append(f"{pad}{left} = linalg.generic {{{', '.join(parts)}}} {ins}{outs} {{")
        args = [Scalar(self.fresh(), held(v.dtype)) for v in (*[v for v, _ in inputs], *inits)]
        self.lines.append(f"{pad}^bb0({', '.join(f'{a.name}: {a.element}' for a in args)}):")
        self._indent += 1
        reads = args if len(out_dims) < rank else args[: len(inputs)]
        block = Block(self.fresh, self.write)
        dtypes = [v.dtype for v in (*[v for v, _ in inputs], *inits)]
        results_of_body = body(block, *(block.cast(a, d) for a, d in zip(reads, dtypes, strict=False)))
        yielded = [block.cast(y, held(y.dtype)) for y in results_of_body]
        self.write(f"linalg.yield {', '.join(y.name for y in yielded)} : {', '.join(y.element for y in yielded)}")
        self._indent -= 1
        types = [i.type for i in inits]
        self.write(f"}} -> {types[0] if len(types) == 1 else '(' + ', '.join(types) + ')'}")
        return results

    def generic(
        self,
        extents: Sequence[int],
        inputs: Sequence[tuple[Value, Sequence[int | str]]],
        dtype: str,
        body: Body,
        out_dims: Sequence[int] | None = None,
        start: object = None,
    ) -> Value:
        """One result; `start` initialises the accumulator of a reduction."""
        dims = list(range(len(extents))) if out_dims is None else list(out_dims)
        shape = [extents[d] for d in dims]
        init = self.empty(shape, dtype) if start is None else self.fill(shape, dtype, start)
        return self.generics(extents, inputs, [init], dims, lambda *a: [body(*a)])[0]

    def map(self, values: Sequence[Value], dtype: str, body: Body) -> Value:
        """Elementwise over values of one shape."""
        dims = list(range(values[0].rank))
        return self.generic(values[0].shape, [(v, dims) for v in values], dtype, body)


def _operands(word: str, values: Sequence[Value]) -> str:
    if not values:
        return ""
    names, types = ", ".join(v.name for v in values), ", ".join(v.type for v in values)
    return f"{word}({names} : {types}) "
