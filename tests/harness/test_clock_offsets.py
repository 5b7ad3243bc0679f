"""A node's clock against the driver's, from exchanges whose way took an unknown time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.clock_offsets import (
    ClockOffset,
    Exchange,
    clock_document,
    offset_of,
    offsets_of_run,
)

SECOND = 1_000_000_000
WALL = 1_767_225_600 * SECOND
offsets = st.integers(-(10**9) * SECOND, 10**9 * SECOND)
delays = st.integers(0, 10 * SECOND)


def exchange(offset_ns: int, there_ns: int, busy_ns: int, back_ns: int) -> Exchange:
    """What both clocks read when the node's is ahead by `offset_ns`."""
    return Exchange(
        sent_ns=WALL,
        received_ns=WALL + there_ns + offset_ns,
        answered_ns=WALL + there_ns + busy_ns + offset_ns,
        got_ns=WALL + there_ns + busy_ns + back_ns,
    )


@given(offsets, st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=8))
def test_the_true_offset_is_within_the_error(offset_ns: int, ways: list[tuple[int, int, int]]):
    """Whatever the way took, there and back, the error holds; it is half the shortest way."""
    found = offset_of(exchange(offset_ns, *way) for way in ways)
    assert found is not None
    assert abs(found.offset_ns - offset_ns) <= found.error_ns + 1
    assert found.error_ns <= min((there + back + 1) // 2 for there, _, back in ways)


def test_no_exchange_says_nothing():
    """A node that never answered has no offset, which is other than an offset of 0."""
    assert offset_of([]) is None
    assert clock_document(None, None) is None


def test_the_errors_of_start_and_end_both_count():
    """The offset is halfway between; the error is the larger, and half of what it drifted."""
    start, end = ClockOffset(offset_ns=100, error_ns=7), ClockOffset(offset_ns=141, error_ns=5)
    assert clock_document(start, end) == {"offset_ns": 120, "error_ns": 28, "drift_ns": 41}
    assert clock_document(start, None) == {"offset_ns": 100, "error_ns": 7, "drift_ns": None}
    assert clock_document(None, end) == {"offset_ns": 141, "error_ns": 5, "drift_ns": None}


@given(offsets, offsets, st.integers(0, SECOND), st.integers(0, SECOND), st.floats(0, 1))
def test_a_clock_that_drifts_evenly_stays_within_the_error(
    first: int, last: int, one: int, other: int, when: float
):
    """At any moment of the run the node's clock is within the error that is written down."""
    document = clock_document(
        ClockOffset(offset_ns=first, error_ns=one), ClockOffset(offset_ns=last, error_ns=other)
    )
    assert document is not None
    true_ns = first + round((last - first) * when)
    rounding_ns = 1 + abs(last - first) * 1e-15
    assert abs(document["offset_ns"] - true_ns) <= document["error_ns"] + rounding_ns


def test_what_is_no_offset_in_a_file_counts_as_not_there():
    """A document may say anything; only whole numbers that a clock can be off by are taken."""
    right = {"a": {"offset_ns": 5}, "b": {"offset_ns": -(10**18), "error_ns": "x"}}
    wrong = {
        "c": {"offset_ns": 1.5},
        "d": {"offset_ns": True},
        "e": {"offset_ns": 10**30},
        "f": {},
        "g": 3,
    }
    assert offsets_of_run({"clocks": {**right, **wrong}}) == {"a": 5, "b": -(10**18)}
    assert offsets_of_run({}) == offsets_of_run({"clocks": [1]}) == {}
