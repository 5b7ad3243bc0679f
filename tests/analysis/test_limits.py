"""The table of what limits a run: from utilisations to a kind and a sentence."""

from __future__ import annotations

import re

import pytest

from harness.analysis.limits import Utilisation, what_limited

BASE = {"operations": 100_000, "achieved_rate_ops_s": 5_000.0, "cohorts": 2, "shards": 2}
CALM = BASE | {
    "cohort_cores": 0.3,
    "shard_cores": 0.2,
    "machine_busy_ratio": 0.4,
    "cpu_count": 8,
    "cores_by_role": {"cohort": 0.6, "shard": 0.4},
}
MEANS = {"response_ms": 10.0, "queue_ms": 2.0, "transport_ms": 5.0, "service_ms": 3.0}


@pytest.mark.parametrize(
    ("kind", "words", "used"),
    [
        ("nothing", ["Nothing was measured"], {"operations": 0}),
        ("load_generator", ["0.95 of a core each", "0.20"], CALM | {"cohort_cores": 0.95}),
        (
            "load_generator",
            ["0.97"],
            CALM | {"cohort_cores": 0.97, "machine_busy_ratio": 0.99, "cpu_count": 2},
        ),
        (
            "load_generator",
            ["one process used 0.90"],
            CALM | {"cohort_cores": 0.90, "cohorts": 1, "shard_cores": 0.7},
        ),
        (
            "machine",
            ["its 2 cores were 97% busy", "cohort 1.10", "shard 0.70", "everything else 0.14"],
            CALM
            | {
                "cohort_cores": 0.55,
                "machine_busy_ratio": 0.97,
                "cpu_count": 2,
                "cores_by_role": {"cohort": 1.1, "shard": 0.7},
            },
        ),
        (
            "machine",
            ["of 3 machines the busiest was 93% busy"],
            CALM | {"machine_busy_ratio": 0.93, "machines": 3},
        ),
        ("shard", ["busiest of 2 used 0.92 of a core"], CALM | {"shard_cores": 0.92}),
        (
            "shard",
            ["0.99"],
            CALM | {"cohort_cores": 0.9, "shard_cores": 0.99},
        ),
        (
            "process",
            ["agents and store together"],
            CALM | {"cohort_cores": 0.98, "shards": 0, "shard_cores": None, "in_process": True},
        ),
        (
            "disk",
            ["agents' process", "90% of the time", "31%"],
            CALM
            | {"shard_taken_up_ratio": 0.9, "cohort_cores": 0.31, "shards": 0}
            | {"shard_cores": None, "in_process": True},
        ),
        (
            "memory",
            ["2.5% of the operations were refused", "1,048,576 bytes"],
            CALM | {"refused_ratio": 0.025, "memory_limit_bytes": 2**20, "shard_cores": 0.99},
        ),
        ("memory", ["only 3.0% of it was free"], CALM | {"memory_left_ratio": 0.03}),
        ("transport", [], CALM | MEANS | {"memory_left_ratio": 0.06, "refused_ratio": 0.5}),
        ("ray", ["0.91 of a core"], CALM | {"cores_by_role": {"raylet": 0.91}}),
        (
            "think_time",
            ["92% of their time"],
            CALM | {"think_time_s": 1.0, "thinking_ratio": 0.92},
        ),
        ("disk", ["fsync", "80% of the time", "20%"], CALM | {"shard_taken_up_ratio": 0.8}),
        ("store", ["80% of the time"], CALM | {"shard_taken_up_ratio": 0.8, "fsync": False}),
        ("disk", ["Waiting for the disk"], CALM | MEANS | {"service_ms": 6.0}),
        ("store", ["Waiting for the store"], CALM | MEANS | {"service_ms": 6.0, "fsync": False}),
        ("transport", ["round trip", "5.00 in transport", "40% busy"], CALM | MEANS),
        ("unknown", ["too short", "5.00 in transport"], BASE | MEANS),
        (
            "unknown",
            ["too short to measure its CPU"],
            BASE | MEANS | {"machine_busy_ratio": 0.6, "shard_taken_up_ratio": 0.9},
        ),
        (
            "schedule",
            ["the offered 5,000 operations/s were carried"],
            CALM | {"offered_rate_ops_s": 5_000.0},
        ),
        (
            "schedule",
            ["were carried"],
            {"operations": 16, "achieved_rate_ops_s": 6.0, "offered_rate_ops_s": 10.0},
        ),
        (
            "shard",
            ["only 5,000 operations/s of the offered 9,000 operations/s were carried"],
            CALM | {"offered_rate_ops_s": 9_000.0, "shard_cores": 0.99},
        ),
    ],
)
def test_each_case_is_called_by_its_name_with_its_figures(kind, words, used):
    """The limit is the first part found saturated, and its sentence has the figures."""
    limit = what_limited(Utilisation(**used))
    assert limit.kind == kind
    for word in words:
        assert word in limit.sentence
    assert re.findall(r"\.(?!\d)", limit.sentence) == ["."]


def test_a_load_generator_beside_working_shards_is_not_blamed_on_a_full_machine():
    """With cohorts near a core but shards at work on a full machine, the machine is the limit."""
    used = CALM | {"cohort_cores": 0.9, "shard_cores": 0.6, "machine_busy_ratio": 0.95}
    assert what_limited(Utilisation(**used)).kind == "machine"


def test_what_a_full_machine_did_is_not_said_where_it_was_not_measured():
    """Without our processes' CPU nobody can say how much was everything else's."""
    used = BASE | {"machine_busy_ratio": 0.985, "cpu_count": 2}
    limit = what_limited(Utilisation(**used))
    assert limit.sentence == "The whole machine's CPU limited the run: its 2 cores were 98% busy."
