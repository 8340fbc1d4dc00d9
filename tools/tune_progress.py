"""What a search says while it goes on: a table on a terminal, a line for each batch elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ansorc.compiler.options import Options
from ansorc.compiler.search.scheduler import Progress
from ansorc.compiler.search.tuner import Event
from ansorc.tools.limits import Limits

MOST_ROWS = 40


class Watcher:
    """Shows each batch as it ends."""

    def __init__(self, title: str, options: Options, limits: Limits) -> None:
        self._title, self._options = title, options
        self._peak = limits.fma_one_core if options.threads == 1 else limits.fma_all_cores
        self._live = Live(console=Console(), transient=True) if sys.stdout.isatty() else None

    def __enter__(self) -> Watcher:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, event: Event) -> None:
        """Show the state after a batch."""
        if self._live is not None:
            self._live.update(Group(self.table(event), Text(self.summary(event))))
        else:
            click.echo(self.line(event))

    def line(self, event: Event) -> str:
        """Return one line about a batch."""
        progress = next(p for p in event.progress if p.task.name == event.task.name)
        fates = Counter(t.fate for t in event.trials)
        best = "no result" if progress.best is None else f"{1e3 * progress.best:.4f} ms, {self._speed(progress)}"
        said = ", ".join(f"{count} {fate}" for fate, count in fates.most_common())
        return (
            f"{event.seconds:7.1f} s {event.done:6} trials  {event.task.shape}: {best} ({said}); {self.summary(event)}"
        )

    def summary(self, event: Event) -> str:
        """Return what all tasks take together, and how fast the search goes."""
        known = [p for p in event.progress if p.best is not None]
        total = sum(p.task.weight * p.best for p in known if p.best is not None)
        missing = len(event.progress) - len(known)
        rate = event.done / event.seconds if event.seconds else 0.0
        return (
            f"{self._title} {1e3 * total:.3f} ms"
            + (f" and {missing} tasks to come" if missing else "")
            + (f"; {rate:.1f} trials a second{self._left(event, rate)}")
        )

    def _left(self, event: Event, rate: float) -> str:
        if self._options.seconds is not None:
            return f", {max(0.0, self._options.seconds - event.seconds):.0f} s left"
        left = self._options.trials - event.done
        return f", {left / rate:.0f} s left" if self._options.trials and rate else ""

    def _speed(self, progress: Progress) -> str:
        assert progress.best is not None
        gflops = progress.task.flops / progress.best / 1e9
        return f"{gflops:.0f} GFLOP/s, {100 * gflops / self._peak:.0f}%"

    def table(self, event: Event) -> Table:
        """Return a row for each task: trials, best time, speed, share of the network."""
        total = sum(p.task.weight * p.best for p in event.progress if p.best is not None) or 1.0
        table = Table("task", "loops", "calls", "trials", "best ms", "GFLOP/s, of peak", "share", title=self._title)
        ranked = sorted(event.progress, key=lambda p: -(p.task.weight * (p.best or 0.0)))
        for p in ranked[:MOST_ROWS]:
            best = p.best
            times = ("", "", "") if best is None else (
                f"{1e3 * best:.4f}", self._speed(p), f"{100 * p.task.weight * best / total:.1f}%"
            )  # fmt: skip
            table.add_row(
                p.task.name.removeprefix("task_")[:8], p.task.shape, str(p.task.weight), str(p.trials), *times
            )
        return table
