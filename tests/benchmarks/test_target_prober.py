"""The prober of a comparison: new memories one by one, searches judged, all of it within a time."""

from __future__ import annotations

from typing import Any

from harness.benchmarks.target_prober import TargetProber
from tests.benchmarks.odd_stores import FLUSH_S

ODD = "tests.benchmarks.odd_stores"
DROPPING = f"{ODD}:DroppingTarget"


def test_the_last_memories_of_a_volume_are_stored_one_by_one(probing: Any):
    """They are new ones, so that volume and what is kept agree, and searches find all."""
    one = probing(prober=TargetProber, agents=3)
    assert one.do("load", 500, False)["stored"] == 500
    assert one.do("store_next", 100) == 100
    assert one.do("count")["tiers"]["stm"] == 600
    one.do("keep", 600)
    assert one.do("retrieve", 600, 50) == {"count": 50, "missing": 0, "altered": 0}
    assert one.do("find", 40, 10, 10) == {"count": 40, "short": 0, "recall": 1.0}


def test_what_a_store_lost_is_missing_in_its_recall(probing: Any):
    """Exact search is made on what was stored, not on what the store says it has."""
    one = probing(prober=TargetProber, target=DROPPING)
    one.do("load", 600, False)
    one.do("keep", 600)
    found = one.do("find", 40, 10, 10)
    assert found["short"] == 0
    assert 0.7 < found["recall"] < 0.99


def test_what_is_bounded_ends_when_its_time_is_over(probing: Any):
    """Nothing more is issued, and the next thing has a time of its own."""
    one = probing(prober=TargetProber)
    one.do("bound", 0.0)
    loaded = one.do("load", 500, False)
    assert (loaded["stored"], loaded["stopped"]) == (0, True)
    assert one.do("store_next", 10) == 0
    one.do("bound", 600.0)
    assert one.do("store_next", 10) == 10


def test_a_flush_is_waited_for_as_long_as_it_may_take(probing: Any):
    """Beyond the deadline of operations, and no longer than its own bound."""
    one = probing(prober=TargetProber, target=f"{ODD}:SlowToFlushTarget", deadline_s=0.2)
    one.do("load", 50, False)
    assert one.do("flush") >= FLUSH_S
    one.do("bound", FLUSH_S / 10)
    assert one.do("flush") is None


def test_recall_is_of_the_searches_that_were_answered(probing: Any):
    """One that failed is counted as failed, and is no reason to know nothing of the others."""
    one = probing(prober=TargetProber, target="tests.benchmarks.odd_stores:TimingOutTarget")
    one.do("load", 600, False)
    one.do("keep", 600)
    found = one.do("find", 40, 10, 10)
    assert (found["count"], found["short"], found["recall"]) == (40, 0, 1.0)
