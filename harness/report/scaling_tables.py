"""The tables of a benchmark over counts of agents: throughput, the law, every figure, repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.document import Cell, Quantity, Table
from harness.report.fields import group, groups, number, text
from harness.report.quantities import figure, written
from harness.report.scaling_chart import operations_a_second

__all__ = ["FIGURES", "figures_table", "law_table", "repeats_table", "scaling_table"]

Summary = Mapping[str, Any]
Counts = Sequence[tuple[float, Summary]]

# Figures of a count, in words and by their quantity.
FIGURES: tuple[tuple[str, str, Quantity], ...] = (
    ("operations_per_second", "operations a second", "rate"),
    ("throughput_agents_per_second", "agents a second", "rate"),
    ("total_duration_seconds", "duration, total", "seconds"),
    ("avg_agent_duration_seconds", "duration of an agent, mean", "seconds"),
    ("min_agent_duration_seconds", "duration of an agent, shortest", "seconds"),
    ("max_agent_duration_seconds", "duration of an agent, longest", "seconds"),
    ("std_deviation_duration", "duration of an agent, standard deviation", "seconds"),
    ("95th_percentile_duration", "duration of an agent, p95", "seconds"),
    ("avg_cpu_percent", "CPU of our processes, mean (of one core)", "percent"),
    ("max_cpu_percent", "CPU of our processes, most (of one core)", "percent"),
    ("avg_memory_bytes", "memory, mean", "bytes"),
    ("max_memory_bytes", "memory, most", "bytes"),
    ("disk_read_bytes", "disk read", "bytes"),
    ("disk_write_bytes", "disk written", "bytes"),
    ("network_received_bytes", "network received", "bytes"),
    ("network_sent_bytes", "network sent", "bytes"),
    ("loopback_bytes", "within the machine", "bytes"),
)


def _interval(found: Summary, quantity: Quantity) -> str:
    low, high = number(found, "low"), number(found, "high")
    if low is None and high is None:
        return "-"
    return f"{written(low, quantity)} to {written(high, quantity)}"


def scaling_table(summary: Summary) -> Table | None:
    """Throughput, ideal and efficiency of each count; None without ``scaling``."""
    rows: list[list[Cell]] = [
        [
            figure(number(one, "agents"), "count"),
            figure(number(one, "ops_s", "estimate"), "rate"),
            _interval(group(one, "ops_s"), "rate"),
            figure(number(one, "ideal_ops_s"), "rate"),
            figure(number(one, "efficiency"), "ratio"),
        ]
        for one in groups(summary, "scaling", "points")
    ]
    columns = ["agents", "operations a second", "95% interval", "ideal", "efficiency"]
    return Table(title="Throughput", columns=columns, rows=rows) if rows else None


def law_table(summary: Summary) -> Table | None:
    """The coefficients of the fitted law; None where it was not fitted."""
    law = group(summary, "scaling", "usl")
    names: tuple[tuple[str, str, Quantity], ...] = (
        ("lambda", "throughput of one agent (lambda)", "rate"),
        ("sigma", "contention (sigma)", "number"),
        ("kappa", "coherency (kappa)", "number"),
        ("peak_agents", "agents at the peak", "count"),
        ("peak_ops_s", "throughput at the peak", "rate"),
    )
    rows: list[list[Cell]] = [
        [
            words,
            figure(number(law, key, "estimate"), quantity),
            _interval(group(law, key), quantity),
        ]
        for key, words, quantity in names
        if group(law, key)
    ]
    if not rows:
        return None
    rows.append(["share of the variance explained (R²)", figure(number(law, "r_squared")), "-"])
    return Table(
        title="Universal Scalability Law",
        columns=["coefficient", "estimate", "95% interval"],
        rows=rows,
        caption="X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)); N. J. Gunther.",
    )


def figures_table(counts: Counts) -> Table:
    """Every scalar figure, a column for each count."""
    rows: list[list[Cell]] = []
    for key, words, quantity in FIGURES:
        cells = [figure(number(found, key), quantity) for _, found in counts]
        if any(cell.value is not None for cell in cells):
            rows.append([words, *cells])
    return Table(
        title="Every figure by the number of agents",
        columns=["figure", *(f"{size:,}" for size, _ in counts)],
        rows=rows,
        caption="Medians over the repeats. Durations are of a round.",
    )


def repeats_table(counts: Counts) -> Table | None:
    """Each repeat by itself, folded; None without any."""
    rows: list[list[Cell]] = [
        _repeat(size, one) for size, found in counts for one in groups(found, "repeats")
    ]
    columns = ["step", "agents", "status", "operations a second", "duration", "CPU", "memory"]
    return Table(title="Repeats", columns=columns, rows=rows, folded=True) if rows else None


def _repeat(size: float, found: Summary) -> list[Cell]:
    return [
        text(found, "step"),
        figure(size, "count"),
        text(found, "status") or "-",
        figure(operations_a_second(found), "rate"),
        figure(number(found, "total_duration_seconds"), "seconds"),
        figure(number(found, "avg_cpu_percent"), "percent"),
        figure(number(found, "max_memory_bytes"), "bytes"),
    ]
