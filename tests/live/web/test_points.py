"""Points of the live page's charts: differences of counters, thinned without a loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.live.web.points import Points, joined, slice_between, values_of
from harness.progress_meter import quantile_ms
from tests.live.live_pages import counted, node, progress_of


def _between(before, after, span_s=1.0, t_s=1.0, nodes=()):
    return slice_between(before, after, t_s=t_s, span_s=span_s, nodes=nodes)


def test_a_point_tells_what_was_since_the_one_before():
    """Rates, percentiles and parts are of the operations between two snapshots alone."""
    first = progress_of(1.0, counted(1_000, bucket=10, part_ns=5_000_000))
    after = dict(counted(1_300, bucket=10, part_ns=5_000_000, failed=30))
    one = values_of(_between(first, progress_of(3.0, after), span_s=2.0))
    assert one["ops_per_s"] == 150.0
    assert one["failures_per_s"] == one["failures_per_s.timeout"] == 15.0
    assert (
        one["p50_ms.search"]
        == one["p99_ms.all"]
        == pytest.approx(quantile_ms({10: 300}, 0.5), rel=1e-5)
    )
    parts = ("queue", "transport", "shard_wait", "service")
    assert [one[f"{part}_ms.search"] for part in parts] == [5.0] * 4
    assert one["service_ms.all"] == 5.0
    assert one["late_ms.all"] == 0.0
    assert "p50_ms.store" not in one


def test_warm_up_and_measured_operations_are_one_line():
    """Operations of both phases count into a point, and so do their response times."""
    both = {**counted(30, phase="warmup", bucket=5), **counted(70, bucket=50)}
    one = values_of(_between(None, progress_of(1.0, both)))
    assert one["ops_per_s"] == 100.0
    assert one["p50_ms.search"] == pytest.approx(quantile_ms({5: 30, 50: 70}, 0.5), rel=1e-5)


def test_too_few_operations_have_no_percentile():
    """Fewer than 20 operations have a rate and mean parts, and no percentile."""
    one = values_of(_between(None, progress_of(1.0, counted(19))))
    assert one["ops_per_s"] == 19.0
    assert one["p99_ms.search"] is None
    assert one["queue_ms.search"] == 1.0


def test_what_counts_nothing_else_still_has_a_rate():
    """Without counts by operation, totals give operations and failures a second."""
    before = progress_of(1.0, operations_done=100, failures=1)
    one = values_of(_between(before, progress_of(2.0, operations_done=150, failures=4)))
    assert one["ops_per_s"] == 50.0
    assert one["failures_per_s"] == 3.0


def test_operations_that_are_due_before_they_are_issued_are_late():
    """What the response time has beyond the four parts is the lateness of the issue."""
    counts = counted(100, part_ns=1_000_000)
    (key, one) = next(iter(counts.items()))
    late = {key: type(one)(**{**vars(one), "response_ns": one.response_ns + 100 * 7_000_000})}
    assert values_of(_between(None, progress_of(1.0, late)))["late_ms.search"] == 7.0


def test_a_nodes_counters_are_rates_by_its_own_samples():
    """Bytes a second are of the time between a node's two samples, not between two points."""
    before = progress_of(1.0, nodes=[node("n", 10.0, 1_000, shard=30.0)])
    after = progress_of(2.0, nodes=[node("n", 10.5, 2_000, shard=40.0)])
    one = values_of(_between(before, after, nodes={"n"}))
    assert one["net_sent_bytes_s.node.n"] == 2_000.0
    assert one["cpu_percent.node.n"] == 50.0
    assert one["memory_used_bytes.node.n"] == 1_000.0
    assert one["cpu_percent.role_node.shard@n"] == 40.0
    assert "disk_read_bytes_s.node.n" not in one


def test_a_sample_that_was_seen_before_is_told_once():
    """A node that sends nothing any more has no values, where a flat line would look alive."""
    same = progress_of(1.0, nodes=[node("n", 10.0, 1_000)])
    assert not [name for name in values_of(_between(same, same, nodes={"n"})) if "node" in name]


