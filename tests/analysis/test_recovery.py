"""What faults did is told from rows and events: time to recover, errors meanwhile, the dip."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.recovery import AFTER_S, FaultRows
from tests.analysis.conftest import WALL_NS, Tables

MS = 1_000_000
S = 1_000 * MS
TOPOLOGY = {
    "topology": {
        "target": {"shards": [{"shard": 0, "node_id": "a"}, {"shard": 1, "node_id": "b"}]},
        "cohorts": [{"cohort": 0, "node_id": "b"}, {"cohort": 1, "node_id": "c"}],
    }
}


def fault(
    text: str = "at 10s kill shard 0",
    at_s: float = 10.0,
    *,
    what: str = "process",
    of: str = "shard",
    number: int = 0,
    for_s: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    return {
        "kind": "fault",
        "fault": text,
        "wall_ns": WALL_NS + round(at_s * S),
        "answered_wall_ns": WALL_NS + round(at_s * S) + 2 * MS,
        "t_s": at_s,
        "done": True,
        "problem": None,
        "action": "kill" if for_s is None else "stall",
        "what": what,
        "of": of,
        "number": number,
        "for_s": for_s,
        "node_id": None,
        **more,
    }


def row(begin_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    """An operation that was issued and finished then."""
    begin_ns, end_ns = round(begin_s * S), round(end_s * S)
    return {"scheduled_ns": begin_ns, "transport_ns": end_ns - begin_ns, **more}


def steady(begin_s: float, end_s: float, every_s: float = 0.1, **more: Any) -> list[dict[str, Any]]:
    """Operations of 10 ms one after another."""
    count = round((end_s - begin_s) / every_s)
    begins = [begin_s + place * every_s for place in range(count)]
    return [row(begin_s, begin_s + 0.01, **more) for begin_s in begins]


def figures(
    rows: list[dict[str, Any]], *events: dict[str, Any], cohort: int = 0
) -> list[dict[str, Any]]:
    watched = FaultRows(events, TOPOLOGY)
    passed = list(watched.watch([Tables().file(rows, cohort=cohort)]))
    assert passed[0][1].num_rows == len(rows)
    return watched.figures()


def test_a_kill_is_recovered_from_at_the_first_answer_to_what_came_after_it():
    """Not at an answer that was on its way; throughput before and meanwhile are the hit's own."""
    rows = [
        *steady(0, 10),
        row(9.99, 10.02),  # on its way when the shard was killed
        row(9.995, 12.5, attempts=3),
        row(11.0, 12.6),
        *steady(12.7, 16),
        *steady(0, 16, shard=1),
    ]
    (found,) = figures(rows, fault())
    assert found["recovery_s"] == pytest.approx(2.5)
    assert (found["errors"], found["errors_by_outcome"]) == (0, {})
    assert found["operations_meanwhile"] == 3
    assert found["slowest_ms"] == pytest.approx(2505)
    assert found["throughput_before_ops_s"] == pytest.approx(10.0)
    assert found["throughput_meanwhile_ops_s"] == pytest.approx(2 / 2.5)
    assert found["sentence"] == (
        "at 10s kill shard 0: shard 0 answered again after 2.50 s; of 3 operations meanwhile none "
        "failed, the slowest took 2,505 ms, and 10 operations/s became 1."
    )


def test_a_stall_is_recovered_from_when_it_is_over():
    """What came during it had been answered before; what waited needs no second attempt."""
    rows = [*steady(0, 10), row(9.99, 10.01), row(10.0, 13.005), *steady(13.1, 16)]
    (found,) = figures(rows, fault(for_s=3.0))
    assert found["recovery_s"] == pytest.approx(3.005)


@pytest.mark.parametrize("off_s", [-86_400, -0.5, 0, 3, 86_400])
def test_the_clock_of_another_host_has_no_part_in_the_time_to_recover(off_s: float):
    """Rows of a host whose clock is off, and not known to be, give the same figures."""
    rows = [*steady(0, 10), row(9.995, 12.5, attempts=3), *steady(12.7, 16)]
    topology = {"topology": {**TOPOLOGY["topology"], "driver_node_id": "elsewhere"}}
    watched = FaultRows([fault()], topology)
    list(watched.watch([Tables().file(rows, start_wall_ns=WALL_NS + round(off_s * S))]))
    (found,) = watched.figures()
    assert found["recovery_s"] == pytest.approx(2.5, abs=0.003)
    assert found["operations_meanwhile"] == 1
    assert found["throughput_before_ops_s"] == pytest.approx(10.0, abs=0.3)


