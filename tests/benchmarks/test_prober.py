"""The prober loads, probes and audits a store; here one that works in this process."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from harness.rundir_reader import open_run
from harness.sinks import LocalSink
from harness.targets.sharded import ClientSession
from tests.benchmarks.conftest import Control
from tests.benchmarks.odd_stores import drops

DROPPING = "tests.benchmarks.odd_stores:DroppingTarget"


@pytest.mark.parametrize("agents", [1, 3])
def test_a_volume_is_loaded_and_found_whole(probing: Any, agents: int):
    """Every memory is counted, listed, retrieved as it was stored, and found by searches."""
    one = probing(agents=agents)
    loaded = one.do("load", 600, False)
    assert (loaded["stored"], loaded["failed"], loaded["unstored"]) == (600, 0, 0)
    assert loaded["batch_ops_mean"] > 50
    one.do("keep", 600)
    assert one.do("count")["tiers"] == {"stm": 600, "im": 0, "ltm": 0}
    assert one.do("store", 600, 50) == 50
    assert one.do("retrieve", 600, 50) == {"count": 50, "missing": 0, "altered": 0}
    assert one.do("search", 30, 10, 10) == {"count": 30, "short": 0}
    assert one.do("search_tiers", 40, 10, ["all", "stm"]) == 40
    audit = one.do("audit", 600, 10)
    assert (audit["missing"], audit["strangers"], audit["queries"]) == (0, 0, 20)
    assert audit["recall"] == {"all": 1.0, "stm": 1.0, "im": None, "ltm": None}
    assert one.do("count")["tiers"]["stm"] == 600


def test_rows_are_of_what_was_probed_alone(probing: Any):
    """Loading leaves no row; searches of a tier are in files of a cohort of their own."""
    one = probing()
    one.do("load", 200, False)
    one.do("keep", 200)
    one.do("store", 200, 20)
    one.do("retrieve", 200, 30)
    one.do("search", 5, 10, 10)
    one.do("search_tiers", 12, 10, ["all", "stm"])
    one.close()
    rows = open_run(one.directory.path).operations()
    counts = Counter(zip(rows["op"].to_pylist(), rows["cohort"].to_pylist(), strict=True))
    assert counts == {
        ("store", 0): 20,
        ("retrieve", 0): 30,
        ("search", 0): 5,
        ("search", 1): 6,
        ("search", 2): 6,
    }
    assert pc.all(pc.equal(rows["phase"], "measure")).as_py()
    assert pc.max(rows["batch_ops"]).as_py() == 1
    parts = pc.add(pc.add(rows["queue_ns"], rows["transport_ns"]), rows["service_ns"])
    assert pc.all(pc.equal(parts, pc.subtract(rows["finished_ns"], rows["started_ns"]))).as_py()


def test_memories_are_forced_down_and_recall_is_of_each_tier(probing: Any):
    """What is in which tier is asked of the store, and exact search is made among those."""
    one = probing()
    one.do("load", 1_000, False)
    one.do("keep", 1_000)
    assert one.do("force", "im", 30.0) == {"moved": 300}
    assert one.do("force", "ltm", 20.0) == {"moved": 60}
    assert one.do("count")["tiers"] == {"stm": 700, "im": 240, "ltm": 60}
    one.do("search_tiers", 80, 10, ["all", "stm", "im", "ltm"])
    audit = one.do("audit", 1_000, 10)
    assert audit["queries"] == 20
    assert all(value > 0.99 for value in audit["recall"].values()), audit


def test_a_half_loaded_volume_is_completed(probing: Any, tmp_path: Path):
    """What is there is not stored again, and what is missing is."""
    first = probing("a", agents=3)
    first.do("load", 400, False)
    first.close()
    shutil.copytree(tmp_path / "a" / "data", tmp_path / "b" / "data")
    second = probing("b", agents=3)
    loaded = second.do("load", 1_000, False)
    assert (loaded["already_there"], loaded["stored"]) == (400, 600)
    second.do("keep", 1_000)
    assert second.do("audit", 1_000, 10)["missing"] == 0
    assert second.do("retrieve", 1_000, 200) == {"count": 200, "missing": 0, "altered": 0}


def test_a_later_volume_adds_to_the_one_before(probing: Any):
    """Only what is new is stored."""
    one = probing()
    one.do("load", 100, False)
    loaded = one.do("load", 300, False)
    assert (loaded["already_there"], loaded["stored"]) == (100, 200)
    assert one.do("count")["tiers"]["stm"] == 300


def test_a_volume_that_was_loaded_again_is_the_same(probing: Any):
    """Storing again replaces: nothing is there twice."""
    one = probing()
    one.do("load", 300, False)
    assert one.do("load", 300, True)["stored"] == 300
    assert one.do("count")["tiers"]["stm"] == 300
    audit = one.do("audit", 300, 10)
    assert (audit["missing"], audit["strangers"]) == (0, 0)


def test_what_a_store_drops_is_missed(probing: Any):
    """By its count, by its list and by retrieves, though it acknowledged every store."""
    one = probing(target=DROPPING)
    dropped = sum(drops(f"state_0_{number}") for number in range(500))
    assert dropped > 20
    loaded = one.do("load", 500, False)
    assert (loaded["stored"], loaded["failed"]) == (500, 0)
    one.do("keep", 500)
    assert one.do("retrieve", 500, 500) == {"count": 500, "missing": dropped, "altered": 0}
    assert one.do("count")["tiers"]["stm"] == 500 - dropped
    assert one.do("audit", 500, 10)["missing"] == dropped


def test_a_stop_ends_a_load_and_what_was_stored_stays(probing: Any):
    """The prober learns of the stop with its next report, and says so."""
    one = probing()
    one.control = Control(stop_after=1)
    one.do("begin", one.control, None)
    loaded = one.do("load", 300_000, False)
    assert loaded["stopped"]
    assert loaded["stored"] < 300_000
    assert one.do("count")["tiers"]["stm"] + one.do("count")["tiers"]["im"] == loaded["stored"]


def test_each_step_reports_its_own_retries(probing: Any, monkeypatch: Any):
    """The session goes on over the steps of a benchmark; what it repeated before is not theirs."""
    monkeypatch.setattr(ClientSession, "retries", 3)
    one = probing()
    monkeypatch.setattr(ClientSession, "retries", 5)
    one.do("load", 10, False)
    assert one.control.last.retries == 2
    one.do("end")
    one.do("begin", one.control, LocalSink(one.directory.path))
    one.do("load", 20, False)
    assert one.control.last.retries == 0
