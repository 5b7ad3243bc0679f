"""The plan of a cluster in a terminal: the sizes first, then what they rest on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report import figures
from harness.report.figures import counted
from harness.report.grid import Column, Grid, indented
from harness.sizing.cluster import Nodes
from harness.sizing.cluster_plan import ClusterPlan, Question
from harness.sizing.storage import Range

__all__ = ["render_plan"]


def render_plan(question: Question, plan: ClusterPlan) -> RenderableType:
    """Lay out a plan for a terminal; it fits 80 columns."""
    return Group(
        _headline(question, plan),
        Text(),
        _sizes(plan),
        Text(),
        _demands(plan),
        *_sentences("Assumed", plan.assumptions),
        *_sentences("Extrapolated", plan.extrapolations),
        *_sentences("Not known", plan.unknowns),
    )


def _headline(question: Question, plan: ClusterPlan) -> Padding:
    memory, agent = plan.memory_nodes, plan.agent_nodes
    line = Text()
    line.append(
        f"{counted(memory.count, 'memory node')} and {counted(agent.count, 'agent node')}",
        "bold",
    )
    line.append(
        f" for {figures.count(question.agents)} agents with "
        f"{figures.count(question.memories_per_agent)} memories each and "
        f"{figures.rate(plan.rate_ops_s)} operations/s: predicted p99 "
    )
    line.append(figures.time(plan.p99_ms.estimate), "bold")
    line.append(f", target {figures.time(question.target_p99_s * 1e3)}.")
    return indented(line)


def _sizes(plan: ClusterPlan) -> Grid:
    processes = plan.processes
    shard_busy, cohort_busy = processes.shard_busy_ratio, processes.cohort_busy_ratio
    network = None
    if plan.network_bytes_s is not None:
        network = f"{figures.size(plan.network_bytes_s)}/s"
    rows = [
        (
            "shards",
            figures.count(plan.shards.estimate),
            _range(plan.shards, figures.count),
            f"a core each, {figures.percent(shard_busy * 100)} busy",
        ),
        (
            "agent tasks",
            figures.count(plan.cohorts.estimate),
            _range(plan.cohorts, figures.count),
            f"a core each, {figures.percent(cohort_busy * 100)} busy",
        ),
        (
            "memory",
            figures.size(plan.memory_bytes.estimate),
            _range(plan.memory_bytes, figures.size),
            "of all shards",
        ),
        (
            "disk",
            figures.size(plan.disk_bytes.estimate),
            _range(plan.disk_bytes, figures.size),
            "of all shards",
        ),
        ("network", network or figures.UNKNOWN, "", "between agents and shards"),
        ("memory nodes", figures.count(plan.memory_nodes.count), "", _why(plan.memory_nodes)),
        ("agent nodes", figures.count(plan.agent_nodes.count), "", _why(plan.agent_nodes)),
        ("batch", figures.digits(processes.batch_ops), "", "operations, in a lane"),
        ("p50", figures.time(plan.p50_ms), "", "predicted, of the response time"),
        (
            "p99",
            figures.time(plan.p99_ms.estimate),
            _range(plan.p99_ms, figures.time),
            "predicted, by a simulation",
        ),
    ]
    names, values, spans, words = (list(column) for column in zip(*rows, strict=True))
    return Grid(
        [
            Column(heading="", cells=names, left=True, style="bold"),
            Column(heading="size", cells=values),
            Column(heading="range", cells=spans),
            Column(heading="", cells=words, left=True, style="dim"),
        ]
    )


def _demands(plan: ClusterPlan) -> Padding:
    """What operations were found to cost, which all else follows from."""
    of_types = ", ".join(
        f"{name} {figures.time(cost / 1e3)}" for name, cost in plan.cpu_by_type_us.items()
    )
    shard_us, cohort_us = plan.call_us
    grown = ", ".join(
        f"{name} {factor:.2f}" for name, factor in plan.growth.items() if factor > 1.005
    )
    text = (
        f"CPU of a call: shard {figures.time(shard_us / 1e3)}, cohort "
        f"{figures.time(cohort_us / 1e3)}; of one more operation in it, in the shard: {of_types}."
    )
    if grown:
        text += f" Longer in a store of this size, times: {grown}."
    return indented(Text(text))


def _why(nodes: Nodes) -> str:
    """What decides how many machines there are, and what would be the next to."""
    others = [name for name, count in nodes.by.items() if count and name != nodes.binding]
    if not others:
        return f"{nodes.binding} decides"
    runner_up = max(others, key=lambda name: nodes.by[name])
    return f"{nodes.binding} decides; {runner_up} {figures.count(nodes.by[runner_up])}"


def _range(span: Range, written: object) -> str:
    if span.low is None or span.high is None or not callable(written):
        return figures.UNKNOWN
    return f"{written(span.low)} to {written(span.high)}"


def _sentences(heading: str, sentences: Sequence[str]) -> list[RenderableType]:
    if not sentences:
        return []
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column()
    for sentence in sentences:
        table.add_row("-", Text(sentence))
    return [Text(), indented(Text(heading, "bold")), indented(table)]
