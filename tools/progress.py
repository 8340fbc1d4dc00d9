"""The line on standard error that says what the compiler is doing."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class ProgressLine:
    """A bar on a terminal; with `verbose` and no terminal, a line for each step."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._start = time.perf_counter()
        self._step = ""
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None, count="")

    def __enter__(self) -> ProgressLine:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, step: str, done: int, total: int) -> None:
        """Show that `done` of `total` items of a step are finished (total 0: unknown)."""
        if self._bar is not None:
            count = f"{done}/{total}" if total else ""
            self._bar.update(self._task, description=step, completed=done, total=total or None, count=count)
        if self._verbose and step != self._step:
            seconds = time.perf_counter() - self._start
            console = self._bar.console if self._bar is not None else Console(stderr=True)
            console.print(f"{seconds:8.2f} s  {step}", highlight=False, markup=False)
        self._step = step