def test_one_answer_between_failures_is_no_recovery():
    """A second without a failure has to follow; the errors are counted by their outcome."""
    rows = [
        *steady(0, 10),
        row(10.1, 11.0, outcome="unavailable"),
        row(11.0, 11.2),
        row(11.2, 11.9, outcome="timeout"),
        row(11.3, 12.0, outcome="unavailable"),
        row(12.0, 12.4),
        *steady(12.5, 16),
        row(15.0, 15.5, outcome="error"),
    ]
    (found,) = figures(rows, fault())
    assert found["recovery_s"] == pytest.approx(2.4)
    assert found["errors_by_outcome"] == {"unavailable": 2, "timeout": 1}
    assert found["errors"] == 3
    assert "of 5 operations meanwhile 3 failed (2 unavailable, 1 timeout)" in found["sentence"]


def test_an_input_that_is_refused_is_no_failure_of_the_store():
    """It says nothing of whether the store is there; and not found is an answer."""
    rows = [row(10.1, 11.0, outcome="not_found"), row(11.1, 11.2, outcome="bad_input")]
    (found,) = figures(rows, fault())
    assert (found["recovery_s"], found["errors"]) == (pytest.approx(1.0), 0)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([*steady(0, 10)], "shard 0 did not come to answer again"),
        ([*steady(0, 10), *steady(10.1, 11, outcome="timeout")], "did not come to answer again"),
        (
            [row(10.1, 10.9), row(10.2, 11.0, outcome="error")],
            "did not come to answer again",
        ),
        ([], "of 0 operations meanwhile none failed."),
    ],
    ids=["silence", "failures", "both", "none"],
)
def test_what_never_recovers_has_no_time(rows: list[dict[str, Any]], part: str):
    """The time to recover is None, and the sentence says what was seen instead."""
    (found,) = figures(rows, fault())
    assert found["recovery_s"] is None
    assert part in found["sentence"]


def test_the_next_fault_of_the_same_ends_the_look_at_one():
    """Each fault has its own recovery; one of another shard is not in the way."""
    rows = [
        *steady(0, 10),
        row(10.5, 14.0),
        *steady(14.1, 20),
        row(20.5, 21.0),
        *steady(21.1, 25),
    ]
    first, second, other = figures(
        rows, fault(), fault(at_s=12.0), fault(at_s=11.0, number=1, text="at 11s kill shard 1")
    )
    assert first["recovery_s"] is None
    assert "had not come to answer again when the next fault hit" in first["sentence"]
    assert second["recovery_s"] == pytest.approx(2.11)  # the first that was issued after it
    assert other["operations_meanwhile"] == 0


def test_a_fault_of_a_node_hits_its_shards_or_else_its_cohorts():
    """As the topology has them: those of other nodes go on."""
    rows = [row(10.5, 11.5, shard=1), *steady(0, 16, shard=0)]
    of_shards = {"what": "node", "node_id": "b", "text": "at 10s kill node of shard 1"}
    (found,) = figures(rows, fault(**of_shards))
    assert found["recovery_s"] == pytest.approx(1.5)
    of_cohorts = {"what": "node", "of": "cohort", "number": 1, "node_id": "c"}
    text = "at 10s kill node of cohort 1"
    (found,) = figures(rows, fault(text, **of_cohorts), cohort=1)
    assert found["sentence"].startswith(f"{text}: cohort 1 answered again after 0.11 s")
    (found,) = figures(rows, fault(text, **of_cohorts), cohort=0)
    assert found["operations_meanwhile"] == 0


def test_a_fault_that_was_not_done_says_why():
    """Nothing is measured of it."""
    (found,) = figures(steady(0, 16), fault(done=False, problem="the run was over before its time"))
    assert found["sentence"] == "at 10s kill shard 0: not done: the run was over before its time."
    assert (found["recovery_s"], found["operations_meanwhile"]) == (None, 0)


def test_a_fault_of_a_sampler_hits_no_operation():
    """It costs samples only."""
    text = "at 10s kill sampler of node of shard 0"
    (found,) = figures(steady(0, 16), fault(text, what="sampler"))
    assert found["sentence"] == f"{text}: no operation depends on it."


def test_what_ends_long_after_a_fault_is_not_looked_at():
    """The time to recover has a bound."""
    rows = [*steady(0, 10), *steady(11 + AFTER_S, 13 + AFTER_S)]
    (found,) = figures(rows, fault())
    assert found["recovery_s"] is None


@given(
    st.dictionaries(
        st.sampled_from(sorted(fault())),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.integers(), max_size=2),
    )
)
def test_any_event_is_read_or_left_aside(event: dict[str, Any]):
    """A run directory may say anything."""
    for one in figures(steady(0, 1), {**fault(), **event}, {**event, "kind": "fault"}):
        assert isinstance(one["sentence"], str)
