"""Logs of the original Ansor as records to train cost models on: its workloads by the names that it gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansorc.compiler.driver import read, to_tasks
from ansorc.compiler.errors import UnknownTargetError, UnusableRecordsError
from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.options import Options
from ansorc.compiler.records import ansor_log
from ansorc.compiler.records.ansor_log import Line
from ansorc.compiler.records.database import Record
from ansorc.compiler.search.task import SearchTask, tasks_of
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.compiler.sketch.register_tile import RegisterTile
from ansorc.compiler.target import Target, parse_target, target_key
from ansorc.compiler.task_job import machine_of
from ansorc.frontends.errors import ModelError
from ansorc.tools.workloads import BatchMatmul, Workload
from ansorc.tools.workloads_convolution import Convolution

ALIASES = {"core-avx2": "haswell", "": "x86-64"}
"""Names of processors that only TVM's users write."""
SHAPE = 4
"""Numbers of a shape of Relay's NHWC convolutions."""
Batched = tuple[int, Workload]


def _convolution(rank: int, *sizes: Any, bias: bool = False, activation: str = "") -> Batched:
    """Read batch, extents, channels, filters, kernel, stride, padding, and perhaps dilation and groups."""
    batch, *rest = sizes
    spatial, (channels, filters, kernel, stride, padding, *others) = rest[:rank], rest[rank:]
    dilation, groups = (int(number) for number in (*others, 1, 1)[:2])
    return batch, Convolution(
        "C", tuple(spatial), channels, filters, _sizes(kernel), _sizes(stride), _sizes(padding), dilation=dilation,
        groups=groups, bias=bias, activation=activation,
    )  # fmt: skip


def _depthwise(*sizes: Any) -> Batched:
    batch, height, width, channels, *rest = sizes
    return _convolution(2, batch, height, width, channels, channels, *rest[:3], 1, channels)


def _product(batch: int, rows: int, columns: int, depth: int) -> Batched:
    return batch, BatchMatmul("GMM", rows, columns, depth)


FUNCTIONS: Mapping[str, Callable[..., Batched]] = {
    "conv1d_nlc": partial(_convolution, 1),
    "conv2d_nhwc": partial(_convolution, 2),
    "conv3d_ndhwc": partial(_convolution, 3),
    "conv2d_nhwc_bn_relu": partial(_convolution, 2, bias=True, activation="relu"),
    "depthwise_conv2d_nhwc": _depthwise,
    "batch_matmul_nkkm": _product,
    "matmul_auto_scheduler_test": partial(_product, 1),
}
"""What the artifact of the paper and TVM's own tests call their workloads, with the arguments that these take."""


def workload_of(line: Line) -> Batched | None:
    """Return the workload of a line and its batch; None for one that we do not know."""
    function = FUNCTIONS.get(line.workload)
    try:
        return _by_shapes(line.arguments) if function is None else function(*line.arguments)
    except (TypeError, ValueError):
        return None


def _by_shapes(numbers: Sequence[Any]) -> Batched | None:
    """Return the convolution of shapes that Relay wrote behind a hash: input, weights, other operands, result."""
    if len(numbers) < 3 * SHAPE or len(numbers) % SHAPE or not all(isinstance(n, int) for n in numbers):
        return None
    (batch, height, width, channels), (kh, kw, inputs, filters) = numbers[:SHAPE], numbers[SHAPE : 2 * SHAPE]
    result = tuple(numbers[-SHAPE:])
    if inputs != channels or result[0] != batch or result[-1] != filters:
        return None
    strides, paddings = zip(
        *(_stride_and_padding(*axis) for axis in ((height, result[1], kh), (width, result[2], kw))), strict=True
    )
    bias = len(numbers) > 3 * SHAPE
    made = Convolution("C", (height, width), channels, filters, (kh, kw), strides, paddings, bias=bias)
    return (batch, made) if made.output_spatial == result[1:3] else None


