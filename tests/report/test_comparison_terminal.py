"""A comparison in a terminal fits 80 columns, and says first what to know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.bootstrap import Estimate
from harness.analysis.comparison import Comparison, Versus
from harness.analysis.figure_comparison import Compared
from harness.report.comparison import (
    ALL_SHOWN_MAX,
    interval_text,
    ratio_text,
    render_comparison,
    value_text,
)

NOTHING = Estimate(estimate=None, low=None, high=None)


def compared(**changes: Any) -> Compared:
    one = Compared(
        path="search.p99_ms",
        section="",
        label="search p99",
        unit="ms",
        better="less",
        base=12.3,
        new=24.9,
        base_repeats=3,
        new_repeats=3,
        ratio=Estimate(estimate=2.024, low=1.514, high=2.618),
        basis="repeats",
        verdict="worse",
        reason="the interval leaves out 1",
    )
    return replace(one, **changes)


def comparison(*figures: Compared, **changes: Any) -> Comparison:
    warning = {"name": "plan", "verdict": "warning", "sentence": "The plans differ: --agents."}
    versus = Versus(
        new="runs/new",
        repeats=("runs/new/1", "runs/new/2"),
        figures=figures,
        differences=(),
        notes=(warning,),
        sentence="Of 1 figures, 1 is worse, 0 better, 0 without a difference.",
    )
    found = Comparison(
        kind="run", base="runs/base", repeats=("runs/base",), confidence=0.95, against=(versus,)
    )
    return replace(found, **changes)


def test_a_row_has_both_figures_the_ratio_its_interval_and_a_verdict(shown):
    """Each figure is one line, from base and new to the verdict."""
    lines = shown(render_comparison(comparison(compared())), 80)
    assert lines[-2].split() == ["figure", "base", "new", "ratio", "95%", "interval", "verdict"]
    assert lines[-1].split() == [
        *("search", "p99", "12.3", "ms", "24.9", "ms", "2.02", "1.51", "to", "2.62", "worse"),
    ]
    assert " NEW  runs/new (2 repeats)" in lines
    assert lines.index(" The plans differ: --agents.") < len(lines) - 2


@pytest.mark.parametrize(
    ("label", "first"), [("search p99", "search p99"), ("cross_tier service p99", "cross_tier ")]
)
def test_in_a_narrow_terminal_verdicts_stay(shown, label: str, first: str):
    """At 40 columns each row has its ratio and its verdict; a name that is cut has a sign."""
    one = compared(label=label, verdict="no difference")
    lines = shown(render_comparison(comparison(one)), 40)
    assert lines[-2].split()[-2:] == ["ratio", "verdict"]
    assert lines[-1].startswith(f" {first}")
    assert lines[-1].split()[-3:] == ["2.02", "no", "difference"]
    assert ("…" in lines[-1]) == (first != label)
    assert max(map(len, lines)) <= 40


def test_the_widest_rows_fit_80_columns(shown):
    """Long labels, large figures and wide intervals leave no line longer than the terminal."""
    wide = compared(
        section="1,000,000 memories",
        label="cross_tier service p99",
        base=123_456.0,
        new=234_567.0,
        ratio=Estimate(estimate=98.76, low=10.02, high=99.94),
        verdict="no difference",
    )
    lines = shown(render_comparison(comparison(wide, replace(wide, unit="bytes"))), 80)
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("no difference")


def test_of_many_figures_those_that_differ_are_shown(shown):
    """Beyond a screenful the figures without a difference are counted instead, unless wanted."""
    same = compared(verdict="no difference", label="store p95")
    every = [compared(), *[same] * ALL_SHOWN_MAX]
    lines = shown(render_comparison(comparison(*every)), 80)
    assert lines[-1] == f" {ALL_SHOWN_MAX} more figures show no difference or are unknown: --all"
    assert sum("store p95" in line for line in lines) == 0
    lines = shown(render_comparison(comparison(*every), every=True), 80)
    assert sum("store p95" in line for line in lines) == ALL_SHOWN_MAX


def test_each_new_side_has_its_own_table(shown):
    """Several sides against one base follow each other."""
    one = comparison(compared())
    several = replace(one, against=(one.against[0], replace(one.against[0], new="runs/newer")))
    lines = shown(render_comparison(several), 80)
    assert [line for line in lines if line.startswith(" NEW")] == [
        " NEW  runs/new (2 repeats)",
        " NEW  runs/newer (2 repeats)",
    ]


def test_names_cannot_move_the_cursor(shown):
    """Control characters and markup in a name are shown as text."""
    lines = shown(render_comparison(comparison(compared(), base="a\x1b[2J[bold]b")), 80)
    assert " BASE a\N{REPLACEMENT CHARACTER}[2J[bold]b" in lines


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "ms", "12.3 µs"),
        (2.5, "s", "2.50 s"),
        (18.25, "us", "18.2 µs"),
        (3 * 2**20, "bytes", "3.00 MiB"),
        (61_234.4, "per_second", "61,234/s"),
        (0.987, "ratio", "0.987"),
        (None, "ms", "-"),
    ],
)
def test_figures_are_shown_in_their_unit(value: float | None, unit: Any, text: str):
    """A figure has three digits and its unit; one that is unknown is a dash."""
    assert value_text(value, unit) == text


def test_an_unknown_interval_is_a_dash():
    """There is no interval where an end is not known, and ratios are short."""
    assert interval_text(compared(ratio=NOTHING)) == "-"
    assert interval_text(compared()) == "1.51 to 2.62"
    assert (ratio_text(None), ratio_text(1.004), ratio_text(12_345.6)) == ("-", "1.00", "12,346")
