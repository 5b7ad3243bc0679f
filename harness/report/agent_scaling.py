"""The summary of the benchmark of agents in a terminal.

First what to know, in plain words; then a bar for the throughput of each count, a table, and
what limited each count. Nothing is computed here but widths. Fits 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report import figures
from harness.report.grid import Column, Grid, indented
from harness.report.terminal import VERDICT_STYLES

__all__ = ["bar", "render_agents"]

_BAR_WIDTH = 40
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_KINDS = (("counts", "agents", "green"), ("threads", "threads", "dark_orange3"))
_LEGEND = "times in ms; CPU (of a core) and memory of all our processes together"
# said elsewhere on the page
_SAID = frozenset({"scaling", "failures", "completion"})


def render_agents(summary: Mapping[str, Any], run: Mapping[str, Any]) -> RenderableType:
    """Lay out a summary of the benchmark of agents.

    Args:
        summary: of the bench directory.
        run: its ``run.json``, for what was run.
    """
    blocks: list[RenderableType] = [*_headlines(summary), _what_ran(summary, run)]
    if not summary["counts"]:
        return Group(*blocks)
    blocks += [Text(), _bars(summary)]
    for key, name, _ in _KINDS:
        if summary.get(key):
            blocks += [Text(), _table(name, summary[key])]
    blocks.append(indented(Text(_LEGEND, "dim")))
    blocks += [Text(), Padding(_limits(summary), (0, 0, 0, 1))]
    return Group(*blocks)


def bar(share: float, width: int) -> str:
    """Draw a share, from 0 to 1, of a width in cells, to an eighth of a cell."""
    eighths = max(0, min(round(share * width * 8), width * 8))
    drawn = "█" * (eighths // 8) + _EIGHTHS[eighths % 8]
    return drawn or ("▏" if share > 0 else "")


def _headlines(summary: Mapping[str, Any]) -> Iterator[Padding]:
    """What went wrong, what came out, and what to know before the figures."""
    serious = [one for one in summary["verdicts"] if one["verdict"] not in {"warning", "ok"}]
    others = [one for one in summary["verdicts"] if one not in serious]
    for one in serious:
        yield indented(Text(figures.plain(one["sentence"]), VERDICT_STYLES.get(one["verdict"], "")))
    if summary["counts"]:
        yield indented(Text(figures.plain(summary["scaling"]["sentence"]), "bold"))
    for one in others:
        if one["verdict"] != "ok" or one["name"] not in _SAID:
            style = "" if one["verdict"] == "ok" else VERDICT_STYLES["warning"]
            yield indented(Text(figures.plain(one["sentence"]), style))


def _what_ran(summary: Mapping[str, Any], run: Mapping[str, Any]) -> Padding:
    """The plan's main facts in one quiet line."""
    plan, bench = (
        one if isinstance(one, Mapping) else {} for one in (run.get("plan"), run.get("bench"))
    )
    facts = [plan.get("target"), plan.get("durability")]
    if bench:
        facts.append(f"rounds for {bench.get('step_duration_s')} s a step")
        steps = "1 step" if bench.get("steps") == 1 else f"{bench.get('steps')} steps"
        facts.append(f"{steps} in {figures.span(summary['duration_s'])}")
    facts.append(f"seed {plan.get('seed')}")
    good = [one["sentence"] for one in summary["verdicts"] if one["name"] == "failures"]
    text = ", ".join(figures.plain(fact) for fact in facts if fact is not None)
    if good and summary["counts"]:
        text = f"{text}. {figures.plain(good[0])}"
    return indented(Text(text, "dim"))


def _bars(summary: Mapping[str, Any]) -> Grid:
    """A bar for each count's throughput, the threads' beside it."""
    rows = []
    for count in summary["counts"]:
        for key, name, style in _KINDS:
            found = summary.get(key, {}).get(count)
            if found is not None:
                rows.append((count, name, style, found["operations_per_second"] or 0.0))
    most = max(rate for *_, rate in rows) or 1.0
    bars = [f"{bar(rate / most, _BAR_WIDTH)} {figures.rate(rate)}" for *_, rate in rows]
    both = bool(summary.get("threads"))
    names = [name if both else "" for _, name, *_ in rows]
    columns = [
        Column(heading="", cells=[figures.count(int(count)) for count, *_ in rows], style="bold"),
        Column(
            heading="operations/s",
            cells=bars,
            left=True,
            styles=[style for _, _, style, _ in rows],
        ),
    ]
    if both:
        columns.insert(1, Column(heading="", cells=names, left=True))
    return Grid(columns)


def _table(name: str, counts: Mapping[str, Any]) -> Grid:
    """One row a count: throughput, durations of a round, response times, CPU and memory."""
    rows = list(counts.values())

    def cells(key: str, show: Any, factor: float = 1.0) -> list[str]:
        return [show(None if row[key] is None else row[key] * factor) for row in rows]

    def response(key: str) -> list[str]:
        return [figures.digits(row["all"][key]) for row in rows]

    def of_round(heading: str, key: str, drop: int) -> Column:
        return Column(
            heading=heading, cells=cells(key, figures.digits, 1e3), group="a round", drop=drop
        )

    return Grid(
        [
            Column(
                heading=name, cells=[figures.count(int(count)) for count in counts], style="bold"
            ),
            Column(heading="op/s", cells=cells("operations_per_second", figures.rate), drop=3),
            Column(heading="of ideal", cells=cells("efficiency", figures.percent, 100)),
            of_round("avg", "avg_agent_duration_seconds", 0),
            of_round("max", "max_agent_duration_seconds", 1),
            of_round("total", "total_duration_seconds", 0),
            Column(heading="p50", cells=response("p50_ms"), group="response"),
            Column(heading="p99", cells=response("p99_ms"), group="response", style="bold"),
            Column(
                heading="avg",
                cells=cells("avg_cpu_percent", figures.percent),
                group="CPU",
            ),
            Column(
                heading="max",
                cells=cells("max_cpu_percent", figures.percent),
                group="CPU",
                drop=2,
            ),
            Column(heading="memory", cells=cells("max_memory_bytes", figures.size)),
        ]
    )


def _limits(summary: Mapping[str, Any]) -> Table:
    """What limited each count, a sentence each; the same sentence is said once."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for key, name, _ in _KINDS:
        for count, found in summary.get(key, {}).items():
            who = f"{figures.count(int(count))} {name[:-1] if count == '1' else name}"
            table.add_row(Text(who), Text(figures.plain(found["limit"]["sentence"])))
    return table