def _stride_and_padding(extent: int, result: int, kernel: int) -> tuple[int, int]:
    """Return the least stride that makes `result` outputs of an axis, and the padding on either side."""
    stride = next(s for s in range(1, extent + 2) if (result - 1) * s + kernel - extent > -s)
    return stride, -(-max(0, (result - 1) * stride + kernel - extent) // 2)


def _sizes(found: Any) -> int | tuple[int, ...]:
    return tuple(found) if isinstance(found, list) else int(found)


@dataclass
class Imported:
    """What became of a log."""

    records: list[Record] = field(default_factory=list[Record])
    tasks: dict[str, SearchTask] = field(default_factory=dict[str, SearchTask])
    left_out: Counter[str] = field(default_factory=Counter[str])
    """Why, and of how many lines."""


def is_log(path: Path) -> bool:
    """Whether the first line of a file is one of such a log; raises UnusableRecordsError where it cannot be read."""
    try:
        with path.open() as file:
            return ansor_log.is_log(next((text for text in file if text.strip()), ""))
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableRecordsError(path, str(error)) from error


def lines_of(path: Path) -> Iterator[tuple[int, Line]]:
    """Yield the lines of a log and their numbers; raises UnusableRecordsError that names the line."""
    with path.open() as file:
        for number, text in enumerate(file, 1):
            if text.strip() and not text.startswith(ansor_log.COMMENT):
                try:
                    yield number, ansor_log.from_line(text)
                except ValueError as error:
                    raise UnusableRecordsError(path, f"line {number}: {error}") from error


def import_log(path: Path, target: str | None, threads: int | None) -> Imported:
    """Read a log. Where a line does not say on what, or on how many threads, it was measured, the arguments do.

    Raises UnusableRecordsError.
    """
    found = Imported()
    known: dict[tuple[Any, ...], SearchTask | None] = {}
    for number, line in lines_of(path):
        if line.compiler != "llvm":
            found.left_out[f"for {line.compiler}, which is no CPU"] += 1
            continue
        if line.seconds is None:
            found.left_out["failed"] += 1
            continue
        try:
            processor = parse_target(target or ALIASES.get(line.cpu, line.cpu))
        except UnknownTargetError as error:
            raise UnusableRecordsError(
                path, f"line {number}: {error}", "say what it was measured on: --target"
            ) from error
        key = (processor, line.workload, repr(line.arguments))
        if key not in known:
            known[key] = _task(line, processor)
        task = known[key]
        if task is None:
            found.left_out[f"of {_named(line)}, which is no workload that is known"] += 1
            continue
        candidate = None if line.tiling is None else _candidate(task, line.tiling)
        if candidate is None:
            found.left_out[f"of {_named(line)}, with tiles of another structure"] += 1
            continue
        if not (used := threads or line.threads):
            hint = "say how many it was measured on: --threads"
            raise UnusableRecordsError(path, f"line {number} does not say its number of threads", hint)
        found.tasks[task.name] = task
        trial = Trial("measured", (line.seconds,))
        imported = target_key(processor, imported=True)
        found.records.append(Record(task.name, imported, used, candidate, trial, line.created, line.seconds))
    return found


def _named(line: Line) -> str:
    return line.workload if line.workload in FUNCTIONS or len(line.workload) < 32 else "a subgraph of Relay"


def _task(line: Line, target: Target) -> SearchTask | None:
    """Return the task of a line's workload that has the most operations."""
    found = workload_of(line)
    if found is None:
        return None
    batch, workload = found
    options = Options(target=target)
    try:
        source = to_tasks(read(workload.case(batch).model, options), options)
    except (ModelError, ValueError):  # sizes that no layer has
        return None
    return max(tasks_of(source, machine_of(target)), key=lambda t: t.flops, default=None)


def _candidate(task: SearchTask, tiling: ansor_log.Tiling) -> Candidate | None:
    for space in task.spaces:
        if space.kind.name == RegisterTile.name:
            values = ansor_log.decisions_of(tiling, space)
            return None if values is None else Candidate(space.sketch, tuple(values.items()))
    return None
