"""A chain of operations as numbers, and the decisions of its schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd, prod

from mlir import ir

from ansorc.compiler.sketch.decisions import LEAST_LANES, MAX_VECTORS, divisors, window_budget
from ansorc.compiler.sketch.kind import Decision, Values
from ansorc.compiler.sketch.loop_nest import body_cycles, bytes_of
from ansorc.dialect_passes.ir_walk import body, segments, shape
from ansorc.dialect_passes.schedule.block_channels import CannotBlock, constant_arguments
from ansorc.dialect_passes.schedule.chain_loops import CONTRACTION, MAP, REDUCTION, Chain, Stage, Window
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.prepare_chain import root_of

MAX_BLOCK_BYTES = 256 << 10
"""Largest block of rows of one value: it lies on the stack of a thread."""
MAX_WINDOW_BLOCK_BYTES = 512 << 10
"""The same where windows are read of it: what neighbours share is computed twice, so small blocks are dear."""


@dataclass(frozen=True, order=True)
class Product:
    """A contraction of a chain: what is read by its columns."""

    root: int
    """The stage that is tiled down to its register tile: the elementwise one behind it."""
    columns: int
    """The class of loops that fills vectors."""
    operand: int
    """Number of the operand that is read by columns and not by rows."""
    contiguous: int
    """The class of the loops along which that lies in memory without gaps."""
    constant: bool
    packable: bool
    """Whether it is an argument."""
    panel_loops: tuple[int, ...]
    """The classes of that operand that are common to all stages."""
    window: bool = False
    """Whether windows are read by columns, as those of a depthwise convolution are: then its register tile is one
    vector wide, as no vector shares anything with another."""


@dataclass(frozen=True, order=True)
class StageNest:
    """One operation of a chain."""

    role: str
    loops: tuple[int, ...]
    reductions: int
    cycles: float
    """About how long its body takes for one vector."""
    product: Product | None = None

    @property
    def reduced(self) -> tuple[int, ...]:
        """The classes of its reductions."""
        return self.loops[len(self.loops) - self.reductions :]


@dataclass(frozen=True, order=True)
class ChainNest:
    """The loops of a chain, by classes: loops of different operations over the same dimension (see chain_loops)."""

    stages: tuple[StageNest, ...]
    extents: tuple[int, ...]
    batch: tuple[int, ...]
    """Classes common to all stages that every operand is read by: heads, images."""
    rows: tuple[int, ...]
    """Classes common to all stages that share what is read by columns."""
    windows: tuple[Window, ...]
    """Classes of which a block of rows needs what its windows cover."""
    element_bytes: int
    argument_bytes: int
    result_bytes: int
    weight_bytes: int
    """Of the arguments."""

    @property
    def products(self) -> tuple[tuple[int, Product], ...]:
        """The contractions, with the numbers of their stages."""
        return tuple((k, s.product) for k, s in enumerate(self.stages) if s.product is not None)

    @property
    def columns(self) -> tuple[int, ...]:
        """Classes that are split into vectors."""
        return tuple(dict.fromkeys(p.columns for _, p in self.products))

    def rows_of(self, stage: StageNest) -> tuple[int, ...]:
        """Return the classes of a stage that run over rows, or over windows of them."""
        covered = {w.rows: w.loops for w in self.windows if w.loops in stage.loops}
        return tuple(covered.get(c, c) for c in self.rows)

    def block(self, c: int, values: Values) -> int:
        """Return how much of a class of rows, or of windows of rows, one chunk has."""
        window = next((w for w in self.windows if w.loops == c), None)
        if window is None:
            return values[f"block_{c}"]
        return min(self.extents[c], window.covered(values[f"block_{window.rows}"]))

    def block_rows(self, stage: StageNest, values: Values) -> int:
        """Return how many rows of a stage one chunk computes."""
        return self._of_blocks(values)[0][stage.loops]

    def kept_bytes(self, values: Values) -> int:
        """Return the bytes of the largest block that one stage of a chunk leaves for another."""
        return self._of_blocks(values)[1]

    def _of_blocks(self, values: Values) -> tuple[dict[tuple[int, ...], int], int]:
        """Return rows by the loops of a stage, and bytes: of few blocks, for each of thousands of candidates."""
        key = tuple(values[f"block_{c}"] for c in self.rows)
        if key not in self._known:
            rows = {s.loops: prod(self.block(c, values) for c in self.rows_of(s)) for s in self.stages}
            kept = (rows[s.loops] * self.extents[s.product.columns] for s in self.stages if s.product is not None)
            self._known[key] = rows, self.element_bytes * max(kept)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[int, ...], tuple[dict[tuple[int, ...], int], int]]:
        return {}

    def lanes(self, c: int, values: Values) -> int:
        """Return how many elements of a class of columns a vector has."""
        return gcd(values["lanes"], self.extents[c])


def chain_nest(chain: Chain, function: ir.Operation) -> ChainNest:
    """Describe a prepared chain; raises CannotBlock."""
    constants = constant_arguments(function)
    common = chain.common
    numbers: dict[ir.Value, int] = {s.op.results[0]: k for k, s in enumerate(chain.stages)}
    stages: list[StageNest] = []
    shared: set[int] = set()
    for s in chain.stages:
        product = None
        if s.role == CONTRACTION:
            product = _product(s, chain, common, numbers, constants)
            shared |= set(common) & {c for c in s.operand_loops(product.operand) if c is not None}
        stages.append(StageNest(s.role, s.loops, s.reductions, body_cycles(s.op), product))
    rows = tuple(c for c in common if c not in shared)
    if not rows:
        raise CannotBlock("no rows that share the columns")
    result = list(body(function).operations)[-1].operands[0]
    last = chain.stages[-1]
    if last.op.results[0] != result or last.role != MAP:
        raise CannotBlock("the last operation is not elementwise")
    kind = ir.RankedTensorType(result.type).element_type
    if not isinstance(kind, ir.F32Type):
        raise CannotBlock("elements are not f32")
    arguments = sum(bytes_of(a) for a in body(function).arguments)
    weights = sum(bytes_of(a) for a in body(function).arguments if a.arg_number in constants)
    batch = tuple(c for c in common if c not in rows)
    nest = ChainNest(tuple(stages), chain.extents, batch, rows, chain.windows, 4, arguments, bytes_of(result), weights)
    for stage in nest.stages:
        reduced_rows = stage.role == REDUCTION and (len(stage.reduced) != 1 or stage.reduced[0] not in nest.columns)
        if reduced_rows:
            raise CannotBlock("a reduction runs over something besides the columns")
    return nest


def _product(
    s: Stage, chain: Chain, common: Sequence[int], numbers: dict[ir.Value, int], constants: set[int]
) -> Product:
    root = root_of(s.op)
    columns = s.parallel[-1]
    if root is None or columns in common:
        raise CannotBlock("the columns are the rows")
    last = chain.stages[numbers[root.results[0]]].parallel[-1]
    if last != columns:
        raise CannotBlock("the result of a contraction is written transposed")
    for number in range(segments(s.op)[0]):
        loops, value = s.operand_loops(number), s.op.operands[number]
        if columns in loops and not set(common) <= set(loops) and None not in loops:
            is_argument = isinstance(value.owner, ir.Block)
            if not is_argument:
                raise CannotBlock("what is read by columns is made in the chain")
            lying = [c for c, size in zip(loops, shape(value), strict=True) if c is not None and size > 1]
            constant = ir.BlockArgument(value).arg_number in constants
            panel = tuple(c for c in s.parallel if c in loops and c in common)
            reads = [s.operand_loops(n) for n in range(segments(s.op)[0])]
            window = any(None in r and columns in r for r in reads)
            return Product(
                numbers[root.results[0]], columns, number, lying[-1] if lying else columns,
                constant, not constant, panel, window,
            )  # fmt: skip
    raise CannotBlock("nothing is read by columns alone")


@dataclass(frozen=True, order=True)
class Lanes(Decision[ChainNest]):
    """Most elements of a vector: columns that those do not divide have as many as do (see ChainNest.lanes)."""

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = machine.lanes(nest.element_bytes)
        least, widest = (f(gcd(most, nest.extents[c]) for c in nest.columns) for f in (min, max))
        if least < LEAST_LANES:
            return ()
        return tuple(sorted((d for d in divisors(widest) if d >= LEAST_LANES), reverse=True))


@dataclass(frozen=True, order=True)
class Vectors(Decision[ChainNest]):
    """Vectors of columns in a register tile."""

    columns: int

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        blocks = nest.extents[self.columns] // nest.lanes(self.columns, chosen)
        return tuple(d for d in divisors(blocks) if d <= MAX_VECTORS)


@dataclass(frozen=True, order=True)
class Block(Decision[ChainNest]):
    """Rows of one class in a parallel chunk: a divisor of all."""

    role = "parallel"

    rows: int
    others: tuple[str, ...]
    """Names of the blocks decided before this one."""

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        made = {f"block_{c}": 1 for c in nest.rows} | {name: chosen[name] for name in self.others}
        most = MAX_WINDOW_BLOCK_BYTES if nest.windows else MAX_BLOCK_BYTES
        sizes = divisors(nest.extents[self.rows])
        return tuple(d for d in sizes if nest.kept_bytes({**made, self.name: d}) <= most)


@dataclass(frozen=True, order=True)
class Tile(Decision[ChainNest]):
    """Rows of the register tile of one contraction."""

    columns: int
    rows: int
    """The class of its loops that it takes."""
    window: bool = False

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        vectors = chosen[f"vectors_{self.columns}"]
        most = window_budget(machine) if self.window else (machine.vector_registers - vectors - 1) // vectors
        return tuple(range(1, min(most, nest.block(self.rows, chosen)) + 1))


@dataclass(frozen=True, order=True)
class Pack(Decision[ChainNest]):
    """Whether what a contraction reads by columns is packed into panels first (1); it must be where it lies across."""

    role = "packing"

    stage: int

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        product = nest.stages[self.stage].product
        assert product is not None
        if not product.packable:
            return (0,)
        return (1, 0) if product.contiguous == product.columns else (1,)


@dataclass(frozen=True, order=True)
class RowTile(Decision[ChainNest]):
    """Rows that an elementwise stage or a reduction takes at once."""

    block: str

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return tuple(d for d in (1, 2, 4) if chosen[self.block] % d == 0)


@dataclass(frozen=True, order=True)
class Unroll(Decision[ChainNest]):
    """How often the innermost reduction loop of every contraction is unrolled, where it divides that."""

    role = "unroll"

    def options(self, nest: ChainNest, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return (1, 2, 4)


def space(nest: ChainNest) -> tuple[Decision[ChainNest], ...]:
    """Return the decisions in the order in which they are made."""
    blocks: list[Block] = []
    for c in nest.rows:
        blocks.append(Block(f"block_{c}", c, tuple(b.name for b in blocks)))
    innermost = blocks[-1].name
    return (
        Lanes("lanes"),
        *(Vectors(f"vectors_{c}", c) for c in nest.columns),
        *blocks,
        *(Tile(f"tile_{k}", p.columns, nest.rows_of(nest.stages[k])[-1], p.window) for k, p in nest.products),
        *(Pack(f"pack_{k}", k) for k, _ in nest.products),
        RowTile("row_tile", innermost),
        Unroll("unroll"),
    )
