"""Resources by role within a window, in cases worked by hand."""

from __future__ import annotations

import pytest

from harness.analysis.resources import (
    NODE,
    ROLE_FIGURES,
    cpu_seconds_together,
    resource_figures,
)
from harness.analysis.rows import Window
from harness.schema import ROLES

TICK = 200_000_000
WINDOW = Window(10 * TICK, 20 * TICK)  # 2 s, ticks 11 to 20


def _ticks(**values):
    """A process's rows at ticks 1 to 30; a callable value is asked for each tick."""
    return [
        {"wall_ns": tick * TICK}
        | {name: value(tick) if callable(value) else value for name, value in values.items()}
        for tick in range(1, 31)
    ]


def _figures(tables, processes=(), nodes=(), window=WINDOW):
    return resource_figures(tables.nodes(nodes), tables.processes(processes), window)


def test_a_role_is_the_sum_over_its_processes_at_each_tick(tables):
    """Two shards at 30% and 50% of a core are a role at 80%, whose peak is their common one."""
    rows = _ticks(pid=1, cpu_percent=30.0, rss_bytes=100) + _ticks(
        pid=2, cpu_percent=lambda tick: 90.0 if tick == 15 else 50.0, rss_bytes=300
    )
    shard = _figures(tables, rows)["shard"]
    assert shard["processes"] == 2
    assert shard["cpu_percent_avg"] == pytest.approx(84.0)
    assert shard["cpu_percent_max"] == pytest.approx(120.0)
    assert (shard["rss_bytes_avg"], shard["rss_bytes_max"]) == (400, 400)


def test_only_ticks_within_the_window_count(tables):
    """What a role used before and after the measured phase is in no figure."""
    rows = _ticks(cpu_percent=lambda tick: 10.0 if 10 < tick <= 20 else 100.0)
    shard = _figures(tables, rows)["shard"]
    assert (shard["cpu_percent_avg"], shard["cpu_percent_max"]) == (10.0, 10.0)


def test_cpu_seconds_are_what_the_counter_went_within_the_window(tables):
    """A process that uses half a core uses 1 s within 2 s, wherever the window's ends fall."""
    rows = _ticks(cpu_seconds=lambda tick: 7.0 + tick * 0.1)
    for shift_ns in (0, TICK // 2):
        window = Window(WINDOW.begin_ns + shift_ns, WINDOW.end_ns + shift_ns)
        shard = _figures(tables, rows, window=window)["shard"]
        assert shard["cpu_seconds"] == pytest.approx(1.0)
        assert shard["process_cpu_percent_max"] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("duration_ticks", "interval_ticks", "told"),
    [(4, 1, False), (5, 1, True), (10, 6, False), (10, 3, True), (10, 10, False)],
)
def test_cpu_is_not_told_of_a_window_that_hardly_saw_it(
    tables, duration_ticks, interval_ticks, told
):
    """Under a second, or with fewer than three ticks, CPU-seconds are None, not some number."""
    rows = [
        row
        for row in _ticks(pid=1, cpu_seconds=lambda tick: tick * 0.1, cpu_percent=50.0)
        if row["wall_ns"] // TICK % interval_ticks == 0
    ]
    window = Window(10 * TICK, (10 + duration_ticks) * TICK)
    shard = _figures(tables, rows, window=window)["shard"]
    assert shard["processes"] == 1
    assert shard["cpu_percent_avg"] == 50.0
    for name in ("cpu_seconds", "process_cpu_percent_avg", "process_cpu_percent_max"):
        assert (shard[name] is not None) is told


def test_cpu_of_all_is_told_only_where_that_of_each_is(tables):
    """A role that was hardly sampled leaves the sum unknown; one that is not there does not."""
    shards = _ticks(pid=1, cpu_seconds=lambda tick: tick * 0.1)
    assert cpu_seconds_together(_figures(tables, shards)) == pytest.approx(1.0)
    late = [row for row in _ticks(pid=2, role="driver") if row["wall_ns"] > 18 * TICK]
    assert cpu_seconds_together(_figures(tables, shards + late)) is None
    assert cpu_seconds_together(_figures(tables)) is None


def test_uss_that_is_read_now_and_then_is_carried_between(tables):
    """Processes whose memory is read at different ticks still sum up, each with its latest."""
    rows = _ticks(pid=1, uss_bytes=lambda tick: 100 if tick % 10 == 1 else None)
    rows += _ticks(pid=2, uss_bytes=lambda tick: 50 if tick == 24 else None)
    shard = _figures(tables, rows)["shard"]
    assert (shard["uss_bytes_avg"], shard["uss_bytes_max"]) == (150, 150)


