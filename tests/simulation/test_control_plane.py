"""What there is one of: loads by arithmetic, and the control actor's queue by the laws."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.simulation.control_plane import (
    ControlCosts,
    Scale,
    limits,
)
from harness.simulation.control_queue import simulate_control
from tests.simulation.queueing_laws import interactive_response_s

SCALE = Scale(agents=1_000_000, shards=1_000, cohorts=700, nodes=120, rate_ops_s=1e6)
COSTS = ControlCosts(message_s=500e-6, lookup_s=200e-6)


def limit_of(scale: Scale, name: str):
    return next(one for one in limits(scale, COSTS) if one.name == name)


def test_loads_are_what_cohorts_send():
    """Four reports and two files a second of each, two streams of each node, and the bytes."""
    found = limit_of(SCALE, "reports and files")
    messages_s = 700 * (4 + 2) + 120 * 2
    of_bytes = 1e6 * COSTS.row_bytes * COSTS.file_s_a_byte
    assert found.load == pytest.approx(messages_s * 500e-6 + of_bytes)
    assert limit_of(SCALE, "shard map").load == pytest.approx(700 * 1_000 * 200e-6)


def test_the_first_to_break_comes_first():
    """By the size of the cluster at which each is reached."""
    sizes = [one.size_ratio for one in limits(SCALE)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 1


@pytest.mark.parametrize("name", ["reports and files", "shard map", "summary", "Ray's nodes"])
def test_at_the_size_where_it_breaks_a_limit_is_reached(name: str):
    """What grows with both cohorts and shards is reached at the root."""
    found = limit_of(SCALE, name)
    factor = found.size_ratio
    there = replace(
        SCALE,
        agents=round(SCALE.agents * factor),
        shards=round(SCALE.shards * factor),
        cohorts=round(SCALE.cohorts * factor),
        nodes=round(SCALE.nodes * factor),
        rate_ops_s=SCALE.rate_ops_s * factor,
    )
    assert limit_of(there, name).ratio == pytest.approx(1.0, rel=0.02)


def test_agents_dealt_out_by_their_shard_need_few_connections():
    """Look-ups, connections and their memory shrink; reports do not."""
    few = replace(SCALE, shards_per_cohort=8)
    for name in ("shard map", "first calls", "connections", "memory for them"):
        assert limit_of(few, name).load < limit_of(SCALE, name).load, name
    assert limit_of(few, "reports and files") == limit_of(SCALE, "reports and files")


def test_an_idle_control_actor_keeps_nobody_waiting():
    """Reports come every quarter of a second, and an answer takes a message's time."""
    found = simulate_control(replace(SCALE, cohorts=4, rate_ops_s=1.0), COSTS)
    assert found.report_interval_s == pytest.approx(0.25, rel=0.02)
    assert found.answer_s == pytest.approx(500e-6, rel=0.1)
    # the driver asks four times a second
    assert found.busy_ratio == pytest.approx((4 * 6 + 4) * 500e-6, rel=0.05)


def test_a_control_actor_that_is_too_slow_slows_cohorts_down():
    """A closed system at saturation: the response time law gives the interval of reports."""
    costs = replace(COSTS, file_s_a_byte=0.0)
    found = simulate_control(replace(SCALE, cohorts=4_000), costs, duration_s=30.0)
    assert found.busy_ratio == pytest.approx(1.0, abs=0.01)
    # each cohort has a reporter that pauses for 0.25 s and two files that pause for 1 s
    wait_s = found.file_wait_s
    assert found.report_interval_s == pytest.approx(wait_s + 0.25, rel=0.05)
    messages_s = 4_000 / (wait_s + 0.25) + 8_000 / (wait_s + 1.0)
    assert messages_s == pytest.approx(1 / 500e-6, rel=0.05)
    reports_s = 4_000 / found.report_interval_s
    assert interactive_response_s(4_000, reports_s, 0.25) == pytest.approx(wait_s, rel=0.05)
