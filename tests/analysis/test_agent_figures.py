"""Spans of agents and the most of them at one moment."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.agents import (
    SPANS_SCHEMA,
    agent_figures,
    agent_spans,
    in_flight_max,
    merge_spans,
)

S = 1_000_000_000


def _most(*spans):
    begin, end = np.array(spans, np.int64).reshape(-1, 2).T
    return in_flight_max(begin, end)


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(0, 10)], 1),
        ([(0, 10), (10, 20)], 1),
        ([(0, 10), (9, 20)], 2),
        ([(0, 4), (1, 9), (2, 3), (3, 8), (5, 6)], 3),
        ([(5, 5)], 1),
        ([(5, 5), (5, 5), (6, 6)], 2),
        ([(0, 100), (1, 100), (2, 100), (3, 4)], 4),
    ],
)
def test_the_most_in_flight_follows_a_hand_worked_sweep(spans, most):
    """A span counts from its begin until just before its end."""
    assert _most(*spans) == most


def test_the_most_in_flight_is_what_counting_at_every_begin_gives():
    """The sweep agrees with counting, at each begin, the spans that hold it."""
    rng = np.random.default_rng(3)
    begin = rng.integers(0, 500, 300)
    end = begin + rng.integers(1, 80, 300)
    counted = max(int(((begin <= moment) & (moment < end)).sum()) for moment in begin)
    assert in_flight_max(begin, end) == counted


def test_an_agent_spans_from_its_first_start_to_its_last_finish_over_files(tables):
    """Spans of one agent found in two files of cohorts join on the wall clock."""
    first = tables.operations(
        [
            {"agent": 4, "started_ns": 3 * S, "scheduled_ns": 1 * S, "service_ns": S},
            {"agent": 4, "started_ns": 2 * S, "scheduled_ns": 1 * S, "service_ns": S},
            {"agent": 5, "started_ns": 2 * S, "scheduled_ns": 2 * S, "service_ns": S},
        ]
    )
    second = tables.operations([{"agent": 4, "scheduled_ns": 7 * S, "service_ns": 2 * S}])
    spans = merge_spans([agent_spans(first, 100 * S), agent_spans(second, 100 * S)])
    assert spans.schema == SPANS_SCHEMA
    assert spans.sort_by("agent").to_pylist() == [
        {"agent": 4, "begin_ns": 102 * S, "end_ns": 109 * S},
        {"agent": 5, "begin_ns": 102 * S, "end_ns": 103 * S},
    ]


def test_figures_of_two_agents_match_a_hand_worked_case(tables):
    """Durations of 2 s and 4 s have a mean of 3 s and a deviation of 1 s, and overlap."""
    rows = tables.operations(
        [
            {"agent": 0, "scheduled_ns": 0, "service_ns": 2 * S},
            {"agent": 1, "scheduled_ns": S, "service_ns": 4 * S},
        ]
    )
    assert agent_figures(agent_spans(rows, 0)) == {
        "count": 2,
        "duration_avg_s": 3.0,
        "duration_min_s": 2.0,
        "duration_max_s": 4.0,
        "duration_std_s": 1.0,
        "duration_p95_s": None,
        "in_flight_max": 2,
    }


def test_no_agents_have_no_durations():
    """Without agents the counts are 0 and the durations None."""
    figures = agent_figures(merge_spans([]))
    assert (figures.pop("count"), figures.pop("in_flight_max")) == (0, 0)
    assert set(figures.values()) == {None}


def test_enough_agents_have_a_p95(tables):
    """Of 100 agents that last 1 to 100 s the p95 is numpy's."""
    rows = tables.operations({"agent": n, "service_ns": (n + 1) * S} for n in range(100))
    figures = agent_figures(agent_spans(rows, 0))
    assert figures["duration_p95_s"] == pytest.approx(np.percentile(np.arange(1, 101), 95))
    assert figures["in_flight_max"] == 100
