"""The report of a benchmark: its headline, its sections by what its summary has, its steps.

The figures are those of the benchmark's own summary; what its steps add to them is
`harness.report.bench_steps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.joined import BENCHMARKS
from harness.benchmarks.bench_directory import BenchReader
from harness.report import figures
from harness.report.bench_steps import (
    first_run,
    percentiles_by_count,
    steady_run,
    steps_section,
)
from harness.report.bench_summary import read_bench_summary
from harness.report.capacity_section import capacity_sections, capacity_title
from harness.report.document import (
    Block,
    Chart,
    Report,
    Section,
    Tile,
    Verdict,
)
from harness.report.fields import group, number, sized_groups, text
from harness.report.nodes_section import nodes_section
from harness.report.plan_section import again_section, environment_section, plan_section
from harness.report.quantities import exponent, figure
from harness.report.run_report import (
    plan_in_words,
    problems_of,
    run_sections,
    thresholds_section,
)
from harness.report.scaling_section import scaling_sections
from harness.report.targets_section import target_sections, targets_title
from harness.report.utilization_section import utilization_sections
from harness.report.volume_section import volume_sections

__all__ = ["bench_report", "is_bench"]

_OF_ONE_STORE = frozenset({"bench-agents", "bench-memory", "bench-resources"})

Summary = Mapping[str, Any]


def is_bench(run: Summary) -> bool:
    """Whether a ``run.json`` is a benchmark's."""
    return "steps" in run or text(run, "command").startswith("bench")


def bench_report(reader: BenchReader) -> Report:
    """Lay out all that is known of a benchmark; one that was killed, as far as it came."""
    summary, verdicts = read_bench_summary(reader)
    run = reader.run
    steady = steady_run(reader, summary)
    sections = [
        thresholds_section(summary),
        *capacity_sections(summary),
        *target_sections(summary),
        *scaling_sections(summary),
        percentiles_by_count(reader, summary),
        *volume_sections(summary),
        *utilization_sections(summary, with_series=steady is None),
        *([] if steady is None else run_sections(steady)),
        steps_section(reader),
        nodes_section(first_run(reader)) if steady is None else None,
        plan_section(_with_store(run, reader)),
        environment_section(run if run.get("hosts") else first_run(reader)),
        again_section(run, reader.path),
    ]
    return Report(
        kind=text(run, "command").replace("-", " ") or "bench",
        title=_title(run, summary),
        subtitle=plan_in_words(_with_store(run, reader)),
        started=text(run, "started"),
        verdicts=_named(verdicts),
        tiles=_tiles(summary),
        sections=_named_once([section for section in sections if section]),
        problems=problems_of(run),
        summary=summary,
    )


def _with_store(run: Mapping[str, Any], reader: BenchReader) -> Mapping[str, Any]:
    """The document of a benchmark with what its steps say of their store, if they have one only."""
    if text(run, "command") not in _OF_ONE_STORE:
        return run
    return {**run, "topology": group(first_run(reader), "topology")}


def _named(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, those of a part of a joined benchmark with its name before what they say."""
    named = []
    for one in verdicts:
        part, dot, _ = one.name.partition(".")
        if dot and part in BENCHMARKS:
            one = Verdict(one.name, one.verdict, f"{part.capitalize()}: {one.sentence}")  # noqa: PLW2901 - its own copy
        named.append(one)
    return named


def _named_once(sections: Sequence[Section]) -> list[Section]:
    """The sections with keys of their own, and their charts too: parts may be of one name."""
    seen: dict[str, int] = {}

    def own(key: str) -> str:
        seen[key] = seen.get(key, 0) + 1
        return key if seen[key] == 1 else f"{key}-{seen[key]}"

    named = []
    for section in sections:
        blocks: list[Block] = []
        for block in section.blocks:
            if isinstance(block, Chart):
                own_key = own(f"chart-{block.key}").removeprefix("chart-")
                block = Chart(**{**vars(block), "key": own_key})  # noqa: PLW2901 - its own copy
            blocks.append(block)
        named.append(Section(own(section.key), section.title, section.lead, blocks))
    return named


def _title(run: Summary, summary: Summary) -> str:
    counts = [
        (size, number(one, "operations_per_second"))
        for size, one in sized_groups(summary, "counts")
    ]
    reached = [(rate, size) for size, rate in counts if rate is not None]
    if reached:
        rate, size = max(reached)
        who = "1 agent" if size == 1 else f"{size:,} agents"
        return f"{figures.rate(rate)} operations a second at the most, with {who}"
    searched = [
        (size, p50)
        for size, one in sized_groups(summary, "volumes")
        if (p50 := number(one, "search_latency_ms", "p50")) is not None
    ]
    if searched:
        size, p50 = searched[-1]
        return f"Median response time of a search among {size:,} memories: {figures.time(p50)}"
    carried = number(summary, "resources", "actual_rate_ops_per_second")
    if carried is not None:
        time = number(summary, "resources", "p95_operation_time_ms")
        return (
            f"{figures.rate(carried)} operations a second, 95% of them within {figures.time(time)}"
        )
    if title := capacity_title(summary) or targets_title(summary):
        return title
    if run.get("status") == "running":
        return "This benchmark has not ended"
    return text(run, "command").replace("-", " ").capitalize() or "Benchmark"


def _tiles(summary: Summary) -> list[Tile]:
    tiles = []
    law = group(summary, "scaling", "usl")
    if law:
        tiles += [
            Tile("Throughput of one agent", figure(number(law, "lambda", "estimate"), "rate")),
            Tile("Contention", figure(number(law, "sigma", "estimate"), "ratio"), "sigma"),
            Tile("Coherency", figure(number(law, "kappa", "estimate")), "kappa"),
            Tile(
                "Agents at the peak",
                figure(number(law, "peak_agents", "estimate"), "count"),
                "predicted" if number(law, "peak_agents", "estimate") else "no peak in sight",
            ),
        ]
    for name in ("store", "retrieve", "search"):
        power = number(summary, "degradation", name, "exponent", "estimate")
        if power is not None:
            remark = "time grows as memories to this power"
            tiles.append(Tile(f"{name.capitalize()}: exponent", exponent(power), remark))
    used = group(summary, "resources")
    if used:
        tiles += [
            Tile(
                "Carried",
                figure(number(used, "actual_rate_ops_per_second"), "rate"),
                f"of {figures.rate(number(used, 'offered_rate_ops_per_second'))}/s offered",
            ),
            Tile("95th percentile", figure(number(used, "p95_operation_time_ms"), "milliseconds")),
            Tile(
                "Operations for a second of CPU",
                figure(number(used, "operations_per_cpu_second")),
            ),
        ]
    return tiles
