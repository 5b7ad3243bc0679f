"""Figures as text: units, significant digits, and text that is not ours."""

from __future__ import annotations

import pytest

from harness.report import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0"),
        (0.0004, "0"),
        (0.0123, "0.012"),
        (0.9996, "1.00"),
        (4.4249, "4.42"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (421.4, "421"),
        (85_714.3, "85,714"),
    ],
)
def test_digits_are_three_and_never_more_than_three_decimals(value, text):
    """Rounding up to the next magnitude does not add a digit."""
    assert figures.digits(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "-"),
        (0.0123, "12.3 µs"),
        (0.87, "870 µs"),
        (0.9999, "1.00 ms"),
        (4.42, "4.42 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (61_000, "61.0 s"),
    ],
)
def test_a_time_has_the_unit_that_suits_it(milliseconds, text):
    """Times go from µs over ms to s."""
    assert figures.time(milliseconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3_599.7, "1 h 00 min"),
        (7_380, "2 h 03 min"),
    ],
)
def test_a_span_is_for_people(seconds, text):
    """Spans go from seconds over minutes to hours."""
    assert figures.span(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "-"),
        (512, "512 B"),
        (1_023, "0.999 KiB"),
        (1.25 * 2**30, "1.25 GiB"),
        (2**52, "4,096 TiB"),
    ],
)
def test_a_size_has_binary_units(size_bytes, text):
    """Sizes go by 1,024, and never to four digits but at the last unit."""
    assert figures.size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (3.04, "3.0%"), (9.96, "10%"), (143.2, "143%")]
)
def test_a_percentage_is_whole_from_ten_on(value, text):
    """Small percentages keep a decimal."""
    assert figures.percent(value) == text


def test_foreign_text_loses_its_control_characters():
    """Escape sequences, line ends and direction marks become a visible mark each."""
    assert figures.plain("a\x1b[2Jb\nc\u202e[red]é") == "a�[2Jb�c�[red]é"
