"""`ansorc-tune report`: one page that needs nothing else, of what a search found and how it got there."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from pathlib import Path

import numpy as np

from ansorc.compiler.cost_model import training
from ansorc.compiler.records.database import Records
from ansorc.dialect_passes.schedule.machine import Machine
from ansorc.tools import report_pictures as pictures
from ansorc.tools.limits import Limits
from ansorc.tools.report_analysis import TaskTrials, held_out_predictions, intensity, roles_of, tasks_of, wins

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; white-space: nowrap }
th { border-bottom: 1px solid #888 } td.n, th.n { text-align: right }
svg { width: 100%; height: auto; background: #fafafa } h2 { margin-top: 2.5rem; font-size: 1.1rem }
h2, p { overflow-wrap: anywhere } .pair { display: grid; gap: 1rem; grid-template-columns: 1fr }
@media (min-width: 50rem) { .pair { grid-template-columns: 1fr 1fr } }
@media (max-width: 40rem) { svg text { font-size: 20px } }
.changed { background: #fff3c4 } .gain { font-weight: 600 } small { color: #666 }
"""


@dataclass(frozen=True)
class Here:
    """The machine that writes a report: trials of its own targets can be looked into."""

    targets: Sequence[str]
    machine: Machine
    limits: Limits
    undone: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    """For each task, how many times slower its winner is with a decision taken back."""


def page(records: Records, here: Here) -> str:
    """Return the report as HTML."""
    tasks = tasks_of(records)
    machines = [json.loads(str(m)) for (m,) in records.query("SELECT DISTINCT machine FROM runs ORDER BY id")]
    said = sorted({f"{m['processor']}, {m['cores']} cores, {m['system']}" for m in machines if "processor" in m})
    fates = Counter(r.trial.fate for t in tasks for r in t.records)
    title = f"{sum(fates.values())} trials of {len(tasks)} tasks"
    mine = [t for t in tasks if t.first.target in here.targets]
    body = [
        f"<h1>{title}</h1>", *(f"<p>{html.escape(line)}</p>" for line in said),
        "<p>" + ", ".join(f"{count} {html.escape(fate)}" for fate, count in fates.most_common()) + "</p>",
        overview(tasks), *(together(records.path, mine, here) if mine else ()), *(section(t, here) for t in tasks),
    ]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def overview(tasks: Iterable[TaskTrials]) -> str:
    """Return the table of all tasks."""
    rows = [
        [
            f'<a href="#{t.anchor}">{html.escape(t.shape or t.key)}</a>', t.first.threads, len(t.records),
            f"{1e3 * (t.first.seconds or 0):.4f}", f"{1e3 * (t.best.seconds or 0):.4f}", f"<b>{t.gain:.2f}</b>",
            f"{t.flops / (t.best.seconds or 1) / 1e9:.1f}", t.best.candidate.sketch.kind,
        ]
        for t in tasks
    ]  # fmt: skip
    heads = ("loops", "threads", "trials", "default ms", "best ms", "times faster", "GFLOP/s", "kind")
    return _table(heads, rows, numbers=range(1, 7))


def together(path: Path, tasks: Sequence[TaskTrials], here: Here) -> Iterable[str]:
    """Yield what is said of all tasks of this machine: roofline, what won, and how well it was predicted."""
    spots = [
        pictures.Spot(x, t.flops / t.best.seconds / 1e9, f"{t.shape}: {1e3 * t.best.seconds:.4f} ms")
        for t in tasks
        if (x := intensity(t, here.machine)) is not None and t.flops and t.best.seconds
    ]
    if spots:
        limits, threads = here.limits, max(t.first.threads for t in tasks)
        alone = threads == 1
        levels = [(v.name, v.one_core if alone else v.all_cores) for v in limits.levels[-2:]]
        peak = limits.fma_one_core if alone else limits.fma_all_cores
        yield "<h2>Roofline</h2>" + pictures.roofline(spots, peak, levels)
        yield f"<p>Limits as measured with {threads} threads when this page was written. "
        yield "Winograd's algorithm does fewer operations than are counted: it may lie above the roof.</p>"
    won = Counter[str]()
    for t in tasks:
        won.update(wins(t, roles_of(t.task(here.machine))))
    if won:
        total = sum(won.values())
        rows = [[role, f"{exp(w / len(tasks)):.3f}", f"{100 * w / total:.0f}%"] for role, w in won.most_common()]
        yield "<h2>What made the best better</h2>"
        yield "<p>Decisions that changed from one best to the next, by role; several that changed share equally.</p>"
        yield _table(("role", "times faster, mean of all tasks", "share"), rows, numbers=(1, 2))
    found = held_out_predictions(path, here.machine, here.targets)
    if found is not None:
        programs, predicted = found
        chosen = np.random.default_rng(0).permutation(len(predicted))[:2000]
        yield "<h2>Predicted and measured</h2>"
        yield pictures.predictions((1e3 * programs.seconds[chosen]).tolist(), (1e3 * predicted[chosen]).tolist())
        yield f"<p>Each by a model of the other four fifths: {training.accuracy(programs, predicted)}.</p>"


def section(task: TaskTrials, here: Here) -> str:
    """Return what one task has to show: every trial, the best so far, and the winner beside the default."""
    best, first = task.best.candidate, task.first.candidate
    worth = here.undone.get(task.anchor, {})
    rows, marked = list[Sequence[object]](), set[int]()
    for name in dict.fromkeys([*first.values, *best.values]):
        if first.values.get(name) != best.values.get(name):
            marked.add(len(rows))
        slower = f"{worth[name]:.2f}" if name in worth else ""
        rows.append([name, first.values.get(name, ""), best.values.get(name, ""), *([slower] if worth else [])])
    heads = ["decision", f"default ({first.sketch.kind})", f"best ({best.sketch.kind})"]
    report, seconds = task.best.trial, [r.trial.seconds for r in task.records]
    trials = range(1, len(seconds) + 1)
    return (
        f'<h2 id="{task.anchor}">{html.escape(task.shape)} <small>{task.key}, {task.first.target}, '
        f'{task.first.threads} threads</small></h2><div class="pair">{pictures.curve(trials, seconds, "trials")}'
        f"{pictures.curve(task.elapsed, seconds, 'seconds of search')}</div>"
        f"<p>The best has {report.code_bytes / 1024:.1f} KiB of code and {report.vector_spills} vector spills; it took "
        f"{report.compile_seconds:.2f} s to compile.</p>"
        + _table([*heads, *(["times slower with its kind's default"] if worth else [])], rows, (1, 2, 3), marked)
    )


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], numbers: Iterable[int], marked: Iterable[int] = ()
) -> str:
    right, changed = set(numbers), set(marked)

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(f"<{tag}{' class=n' * (k in right)}>{cell}</{tag}>" for k, cell in enumerate(row))

    lines = [f"<tr{' class=changed' * (k in changed)}>{cells('td', row)}</tr>" for k, row in enumerate(rows)]
    return f"<table><tr>{cells('th', heads)}</tr>{''.join(lines)}</table>"
