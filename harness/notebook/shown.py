"""How a loaded run shows itself: a line of text, and a small page for a notebook.

Invariants
- Whatever a document of the run contains is text: all of it is escaped, control characters are
  replaced, and what is not of the kind that is expected is left out.
- No colours and no scripts: a notebook's own, light or dark, hold. The number of rows is bounded.
  Notebooks read ``$`` as the begin of a formula, unless a class says not to.
- Times of a run that is INVALID are withheld, as in every report.
- Only documents are read, never rows: showing a run of any size takes no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.errors import RunDirectoryError
from harness.report import figures
from harness.report.fields import group, listed, number, text, verdicts_of
from harness.schema import OPERATIONS

if TYPE_CHECKING:
    from harness.notebook.loaded_run import LoadedRun

__all__ = ["as_html", "as_text"]

_TIMES = {"p50": "p50_ms", "p90": "p90_ms", "p99": "p99_ms", "longest": "max_ms"}
_STEPS_MAX = 40
_SENTENCES_MAX = 5


def as_text(run: LoadedRun) -> str:
    """One line: what it is, how it ended, and the figures that matter most."""
    return f"<LoadedRun {figures.plain(run.path)}: {', '.join(_facts(run))}>"


def as_html(run: LoadedRun) -> str:
    """A heading, the figures of each operation or step, and what is to be known of them."""
    path, facts = figures.plain(run.path), ", ".join(_facts(run))
    parts = [f"<strong>{escape(path)}</strong><br>{escape(facts)}"]
    parts.append(_steps(run) if run.steps else _operations(run))
    parts += [f"<div>{escape(sentence)}</div>" for sentence in _sentences(run)]
    return f'<div class="tex2jax_ignore mathjax_ignore">{"".join(parts)}</div>'


def _facts(run: LoadedRun) -> list[str]:
    info, summary = run.info, _summary(run)
    facts = [text(info, "command") or "run", _status(run)]
    if run.steps:
        return [*facts, figures.counted(len(run.steps), "step")]
    agents = number(info, "agents")
    if agents is not None:
        facts.append(figures.counted(agents, "agent"))
    if summary is None:
        return [*facts, "no summary"]
    failed = number(summary, "failed")
    facts.append(figures.counted(number(summary, "operations"), "operation"))
    facts += [f"{figures.count(failed)} failed"] if failed else []
    facts.append(f"{figures.rate(number(summary, 'throughput_ops_s'))} operations/s")
    if not _is_invalid(summary):
        facts.append(f"p99 {figures.time(number(summary, 'all', 'p99_ms'))}")
    return facts


def _operations(run: LoadedRun) -> str:
    summary = _summary(run)
    if summary is None or _is_invalid(summary):
        return ""
    rows = []
    for name in ("all", *OPERATIONS):
        found = group(summary, name)
        times = [figures.time(number(found, path)) for path in _TIMES.values()]
        service = figures.time(number(summary, "service", name, "mean_ms"))
        rows.append([name, figures.count(number(found, "count")), *times, service])
    return _table(["", "operations", *_TIMES, "mean service"], rows)


def _steps(run: LoadedRun) -> str:
    rows = []
    for name, step in islice(run.steps.items(), _STEPS_MAX):
        summary = _summary(step)
        rate = figures.rate(number(summary, "throughput_ops_s"))
        known = None if _is_invalid(summary) else summary
        times = [figures.time(number(known, "all", path)) for path in ("p50_ms", "p99_ms")]
        rows.append([figures.plain(name), _status(step), rate, *times])
    more = len(run.steps) - len(rows)
    if more > 0:
        rows.append([f"and {more} more", *[""] * 4])
    return _table(["step", "status", "operations/s", "p50", "p99"], rows)


def _sentences(run: LoadedRun) -> Iterable[str]:
    """What limited it, what is wrong, and what could not be read."""
    summary = _summary(run)
    limit = text(summary, "limit", "sentence")
    wrong = [one.sentence for one in verdicts_of(summary) if one.verdict not in {"ok", "none"}]
    problems = [figures.plain(one) for one in listed(run.info, "problems")]
    damaged = run.damaged_files
    if damaged:
        wrong.append(f"{figures.counted(len(damaged), 'file')} could not be read whole.")
    found = dict.fromkeys([one for one in (limit, *wrong, *problems) if one])
    return islice(found, _SENTENCES_MAX)


def _status(run: LoadedRun) -> str:
    return text({"status": run.status}, "status")


def _summary(run: LoadedRun) -> Mapping[str, Any] | None:
    """The summary; one that cannot be read is no reason not to show the rest."""
    try:
        return run.summary
    except RunDirectoryError:
        return None


def _is_invalid(summary: object) -> bool:
    return any(one.verdict == "invalid" for one in verdicts_of(summary))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str], mark: str) -> str:
        first, *others = (escape(cell) for cell in cells)
        rest = "".join(f'<{mark} style="text-align: right">{cell}</{mark}>' for cell in others)
        return f'<tr><th style="text-align: left">{first}</th>{rest}</tr>'

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
