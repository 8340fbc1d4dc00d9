"""The kind of products that are summed along vectors: results of few channels, and products of few rows.

forall (chunk of every loop) {
  for each register tile { a vector a result; for each step of the sum { fma }; sum each vector; epilogue; store } }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, log2, prod

from mlir import ir

from ansorc.compiler.sketch import chunks
from ansorc.compiler.sketch.analytic import CHUNK_CYCLES, SPILL_FACTOR, TILE_CYCLES, border_cycles, imbalance
from ansorc.compiler.sketch.candidate import Candidate, Sketch
from ansorc.compiler.sketch.decisions import LEAST_LANES, MAX_BLOCK_BYTES, MOST_UNROLLED, divisors
from ansorc.compiler.sketch.dot_step import PARTS, SumAlongVectors
from ansorc.compiler.sketch.kind import Choice, Decision, Kind, Values
from ansorc.compiler.sketch.loop_nest import LoopNest, loop_nest
from ansorc.compiler.sketch.properties import KERNEL_BYTES, Properties, tile_code_bytes
from ansorc.compiler.sketch.speeds import (
    FMA_LATENCY,
    FMA_PORTS,
    L2_BYTES_A_CYCLE,
    LOAD_PORTS,
    MEMORY_BYTES_A_CYCLE,
    bytes_a_cycle,
)
from ansorc.compiler.sketch.stage import Stage
from ansorc.compiler.sketch.steps import Pad
from ansorc.dialect_passes.kernel_facts import Packing
from ansorc.dialect_passes.schedule import border, dot_product
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.dialect_passes.schedule.words import script, settled

MOST_ALONG = 16
"""Results of a register tile along one loop."""
FOLD_CYCLES, FOLD_BYTES = 3.0, 12.0
"""Of one of the steps in which the lanes of a vector are summed: a shuffle and an addition."""
SPARE = 0.25
"""Of the registers, that stay free: LLVM loads the next steps early, and spills sums where fewer do."""


@dataclass(frozen=True, order=True)
class Products:
    """A task that sums along vectors, as numbers."""

    nest: LoopNest
    inner: int
    """Which of the reduction loops becomes blocks of lanes."""

    @property
    def tiled(self) -> tuple[int, ...]:
        """The loops that a register tile covers: the innermost, and the next one if not all operands move with it."""
        long = [k for k, e in enumerate(self.nest.parallel) if e > 1] or [0]
        shared = [k for k in long[-2:-1] if any(o.strides[k] == 0 for o in self.nest.operands[:-1])]
        return (*shared, *long[-1:])

    @property
    def length(self) -> int:
        """Of the loop that becomes blocks of lanes."""
        return self.nest.reductions[self.inner]


@dataclass(frozen=True, order=True)
class Lanes(Decision[Products]):
    """Elements of a vector of the sum."""

    def options(self, nest: Products, machine: Machine, chosen: Values) -> tuple[int, ...]:
        most = gcd(nest.length, machine.lanes(nest.nest.element_bytes))
        return tuple(sorted((d for d in divisors(most) if d >= LEAST_LANES), reverse=True))


@dataclass(frozen=True, order=True)
class Tile(Decision[Products]):
    """Results of a register tile along one loop: each has a vector, beside those of a step of one operand."""

    loop: int
    tiled: tuple[str, ...]
    """Names of the register tiles decided before this one."""

    def options(self, nest: Products, machine: Machine, chosen: Values) -> tuple[int, ...]:
        taken = [chosen[name] for name in self.tiled]
        most = min(nest.nest.parallel[self.loop], MOST_ALONG)
        fitting = (t for t in range(1, most + 1) if registers([*taken, t]) <= machine.vector_registers)
        return tuple(fitting)


@dataclass(frozen=True, order=True)
class Chunk(Decision[Products]):
    """Iterations of a loop in a parallel chunk: a divisor that holds a register tile."""

    role = "parallel"

    loop: int
    tile: str

    def options(self, nest: Products, machine: Machine, chosen: Values) -> tuple[int, ...]:
        return chunks.options(nest.nest.parallel[self.loop], chosen[self.tile] if self.tile else 1)


@dataclass(frozen=True, order=True)
class PadInside(Decision[Products]):
    """Whether each chunk pads what it reads (1), or a parallel step before pads all of it (0)."""

    role = "location"

    def options(self, nest: Products, machine: Machine, chosen: Values) -> tuple[int, ...]:
        own = nest.nest.border
        if own is None:
            return (0,)
        chunk = [chosen[f"chunk_{k}"] for k in range(len(nest.nest.parallel))]
        fits = prod(own.tile([*chunk, *nest.nest.reductions])) * own.element_bytes <= MAX_BLOCK_BYTES
        return (1, 0) if fits and chunk != list(nest.nest.parallel) else (0,)


@dataclass(frozen=True, order=True)
class Unroll(Decision[Products]):
    """How often the innermost loop of the sum is unrolled."""

    role = "unroll"

    def options(self, nest: Products, machine: Machine, chosen: Values) -> tuple[int, ...]:
        steps = nest.length // chosen["lanes"] if nest.inner == len(nest.nest.reductions) - 1 else 1
        return tuple(f for f in (1, 2, MOST_UNROLLED) if steps % f == 0)


def registers(tile: Sequence[int]) -> int:
    """Return the vectors that a register tile holds: its sums, a step of the shorter operand, and one of the other."""
    return prod(tile) + (min(tile) if len(tile) > 1 else 1) + 1


class Dot(Kind[Products]):
    """Sums along vectors."""

    name = "dot"
    prepared = ("lanes", "border")

    def describe(self, function: ir.Operation) -> Products:
        found = dot_product.analyse_products(function)
        nest = loop_nest(function, found.task)
        return Products(nest, found.inner - len(nest.parallel))

    def extents(self, nest: Products) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return nest.nest.parallel, nest.nest.reductions

    def sketch(self, nest: Products) -> Sketch:
        own = nest.nest
        tiles = tuple(f"tile_{k}" if k in nest.tiled else "" for k in range(len(own.parallel)))
        pad = (Pad("border", own.border.sizes),) if own.border is not None else ()
        return Sketch(
            self.name, own.parallel, own.reductions,
            (*pad, SumAlongVectors(own.parallel, own.reductions, nest.inner, tiles)),
        )  # fmt: skip

    def space(self, nest: Products) -> Sequence[Decision[Products]]:
        tiles: list[Tile] = []
        for k in reversed(nest.tiled):
            tiles.append(Tile(f"tile_{k}", k, tuple(t.name for t in tiles)))
        named = {t.loop: t.name for t in tiles}
        cuts = [Chunk(f"chunk_{k}", k, named.get(k, "")) for k in range(len(nest.nest.parallel))]
        return (Lanes("lanes"), *tiles, *cuts, PadInside("border"), Unroll("unroll"))

    def choose(self, nest: Products, machine: Machine) -> Choice | None:
        best: tuple[float, dict[str, int]] | None = None
        decisions = {d.name: d for d in self.space(nest)}
        for lanes in decisions["lanes"].options(nest, machine, {})[:1]:
            for tiles in self._tiles(nest, machine):
                values = {"lanes": lanes, **tiles}
                whole = {**values, **{f"chunk_{k}": e for k, e in enumerate(nest.nest.parallel)}, "border": 0}
                wanted = max(1, int(sum(self.parts(nest, machine, whole).values()) / CHUNK_CYCLES))
                blocks = {k: tiles[f"tile_{k}"] for k in nest.tiled}
                cut, waiting = chunks.choose(nest.nest.parallel, range(len(nest.nest.parallel)), blocks, wanted)
                values |= cut
                values["border"] = decisions["border"].default(nest, machine, values)
                values["unroll"] = decisions["unroll"].options(nest, machine, values)[-1]
                cycles = sum(self.parts(nest, machine, values).values()) * waiting
                if best is None or cycles < best[0]:
                    best = cycles, values
        if best is None:
            return None
        return Choice(Candidate(self.sketch(nest), tuple((n, best[1][n]) for n in decisions)), best[0])

    def _tiles(self, nest: Products, machine: Machine) -> list[dict[str, int]]:
        found: list[dict[str, int]] = [{}]
        for decision in (d for d in self.space(nest) if isinstance(d, Tile)):
            found = [{**f, decision.name: t} for f in found for t in decision.options(nest, machine, f)]
        return found

    def parts(self, nest: Products, machine: Machine, values: Values) -> Mapping[str, float]:
        own = nest.nest
        steps = own.steps // values["lanes"]
        arithmetic = 0.0
        for tile, times in tile_kinds(nest, values):
            results, loads = prod(tile), sum(tile) if len(tile) > 1 else tile[0] + 1
            step = max(results / FMA_PORTS, loads / LOAD_PORTS, FMA_LATENCY) + 1 / values.get("unroll", 1)
            if registers(tile) > (1 - SPARE) * machine.vector_registers:
                step *= SPILL_FACTOR
            fold = results * log2(values["lanes"]) * FOLD_CYCLES
            rows = results / tile[-1] * -(-tile[-1] // values["lanes"])
            arithmetic += times * (steps * step + fold + results + rows * own.epilogue_cycles + TILE_CYCLES)
        if own.border is not None:
            chunk = [values[f"chunk_{k}"] for k in range(len(own.parallel))]
            tile_bytes = prod(own.border.tile([*chunk, *own.reductions])) * own.element_bytes
            cut = chunk_count(nest, values) if values.get("border") else 0
            arithmetic += border_cycles(own.border, tile_bytes, cut)
        touched, weights = (sum(o.size for o in own.operands if o.constant or not only) for only in (False, True))
        memory = weights / MEMORY_BYTES_A_CYCLE + (touched - weights) / bytes_a_cycle(machine, touched - weights)
        return {
            "FMA ports": arithmetic,
            "L2": touched / L2_BYTES_A_CYCLE,
            "memory": memory if touched > machine.l2_bytes / 2 else 0.0,
        }

    def properties(self, nest: Products, machine: Machine, values: Values) -> Properties:
        own, lanes = nest.nest, values["lanes"]
        vector, cut = lanes * own.element_bytes, chunk_count(nest, values)
        code, loads, steps = KERNEL_BYTES, 0.0, own.steps // lanes
        window = max(1, own.steps // nest.length)
        tile = [values[f"tile_{k}"] for k in nest.tiled]
        for sizes, times in tile_kinds(nest, values):
            loads += times * steps * (sum(sizes) + (len(sizes) == 1)) * vector
            code += tile_code_bytes(prod(sizes), 1, values["unroll"], window, own.epilogue_cycles)
            code += prod(sizes) * FOLD_BYTES * log2(lanes)
        touched = float(sum(o.size for o in own.operands))
        results = prod(own.parallel) * own.element_bytes
        return Properties(
            flops=2.0 * prod(own.parallel) * own.steps,
            registers=registers(tile),
            vector_efficiency=lanes / machine.lanes(own.element_bytes),
            chunks=cut,
            balance=1 / imbalance(cut),
            tile_footprint=float(steps * (sum(tile) + (len(tile) == 1)) * vector),
            chunk_footprint=touched / cut,
            task_footprint=touched,
            l1_bytes=loads + results,
            l2_bytes=touched,
            memory_bytes=touched if touched > machine.l2_bytes / 2 else 0.0,
            code_bytes=code,
        )

    def prepare(self, function: ir.Operation, values: Values) -> dict[int, Packing]:
        with function.context:
            packings = dot_product.run(function, dot_product.analyse_products(function), values["lanes"])
        border.put_off(function, values["border"])
        return packings

    def emit(self, candidate: Candidate) -> str:
        made = Stage([], "", list(candidate.sketch.parallel), PARTS)
        for step in candidate.sketch.steps:
            step.emit(candidate.values, made)
        return script(*made.lines, *settled(), attributes=self.attributes(candidate.values))


def chunk_count(nest: Products, values: Values) -> int:
    return prod(e // values[f"chunk_{k}"] for k, e in enumerate(nest.nest.parallel))


def tile_kinds(nest: Products, values: Values) -> list[tuple[list[int], int]]:
    """Return (size along each tiled loop, how many) of the whole and the peeled register tiles of a task."""
    kinds: list[list[tuple[int, int]]] = []
    for k in nest.tiled:
        size, chunk = values[f"tile_{k}"], values[f"chunk_{k}"]
        times = nest.nest.parallel[k] // chunk
        kinds.append([(size, times * (chunk // size)), *([(chunk % size, times)] if chunk % size else [])])
    others = prod(e for k, e in enumerate(nest.nest.parallel) if k not in nest.tiled)
    return [([s for s, _ in c], others * prod(t for _, t in c)) for c in product(*kinds)]
