"""Agents over time: when each began and ended, how long that took, how many were under way.

An agent begins when its first measured operation starts and ends when its last one finishes.
Times are wall-clock nanoseconds: the cohort's start on the wall clock plus a monotonic time
since, so within a cohort no duration depends on the wall clock being adjusted.

Spans are kept as one row an agent (`SPANS_SCHEMA`), found file by file and then merged, so
memory grows with the agents and not with the operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.latency import fewest_samples

__all__ = ["SPANS_SCHEMA", "agent_figures", "agent_spans", "in_flight_max", "merge_spans"]

AgentFigures = dict[str, int | float | None]
Times = npt.NDArray[np.int64]

# begin_ns and end_ns are on the wall clock.
SPANS_SCHEMA = pa.schema(
    [("agent", pa.int32()), ("begin_ns", pa.int64()), ("end_ns", pa.int64())],
)
_NS_PER_S = 1e9


def agent_spans(operations: pa.Table, start_wall_ns: int) -> pa.Table:
    """Find when each agent of one cohort began and ended.

    Args:
        operations: rows with ``agent``, ``started_ns`` and ``finished_ns``.
        start_wall_ns: when the cohort started, on the wall clock.

    Returns:
        A table of `SPANS_SCHEMA`, one row an agent, in no particular order.
    """
    grouped = operations.group_by("agent").aggregate(
        [("started_ns", "min"), ("finished_ns", "max")]
    )
    return pa.table(
        {
            "agent": grouped["agent"],
            "begin_ns": pc.add(grouped["started_ns_min"], start_wall_ns),
            "end_ns": pc.add(grouped["finished_ns_max"], start_wall_ns),
        },
        schema=SPANS_SCHEMA,
    )


def merge_spans(parts: Sequence[pa.Table]) -> pa.Table:
    """Join spans found in several files into one row an agent."""
    if not parts:
        return SPANS_SCHEMA.empty_table()
    merged = (
        pa.concat_tables(parts)
        .group_by("agent")
        .aggregate([("begin_ns", "min"), ("end_ns", "max")])
        .rename_columns({"begin_ns_min": "begin_ns", "end_ns_max": "end_ns"})
    )
    return merged.select(SPANS_SCHEMA.names).cast(SPANS_SCHEMA)


def in_flight_max(begin_ns: Times, end_ns: Times) -> int:
    """Give the most spans that had begun and not ended at one moment.

    A sweep over the ``(n,)`` begins and ends in the order of time. A span has ended at its end
    (``[begin, end)``), so of two that touch only one counts; one of no length lasts 1 ns.
    """
    if begin_ns.size == 0:
        return 0
    last_ns = np.maximum(end_ns, begin_ns + 1)
    moments = np.concatenate([begin_ns, last_ns])
    steps = np.concatenate([np.ones_like(begin_ns), -np.ones_like(last_ns)])
    order = np.lexsort((steps, moments))  # ends before begins at the same moment
    return int(np.cumsum(steps[order]).max())


def agent_figures(spans: pa.Table, whole: pa.Table | None = None) -> AgentFigures:
    """Sum up spans of agents.

    Args:
        spans: of all agents.
        whole: of those that were not lost, whose durations count; None for all.

    Returns:
        ``count``, ``duration_avg_s, duration_min_s, duration_max_s, duration_std_s,
        duration_p95_s`` (standard deviation of the population; exact percentile) and
        ``in_flight_max``. Durations are None when there are no agents, and the percentile when
        there are too few (`harness.analysis.latency.fewest_samples`).
    """
    begin_ns, end_ns = spans["begin_ns"].to_numpy(), spans["end_ns"].to_numpy()
    lives = spans if whole is None else whole
    durations_s = (lives["end_ns"].to_numpy() - lives["begin_ns"].to_numpy()) / _NS_PER_S
    known = durations_s.size > 0
    enough = durations_s.size >= fewest_samples(0.95)
    return {
        "count": spans.num_rows,
        "duration_avg_s": float(durations_s.mean()) if known else None,
        "duration_min_s": float(durations_s.min()) if known else None,
        "duration_max_s": float(durations_s.max()) if known else None,
        "duration_std_s": float(durations_s.std()) if known else None,
        "duration_p95_s": float(np.quantile(durations_s, 0.95)) if enough else None,
        "in_flight_max": in_flight_max(begin_ns, end_ns),
    }
