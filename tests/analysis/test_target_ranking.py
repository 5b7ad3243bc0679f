"""Who is ahead, by how much, and whether that is more than repeats differ."""

from __future__ import annotations

import pytest

from harness.analysis.target_ranking import rank


def test_the_most_is_first_and_compared_with_the_second():
    """By medians; the lead is a ratio above 1 with its interval."""
    found = rank({"b": [50, 52, 51], "a": [100, 104, 98], "c": [10, 11, 12]}, "more")
    assert found is not None
    assert [one["target"] for one in found["order"]] == ["a", "b", "c"]
    assert found["order"][0]["value"] == 100
    assert found["lead"]["estimate"] == pytest.approx(100 / 51)
    assert found["beyond_spread"] is True


def test_the_least_is_first_where_less_is_better():
    """A time that is half of another is ahead twice."""
    found = rank({"slow": [2.0, 2.1, 1.9], "fast": [1.0, 1.1, 0.9]}, "less")
    assert found is not None
    assert [one["target"] for one in found["order"]] == ["fast", "slow"]
    assert found["lead"]["estimate"] == pytest.approx(2)
    assert found["beyond_spread"] is True


def test_a_lead_within_the_spread_shows_no_difference():
    """The repeats overlap."""
    found = rank({"a": [100, 60, 140], "b": [90, 130, 55]}, "more")
    assert found is not None
    assert found["order"][0]["target"] == "a"
    assert found["beyond_spread"] is False


def test_two_repeats_tell_nothing_of_the_spread():
    """The order is known, whether it would be the same again is not."""
    found = rank({"a": [100, 101, 102], "b": [10, 11]}, "more")
    assert found is not None
    assert found["beyond_spread"] is None
    assert found["order"][1]["low"] is None


def test_one_target_leads_nobody():
    """And none without a figure is ranked."""
    alone = rank({"a": [1.0, 2.0, 3.0], "b": []}, "more")
    assert alone is not None
    assert alone["lead"]["estimate"] is None
    assert rank({"a": [], "b": []}, "more") is None