def test_a_machine_that_was_restarted_has_no_negative_rate():
    """Counters that begin anew leave a rate out."""
    before = progress_of(1.0, nodes=[node("n", 10.0, 9_000)])
    after = progress_of(2.0, nodes=[node("n", 11.0, 10)])
    assert "net_sent_bytes_s.node.n" not in values_of(_between(before, after, nodes={"n"}))


def test_ways_to_fail_are_told_from_the_first_time_on():
    """A series of failures by outcome begins with the first of them."""
    points = Points()
    counts = [counted(100), counted(200), counted(300, failed=5)]
    before = None
    for t_s, one in enumerate(counts, 1):
        now = progress_of(t_s, one)
        points.add(_between(before, now, t_s=float(t_s)))
        before = now
    assert points.columns["failures_per_s.timeout"] == [None, None, 5.0]
    assert "failures_per_s.error" not in points.columns
    assert points.columns["failures_per_s"] == [0.0, 0.0, 5.0]


_STEPS = st.lists(
    st.tuples(
        st.integers(0, 2_000),
        st.integers(0, 200),
        st.sampled_from(["store", "search"]),
        st.floats(0.1, 30.0),
    ),
    min_size=1,
    max_size=40,
)


def _slices(steps):
    """Slices of a run whose operations are counted up."""
    totals, before, t_s, found = {}, None, 0.0, []
    for count, bucket, op, span_s in steps:
        old = totals.get(("measure", op))
        latencies = dict(old.latencies) if old else {}
        latencies[bucket] = latencies.get(bucket, 0) + count
        done = (old.operations if old else 0) + count
        fresh = counted(done, op=op)[("measure", op)]
        totals[("measure", op)] = type(fresh)(**{**vars(fresh), "latencies": latencies})
        t_s += span_s
        now = progress_of(t_s, dict(totals), agents_started=len(found))
        found.append(slice_between(before, now, t_s=t_s, span_s=span_s, nodes=()))
        before = now
    return found


@given(_STEPS)
def test_two_neighbours_are_what_one_slice_would_have_been(steps):
    """Joining slices gives what a single difference over the same time gives, percentiles too."""
    slices = _slices(steps)
    whole = slices[0]
    for one in slices[1:]:
        whole = joined(whole, one)
    found = values_of(whole)
    operations = sum(count for count, *_ in steps)
    span_s = sum(span for *_, span in steps)
    assert found["ops_per_s"] == pytest.approx(operations / span_s, rel=1e-4)
    for op in ("store", "search"):
        merged = {}
        for count, bucket, name, _ in steps:
            if name == op and count:
                merged[bucket] = merged.get(bucket, 0) + count
        if merged:
            expected = quantile_ms(merged, 0.99)
            assert found[f"p99_ms.{op}"] == (
                None if expected is None else pytest.approx(expected, rel=1e-4)
            )
    assert found["agents_started"] == len(slices) - 1


@given(_STEPS, st.sampled_from([2, 4, 8]))
def test_a_history_stays_within_its_bound_and_loses_nothing(steps, most):
    """Thinning keeps the newest moment, the order of times, the bound, and what was counted."""
    slices = _slices(steps)
    points = Points(most)
    thinned = 0
    for one in slices:
        thinned += points.add(one)
        assert len(points) <= most
        assert {len(column) for column in points.columns.values()} == {len(points)}
        assert points.columns["t"][-1] == round(one.t_s, 3)
    times = points.columns["t"]
    assert times == sorted(times)
    assert set(times) <= {round(one.t_s, 3) for one in slices}
    assert points.interval_s == 2**thinned
    spans = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    rates = points.columns["ops_per_s"]
    counted_here = sum(rate * span for rate, span in zip(rates, spans, strict=True))
    assert counted_here == pytest.approx(sum(count for count, *_ in steps), rel=2e-2, abs=1.0)
