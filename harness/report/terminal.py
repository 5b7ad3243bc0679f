"""The summary of a run in a terminal: verdicts first, then figures, what limited it, thresholds.

Figures come from the summary as it is; nothing is computed here but a rate by operation. An
INVALID run has its times withheld: what a broken schedule measured is no figure of the store.
All text that comes from a run is put in as text, without control characters or markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from harness.report import figures
from harness.report.driven_store import durability_in_words, store_in_words
from harness.report.grid import Column, Grid, indented
from harness.report.nodes_section import render_nodes
from harness.report.thresholds import render_thresholds
from harness.schema import OPERATIONS, ROLES

__all__ = ["VERDICT_STYLES", "render_summary"]

VERDICT_STYLES = {
    "invalid": "bold red",
    "failed": "bold red",
    "warning": "bold dark_orange3",
    "ok": "green",
}
_FAULTS_MAX = 10
_ROWS = ("all", *OPERATIONS)
# (heading, key, the order in which it goes where there is little room)
_RESPONSE = (
    ("p50", "p50_ms", 0),
    ("p90", "p90_ms", 9),
    ("p99", "p99_ms", 0),
    ("p99.9", "p999_ms", 8),
    ("max", "max_ms", 2),
)
_PARTS = (("service", "service"), ("queueing", "queue"), ("transport", "transport"))


def render_summary(summary: Mapping[str, Any], run: Mapping[str, Any]) -> RenderableType:
    """Lay out a summary (`harness.analysis.summarise`) for a terminal.

    Args:
        summary: of the run.
        run: its ``run.json``, for what was run.

    Returns:
        A rich renderable that fits 80 columns and uses up to about 110.
    """
    invalid = _invalid(summary)
    blocks: list[RenderableType] = [*_headlines(summary, invalid), _what_ran(summary, run)]
    # Of a run that never settled the headlines have told; what is no warm-up needs no words.
    if summary["steady"]["warmup_s"]:
        blocks.append(indented(Text(figures.plain(summary["steady"]["sentence"]), "dim")))
    if summary["operations"] and summary["all"]["count"] and not invalid:
        blocks += [Text(), _times(summary)]
    if any(summary["resources"][role]["processes"] for role in ROLES):
        blocks += [Text(), _resources(summary)]
    nodes = render_nodes(run)
    if nodes is not None:
        blocks += [Text(), nodes]
    blocks += [Text(), indented(Text(figures.plain(summary["limit"]["sentence"]), "bold"))]
    blocks += _tried(summary)
    backups = summary.get("backups")
    if backups and backups["sentence"] and not (backups["failed"] or backups["unfinished"]):
        blocks.append(indented(Text(figures.plain(backups["sentence"]), "dim")))
    if summary.get("thresholds"):
        blocks += [Text(), render_thresholds(summary["thresholds"])]
    return Group(*blocks)


def _tried(summary: Mapping[str, Any]) -> list[RenderableType]:
    """What faults did, and an audit that passed; one that did not is a headline."""
    faults = summary.get("faults") or []
    lines = [Text(figures.plain(one["sentence"])) for one in faults[:_FAULTS_MAX]]
    if len(faults) > _FAULTS_MAX:
        lines.append(Text(f"{len(faults) - _FAULTS_MAX:,} more faults are in the report.", "dim"))
    audit = summary.get("audit") or {}
    if audit.get("verdict") == "passed":
        lines.append(Text(figures.plain(audit["sentence"]), VERDICT_STYLES["ok"]))
    return [Text(), *(indented(line) for line in lines)] if lines else []


def _invalid(summary: Mapping[str, Any]) -> bool:
    return any(one["verdict"] == "invalid" for one in summary["verdicts"])


def _headlines(summary: Mapping[str, Any], invalid: bool) -> Iterator[Padding]:
    """The verdict in plain words, then one line for each thing to know before the figures."""
    if summary["limit"]["kind"] == "load_generator" and not invalid:
        words = "The load generator, not the store, was the limit of this run."
        yield indented(Text(words, VERDICT_STYLES["warning"]))
    for one in summary["verdicts"]:
        if one["verdict"] == "ok" or one["name"] == "limit":
            continue
        mark = "INVALID: " if one["verdict"] == "invalid" else ""
        sentence = figures.plain(one["sentence"])
        yield indented(Text(f"{mark}{sentence}", VERDICT_STYLES.get(one["verdict"], "")))
        if mark:
            withheld = "Its times are withheld; lower --rate, or give the agents more cores."
            yield indented(Text(withheld))
    if summary["operations"] and not invalid:
        yield indented(_headline(summary))


def _headline(summary: Mapping[str, Any]) -> Text:
    agents = summary["agents"]
    who = f"{figures.count(agents['count'])} {'agent' if agents['count'] == 1 else 'agents'}"
    line = Text()
    line.append(f"{figures.rate(summary['throughput_ops_s'])} operations/s", "bold")
    line.append(
        f": {figures.count(summary['operations'])} operations by {who} "
        + (
            f"({figures.count(agents['in_flight_max'])} at once) "
            if agents["in_flight_max"]
            else ""
        )
        + f"in {figures.span(summary['duration_s'])}"
    )
    if not summary["failed"]:
        line.append(", ")
        line.append("none failed", VERDICT_STYLES["ok"])
    line.append(".")
    return line


def _what_ran(summary: Mapping[str, Any], run: Mapping[str, Any]) -> Padding:
    """The plan's main facts in one quiet line."""
    plan = run.get("plan")
    plan = plan if isinstance(plan, Mapping) else {}
    offered = summary["schedule"]["offered_rate_ops_s"]
    loop = "closed loop"
    if offered is not None:
        achieved = figures.rate(summary["schedule"]["achieved_rate_ops_s"])
        loop = f"open loop, {achieved} of {figures.rate(offered)} operations/s"
    facts = [store_in_words(run) or None, plan.get("durability"), loop]
    for name, words in (("shards", "shards"), ("rounds", "rounds"), ("seed", "seed")):
        value = plan.get(name)
        if value is not None:
            facts.append(f"seed {value}" if name == "seed" else f"{value} {words}")
    text = ", ".join(figures.plain(fact) for fact in facts if fact is not None)
    durability = durability_in_words(run)
    return indented(Text(f"{text}. {durability}" if durability else text, "dim"))