def test_uss_that_was_never_read_is_none_and_taken_from_no_other(tables):
    """A process without a reading has no value, whatever its neighbours have."""
    rows = _ticks(pid=1, role="cohort", uss_bytes=100) + _ticks(pid=2) + _ticks(pid=3)
    rows += _ticks(
        pid=2, role="cohort", node_id="m", uss_bytes=lambda tick: 5 if tick == 30 else None
    )
    figures = _figures(tables, rows)
    assert figures["shard"]["uss_bytes_avg"] is None
    assert figures["cohort"]["uss_bytes_max"] == 105


def test_a_reading_of_before_the_window_is_carried_into_it(tables):
    """Memory that was read before the measured phase is what the process has within it."""
    rows = _ticks(uss_bytes={2: 70, 29: 900}.get)
    assert _figures(tables, rows)["shard"]["uss_bytes_max"] == 70


def test_a_process_that_comes_late_counts_as_nothing_before(tables):
    """A role's average is over the node's ticks, also those that did not see it yet."""
    late = [
        row for row in _ticks(pid=2, role="cohort", rss_bytes=100) if row["wall_ns"] > 15 * TICK
    ]
    cohort = _figures(tables, _ticks(pid=1) + late)["cohort"]
    assert (cohort["rss_bytes_avg"], cohort["rss_bytes_max"]) == (50, 100)


def test_nodes_with_ticks_at_other_moments_add_up(tables):
    """Over two nodes the average is the sum of averages and the maximum that of latest values."""
    there = [row | {"wall_ns": row["wall_ns"] - 70_000_000} for row in _ticks(node_id="m")]
    rows = _ticks(pid=1, cpu_percent=40.0) + [
        row | {"pid": 1, "cpu_percent": 25.0, "cpu_seconds": 0.0} for row in there
    ]
    shard = _figures(tables, rows)["shard"]
    assert shard["processes"] == 2
    assert shard["cpu_percent_avg"] == pytest.approx(65.0)
    assert shard["cpu_percent_max"] == pytest.approx(65.0)


def test_a_window_between_two_ticks_is_read_from_the_tick_after_it(tables):
    """A run shorter than the sampling interval still has the figures of the next tick."""
    window = Window(10 * TICK + 1, 10 * TICK + 50_000_000)
    rows = _ticks(cpu_percent=lambda tick: 60.0 if tick == 11 else 0.0)
    assert _figures(tables, rows, window=window)["shard"]["cpu_percent_avg"] == 60.0


def test_a_machine_has_its_cpu_memory_and_the_bytes_within_the_window(tables):
    """Counters are read at the window's ends, gauges at its ticks."""
    nodes = _ticks(
        cpu_percent=lambda tick: 90.0 if tick % 2 else 70.0,
        memory_used_bytes=1000,
        memory_available_bytes=lambda tick: 5000 - tick,
        disk_write_bytes=lambda tick: 1_000_000 + tick * 10,
        cpu_count=4,
    )
    node = _figures(tables, nodes=nodes)[NODE]
    assert (node["nodes"], node["cpu_count"]) == (1, 4)
    assert (node["cpu_percent_avg"], node["cpu_percent_max"]) == (80.0, 90.0)
    assert (node["memory_used_bytes_max"], node["memory_available_bytes_min"]) == (1000, 4980)
    assert (node["disk_write_bytes"], node["network_sent_bytes"]) == (100, 0)


def test_the_busiest_machine_is_told_from_the_average_of_all(tables):
    """Two machines at 100% and 20% average 60%, and the busiest is 100%."""
    nodes = _ticks(cpu_percent=100.0) + _ticks(node_id="m", cpu_percent=20.0)
    node = _figures(tables, nodes=nodes)[NODE]
    assert (node["cpu_percent_avg"], node["cpu_percent_busiest"]) == (60.0, 100.0)
    assert node["cpu_count"] == 4


@pytest.mark.parametrize("window", [None, WINDOW])
def test_without_samples_every_role_is_there_with_none(tables, window):
    """A run without samples has the same paths, with no value in any."""
    figures = _figures(tables, window=window)
    assert list(figures) == [*ROLES, NODE]
    assert figures["shard"] == dict.fromkeys(ROLE_FIGURES) | {"processes": 0}
    assert figures[NODE]["cpu_percent_avg"] is None
