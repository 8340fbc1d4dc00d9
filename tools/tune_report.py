"""`ansorc-tune report`: one page that needs nothing else, of what a search found and how it got there."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log10

from ansorc.compiler.records.database import Record, Records

WIDTH, HEIGHT, MARGIN = 640, 260, 46
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; white-space: nowrap }
th { border-bottom: 1px solid #888 } td.n, th.n { text-align: right }
svg { width: 100%; height: auto; background: #fafafa } h2 { margin-top: 2.5rem; font-size: 1.1rem }
.changed { background: #fff3c4 } .gain { font-weight: 600 } small { color: #666 }
"""


@dataclass(frozen=True)
class TaskTrials:
    """All trials of one task on one target with so many threads, in order."""

    key: str
    shape: str
    flops: float
    records: Sequence[Record]

    @property
    def measured(self) -> list[Record]:
        """Those that have a time."""
        return [r for r in self.records if r.seconds is not None]

    @property
    def best(self) -> Record:
        """The fastest."""
        return min(self.measured, key=lambda r: r.seconds or 0.0)

    @property
    def first(self) -> Record:
        """The first one: a search begins with the default schedule."""
        return self.measured[0]

    @property
    def gain(self) -> float:
        """How many times faster the best is than the first."""
        return (self.first.seconds or 0.0) / (self.best.seconds or 1.0)


def tasks_of(records: Records) -> list[TaskTrials]:
    """Return the tasks that have measured trials, those with most time first."""
    known = {str(k): (str(s), float(str(f))) for k, s, f in records.query("SELECT key, shape, flops FROM tasks")}
    groups: dict[tuple[str, str, int], list[Record]] = {}
    for record in records.every():
        groups.setdefault((record.task, record.target, record.threads), []).append(record)
    found = [TaskTrials(k[0], *known.get(k[0], ("", 0.0)), rs) for k, rs in groups.items()]
    return sorted((t for t in found if t.measured), key=lambda t: -(t.best.seconds or 0.0))


def page(records: Records) -> str:
    """Return the report as HTML."""
    tasks = tasks_of(records)
    machines = [json.loads(str(m)) for (m,) in records.query("SELECT DISTINCT machine FROM runs ORDER BY id")]
    said = sorted({f"{m['processor']}, {m['cores']} cores, {m['system']}" for m in machines if "processor" in m})
    fates = Counter(r.trial.fate for t in tasks for r in t.records)
    title = f"{sum(fates.values())} trials of {len(tasks)} tasks"
    body = [
        f"<h1>{title}</h1>", *(f"<p>{html.escape(line)}</p>" for line in said),
        "<p>" + ", ".join(f"{count} {html.escape(fate)}" for fate, count in fates.most_common()) + "</p>",
        overview(tasks), *(section(t) for t in tasks),
    ]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def overview(tasks: Iterable[TaskTrials]) -> str:
    """Return the table of all tasks."""
    rows = [
        f'<tr><td><a href="#{t.key}-{t.first.threads}">{html.escape(t.shape or t.key)}</a></td>'
        f'<td class="n">{t.first.threads}</td><td class="n">{len(t.records)}</td>'
        f'<td class="n">{1e3 * (t.first.seconds or 0):.4f}</td><td class="n">{1e3 * (t.best.seconds or 0):.4f}</td>'
        f'<td class="n gain">{t.gain:.2f}</td><td class="n">{t.flops / (t.best.seconds or 1) / 1e9:.1f}</td>'
        f"<td>{t.best.candidate.sketch.kind}</td></tr>"
        for t in tasks
    ]
    heads = ("loops", "threads", "trials", "default ms", "best ms", "times faster", "GFLOP/s", "kind")
    cells = "".join(f'<th class="{"n" * (0 < k < 7)}">{h}</th>' for k, h in enumerate(heads))
    return f"<table><tr>{cells}</tr>{''.join(rows)}</table>"


def section(task: TaskTrials) -> str:
    """Return what one task has to show: every trial, the best so far, and the winner beside the default."""
    best, first = task.best.candidate, task.first.candidate
    names = dict.fromkeys([*first.values, *best.values])
    rows = "".join(
        f"<tr{' class=changed' * (first.values.get(n) != best.values.get(n))}><td>{html.escape(n)}</td>"
        f'<td class="n">{first.values.get(n, "")}</td><td class="n">{best.values.get(n, "")}</td></tr>'
        for n in names
    )
    report = task.best.trial
    return (
        f'<h2 id="{task.key}-{task.first.threads}">{html.escape(task.shape)} <small>{task.key}, '
        f"{task.first.threads} threads</small></h2>{curve(task)}"
        f"<p>The best has {report.code_bytes / 1024:.1f} KiB of code and {report.vector_spills} vector spills; it took "
        f"{report.compile_seconds:.2f} s to compile.</p>"
        f'<table><tr><th>decision</th><th class="n">default ({first.sketch.kind})</th>'
        f'<th class="n">best ({best.sketch.kind})</th></tr>{rows}</table>'
    )


def curve(task: TaskTrials) -> str:
    """Return a picture: a dot for each measured trial, and the line of the best so far; milliseconds on a log scale."""
    points = [(k, r.trial.seconds) for k, r in enumerate(task.records, 1) if r.trial.seconds is not None]
    low, high = (log10(1e3 * f(s for _, s in points)) for f in (min, max))
    high = max(high, low + 0.05)
    last = max(1, len(task.records))

    def x(trial: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * trial / last

    def y(seconds: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 1.5 * MARGIN) * (log10(1e3 * seconds) - low) / (high - low)

    dots = "".join(f'<circle cx="{x(k):.1f}" cy="{y(s):.1f}" r="2.2" fill="#8aa" />' for k, s in points)
    best, line = points[0][1], [f"M{x(points[0][0]):.1f},{y(points[0][1]):.1f}"]
    for k, s in points[1:]:
        best = min(best, s)
        line.append(f"H{x(k):.1f}V{y(best):.1f}")
    marks = "".join(
        f'<text x="{MARGIN - 4}" y="{y(10**v / 1e3):.1f}" text-anchor="end" font-size="11">{10**v:.3g}</text>'
        for v in (low, (low + high) / 2, high)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="milliseconds by trial">{dots}'
        f'<path d="{"".join(line)}" fill="none" stroke="#b30" stroke-width="2" />{marks}'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 14}" text-anchor="end" font-size="11">{last} trials</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 14}" font-size="11">ms, log scale; line: best so far</text></svg>'
    )