def _times(summary: Mapping[str, Any]) -> Grid:
    """One row an operation: how many, how fast, and where their time went."""
    unit, factor = _unit(summary["all"])
    shown = [name for name in _ROWS if summary[name]["count"]]
    duration_s = summary["duration_s"]
    counts = [summary[name]["count"] for name in shown]
    rates = [figures.rate(number / duration_s if duration_s else None) for number in counts]
    columns = [
        Column(heading=unit, cells=shown, left=True, style="bold"),
        Column(heading="count", cells=[figures.count(number) for number in counts], drop=1),
        Column(heading="op/s", cells=rates),
    ]
    for heading, key, drop in _RESPONSE:
        cells = [_scaled(summary[name][key], factor) for name in shown]
        style = "bold" if key == "p99_ms" else ""
        columns.append(
            Column(heading=heading, cells=cells, group="response", drop=drop, style=style)
        )
    for order, (group, part) in enumerate(_PARTS):
        for heading, key in (("p50", "p50_ms"), ("p99", "p99_ms")):
            cells = [_scaled(summary[part][name][key], factor) for name in shown]
            drop = 0 if order == 0 else 3
            columns.append(Column(heading=heading, cells=cells, group=group, drop=drop))
    return Grid(columns)


def _unit(response: Mapping[str, Any]) -> tuple[str, float]:
    """One unit for the whole table, so that its figures compare; by the usual response time."""
    usual_ms = response["p50_ms"] if response["p50_ms"] is not None else response["mean_ms"]
    if usual_ms is not None and usual_ms < 0.2:
        return "µs", 1e3
    if usual_ms is not None and usual_ms >= 10_000:
        return "s", 1e-3
    return "ms", 1.0


def _scaled(milliseconds: float | None, factor: float) -> str:
    return figures.digits(None if milliseconds is None else milliseconds * factor)


def _resources(summary: Mapping[str, Any]) -> Grid:
    """One row a role and one for the machine; CPU is of one core, the machine's of all."""
    resources, node = summary["resources"], summary["resources"]["node"]
    roles = [role for role in ROLES if resources[role]["processes"]]
    machine = node["nodes"] > 0
    cpu_each = [summary["cpu_us_per_operation"][role] for role in roles]

    def cells(key: str, show: Any, of_machine: str) -> list[str]:
        values = [show(resources[role][key]) for role in roles]
        return [*values, of_machine] if machine else values

    name = "machine" if node["nodes"] == 1 else "machines"
    cores = f"of {figures.count(node['cpu_count'])} cores" if machine else ""
    totals = [figures.digits(value) for value in cpu_each]
    known = [value for value in cpu_each if value is not None]
    return Grid(
        [
            Column(heading="", cells=[*roles, name] if machine else roles, left=True, style="bold"),
            Column(heading="processes", cells=cells("processes", figures.count, cores), drop=1),
            Column(
                heading="avg",
                group="CPU of a core",
                cells=cells(
                    "cpu_percent_avg", figures.percent, figures.percent(node["cpu_percent_avg"])
                ),
            ),
            Column(
                heading="max",
                group="CPU of a core",
                cells=cells(
                    "cpu_percent_max", figures.percent, figures.percent(node["cpu_percent_max"])
                ),
            ),
            Column(
                heading="µs/op",
                group="CPU of a core",
                cells=[*totals, figures.digits(sum(known)) if known else figures.UNKNOWN]
                if machine
                else totals,
            ),
            Column(
                heading="RSS",
                group="memory, max",
                cells=cells(
                    "rss_bytes_max", figures.size, figures.size(node["memory_used_bytes_max"])
                ),
            ),
            Column(
                heading="own",
                group="memory, max",
                cells=cells("uss_bytes_max", figures.size, ""),
                drop=2,
            ),
        ]
    )
