"""The list of runs and the plot of a trend as lines of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from harness.history.listed_run import ListedRun
from harness.report.document import Quantity
from harness.report.line_plot import plot
from harness.report.quantities import quantity_of
from harness.report.run_list import RunList

Shown = Callable[..., list[str]]


def runs(*names: str, **changes: object) -> list[ListedRun]:
    known = {
        "status": "interrupted",
        "command": "bench-resources",
        "started": datetime(2026, 11, 23, 14, tzinfo=UTC),
        "target": "chroma:server=true,path=/somewhere/else",
        "agents": 50_000,
        "throughput_ops_s": 123_456.0,
        "p99_ms": 870.0,
        "plan_hash": "0123456789abcdef",
    } | changes
    return [ListedRun(path=Path(name), name=name, **known) for name in names]  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_list_fits_its_width(shown: Shown, width: int):
    """Columns go where there is little room; time, status and what was asked for stay at 80."""
    names = (
        "20261123T145936Z-bench-resources",
        "nightly/of/a/deep/folder/" * 4 + "last",
        "短い" * 20,
    )
    lines = shown(RunList(runs(*names), ["search.p99_ms"]), width)
    assert len(lines) == 4
    assert all(cell_len(line) <= width for line in lines)
    if width >= 80:
        for word in ("2026-11-23 14:00", "interrupted", "01234567"):
            assert word in lines[1]
        assert "last" in lines[2]
        assert "search.p99_ms" in lines[0]
    assert ("command" in lines[0]) == (width > 120)


def test_figures_stay_at_80_columns(shown: Shown):
    """Throughput and p99 are there at 80 columns, where nothing else was asked for."""
    line = shown(RunList(runs("20261123T145936Z-bench-resources")), 80)[1]
    assert "123,456  870 ms  interrupted  01234567" in line


def test_short_names_leave_room_for_columns(shown: Shown):
    """Where names are short, the number of agents is there at 80 columns too."""
    lines = shown(RunList(runs("first", "second", target="noop", command="run")), 80)
    assert "agents" in lines[0]
    assert "50,000" in lines[1]


def test_what_is_not_known_has_a_dash(shown: Shown):
    """A directory that could not be read has its status, and dashes."""
    line = shown(RunList([ListedRun(path=Path("x"), name="x", status="damaged")]), 100)[1]
    assert line.split() == ["x", "-", "-", "-", "-", "-", "-", "damaged", "-"]


@given(
    values=st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=200),
    width=st.integers(20, 200),
    data=st.data(),
)
def test_every_plot_fits_and_has_its_points(values: list[float], width: int, data: st.DataObject):
    """Whatever is drawn fits the width, and has a point in each column that a value is in."""
    changes = sorted(data.draw(st.sets(st.integers(1, max(1, len(values) - 1)), max_size=4)))
    changes = [one for one in changes if one < len(values)]
    lines = [line.plain for line in plot(values, values, changes, "number", width)]
    labels = max(line.index("┤") for line in lines if "┤" in line)
    assert all(len(line) <= max(width, labels + 11) for line in lines)
    drawn = {place for line in lines for place, char in enumerate(line) if char == "•"}
    assert 1 <= len(drawn) <= len(values)


def test_a_plot_shows_where_values_are():
    """The largest value is in the first row, the smallest in the last, a change has its number."""
    lines = [line.plain for line in plot([1.0, 2.0, 9.0, 9.0], [1.5, 1.5, 9, 9], [2], "count", 60)]
    assert lines[0].strip() == "1"
    assert lines[1] == " 9 ┤        ┊•───•"
    assert lines[-1] == " 1 ┤ •      ┊"


@pytest.mark.parametrize(
    ("value", "quantity", "label"),
    [
        (0.0, "count", "0"),
        (0.0, "milliseconds", "0 µs"),
        (0.0, "ratio", "0%"),
        (1.0, "count", "1"),
        (1.0, "milliseconds", "1.00 ms"),
        (1000.0, "count", "1,000"),
        (1000.0, "rate", "1,000/s"),
        (-5.0, "number", "-5.00"),
    ],
)
def test_values_that_are_all_the_same_stand_at_their_label(
    value: float, quantity: Quantity, label: str
):
    """The row with the points is labelled with the value; no other is, nor any below 0."""
    lines = [line.plain for line in plot([value] * 9, [value] * 9, [], quantity, 60)]
    begins = [line.split("┤")[0].strip() for line in lines]
    (row,) = [place for place, line in enumerate(lines) if "•" in line]
    assert begins[row] == label
    assert begins.count(label) == 1
    assert value < 0 or not any(begin.startswith("-") for begin in begins)


def test_an_axis_of_counts_has_whole_numbers_where_they_are():
    """A row between two counts is not labelled with either."""
    lines = [line.plain for line in plot([0.0, 1.0], [0.0, 1.0], [], "count", 60)]
    assert [line.split("┤")[0].strip() for line in lines] == ["1", *[""] * 11, "0"]


def test_figures_beyond_reason_are_not_known(shown: Shown):
    """A throughput that would take a line of digits is a dash."""
    lines = shown(RunList(runs("x", throughput_ops_s=1e300, p99_ms=1e200)), 200)
    assert lines[1].split()[-5:] == ["50,000", "-", "-", "interrupted", "01234567"]


@pytest.mark.parametrize(
    ("path", "quantity"),
    [
        ("search.p99_ms", "milliseconds"),
        ("volumes.1000.store_latency_ms.p99", "milliseconds"),
        ("counts.10.all.count", "count"),
        ("operations", "count"),
        ("throughput_ops_s", "rate"),
        ("counts.10.operations_per_second", "rate"),
        ("counts.10.avg_cpu_percent", "percent"),
        ("efficiency.operations_per_cpu_percent", "number"),
        ("resources.shard.rss_bytes_max", "bytes"),
        ("volumes.1000.memory_bytes_per_memory", "bytes"),
        ("cpu_us_per_operation.shard", "number"),
        ("duration_s", "seconds"),
        ("counts.10.total_duration_seconds", "seconds"),
        ("counts.10.efficiency", "ratio"),
        ("attempts_max", "number"),
    ],
)
def test_the_quantity_follows_from_the_path(path: str, quantity: str):
    """A figure is written by the unit that its path ends with."""
    assert quantity_of(path) == quantity
