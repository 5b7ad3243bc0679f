"""The report of one run: headline, verdicts, tiles, and its sections in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.verdicts import VERDICTS
from harness.report import figures
from harness.report.agents_section import agents_section
from harness.report.document import Block, Cell, Note, Report, Section, Table, Tile, Verdict
from harness.report.driven_store import durability_in_words, store_in_words
from harness.report.faults_section import audit_section, faults_section
from harness.report.fields import group, groups, listed, number, text, verdicts_of
from harness.report.history_section import history_section
from harness.report.latency_sections import latency_section, parts_section
from harness.report.nodes_section import nodes_section
from harness.report.plan_section import again_section, environment_section, plan_section
from harness.report.quantities import figure
from harness.report.resource_section import resource_section
from harness.report.run_data import RunData

__all__ = ["plan_in_words", "problems_of", "run_report", "run_sections", "thresholds_section"]

_WITHHELD = (
    "The load generator did not keep its schedule, so the times of this run are withheld: they "
    "would say nothing of the store. Lower --rate, or give the agents more cores."
)
_PROBLEMS_MAX = 50


def run_report(data: RunData) -> Report:
    """Lay out all that is known of a run."""
    sections = [
        *run_sections(data),
        plan_section(data.run),
        environment_section(data.run, data.damaged),
        again_section(data.run, data.path),
    ]
    return Report(
        kind="run",
        title=_title(data),
        subtitle=plan_in_words(data.run),
        started=text(data.run, "started"),
        verdicts=_verdicts(data),
        tiles=_tiles(data),
        sections=[section for section in sections if section],
        problems=problems_of(data.run),
        summary=data.summary,
    )


def run_sections(data: RunData) -> list[Section]:
    """The sections of what was measured, without plan and environment."""
    times: list[Section | None] = [latency_section(data), parts_section(data)]
    if data.is_invalid:
        times = [Section("latency", "Response time", "", [Note(_WITHHELD, "warning")])]
    found = [
        thresholds_section(data.summary),
        *times,
        faults_section(data.summary),
        audit_section(data.summary),
        history_section(data),
        _outcomes_section(data.summary),
        _schedule_section(data.summary),
        resource_section(data),
        agents_section(data),
        nodes_section(data.run),
    ]
    return [section for section in found if section]


def _title(data: RunData) -> str:
    operations = number(data.summary, "operations")
    if not operations:
        return "No operation was measured"
    if data.is_invalid:
        return "This run is INVALID"
    agents = number(data.summary, "agents", "count")
    who = f"{figures.count(agents)} {'agent' if agents == 1 else 'agents'}"
    rate = figures.rate(number(data.summary, "throughput_ops_s"))
    return f"{who}, {rate} operations a second"


def plan_in_words(run: Mapping[str, Any]) -> str:
    """The main facts of a plan in one line."""
    plan = dict(group(run, "plan"))
    if text(run, "command") == "bench-memory":  # loads and probes, which no workload does
        for name in ("workload", "rate", "rounds"):
            plan.pop(name, None)
    rate = number(plan, "rate")
    loop = "closed loop" if rate is None else f"open loop at {figures.rate(rate)} operations/s"
    facts = [store_in_words(run), text(plan, "workload"), text(plan, "durability")]
    facts += [loop] if "rate" in plan else []
    for name, words in (("shards", "shards"), ("rounds", "rounds")):
        value = number(plan, name)
        if value is not None:
            facts.append(f"{value:,.0f} {words}")
    seed = number(plan, "seed")
    if seed is not None:
        facts.append(f"seed {seed:.0f}")
    facts.append(durability_in_words(run).removesuffix("."))
    return " · ".join(fact for fact in facts if fact)


def _verdicts(data: RunData) -> list[Verdict]:
    found = verdicts_of(data.summary)
    if data.run.get("status") == "running":
        sentence = (
            "The run has not ended, or was killed: this is what its files hold so far. "
            "The last second or two may be missing."
        )
        found = _with(found, Verdict("completion", "warning", sentence))
    known = any(one.name == "damaged_files" and one.verdict != "ok" for one in found)
    if data.damaged and not known:
        files = "1 file" if len(data.damaged) == 1 else f"{len(data.damaged):,} files"
        sentence = f"{files} of the run could not be read whole; the pictures are of the rest."
        found = _with(found, Verdict("damaged_files", "warning", sentence))
    return found


def _with(found: list[Verdict], verdict: Verdict) -> list[Verdict]:
    """The verdicts with one put in the place of that of its name, most serious first."""
    others = [one for one in found if one.name != verdict.name]
    return sorted([verdict, *others], key=lambda one: VERDICTS.index(one.verdict))


def problems_of(run: Mapping[str, Any]) -> list[str]:
    """What the run itself reported as problems."""
    found = [figures.plain(one)[:2000] for one in listed(run, "problems") if isinstance(one, str)]
    return found[:_PROBLEMS_MAX]


def _tiles(data: RunData) -> list[Tile]:
    summary = data.summary
    operations = number(summary, "operations")
    tiles = [
        Tile(
            "Throughput",
            figure(number(summary, "throughput_ops_s"), "rate"),
            f"{figures.count(operations)} operations "
            f"in {figures.span(number(summary, 'duration_s'))}",
        )
    ]
    if not operations:
        return []
    if not data.is_invalid:
        tiles += [
            Tile(
                "Median response",
                figure(number(summary, "all", "p50_ms"), "milliseconds"),
                f"service {figures.time(number(summary, 'service', 'all', 'p50_ms'))}",
            ),
            Tile(
                "99th percentile",
                figure(number(summary, "all", "p99_ms"), "milliseconds"),
                f"service {figures.time(number(summary, 'service', 'all', 'p99_ms'))}",
            ),
        ]
    failed = number(summary, "failed") or 0
    tiles += [
        Tile("Failed", figure(failed, "count"), f"of {figures.count(operations)} operations"),
        Tile(
            "Operations for a second of CPU",
            figure(number(summary, "efficiency", "operations_per_cpu_second")),
            "of all processes together",
        ),
    ]
    return tiles


def thresholds_section(summary: Mapping[str, Any]) -> Section | None:
    """The thresholds that were asked for, each passed or breached."""
    rows: list[list[Cell]] = []
    breached = 0
    for one in groups(summary, "thresholds"):
        verdict = text(one, "verdict")
        breached += verdict == "breached"
        rows.append(
            [
                text(one, "threshold"),
                verdict,
                figure(number(one, "value")),
                figure(number(one, "limit")),
                text(one, "sentence"),
            ]
        )
    if not rows:
        return None
    lead = f"{breached:,} of {len(rows):,} breached." if breached else f"All {len(rows):,} passed."
    columns = ["threshold", "verdict", "value", "limit", "in words"]
    table = Table(title="Thresholds", columns=columns, rows=rows)
    return Section("thresholds", "Thresholds", lead, [table])


def _outcomes_section(summary: Mapping[str, Any]) -> Section | None:
    total = number(summary, "operations")
    if not total or not number(summary, "failed"):
        return None
    rows: list[list[Cell]] = []
    for name in group(summary, "outcomes"):
        count = number(summary, "outcomes", name)
        if count:
            rows.append(
                [figures.plain(name), figure(count, "count"), figure(count / total, "ratio")]
            )
    table = Table(title="Outcomes", columns=["outcome", "operations", "share"], rows=rows)
    return Section("outcomes", "Outcomes", "", [table])


def _schedule_section(summary: Mapping[str, Any]) -> Section | None:
    schedule = group(summary, "schedule")
    if number(schedule, "offered_rate_ops_s") is None:
        return None
    row: list[Cell] = [
        figure(number(schedule, "offered_rate_ops_s"), "rate"),
        figure(number(schedule, "achieved_rate_ops_s"), "rate"),
        *(
            figure(number(schedule, name), "milliseconds")
            for name in ("lag_p50_ms", "lag_p99_ms", "lag_max_ms", "timer_lag_p99_ms")
        ),
    ]
    blocks: list[Block] = [
        Table(
            title="Offered and carried",
            columns=["offered", "carried", "issued late, p50", "p99", "most", "timer lag, p99"],
            rows=[row],
            caption="Issued late: after it was due, for whatever reason. Timer lag: the load "
            "generator's own.",
        )
    ]
    return Section("schedule", "Schedule", text(summary, "limit", "sentence"), blocks)
