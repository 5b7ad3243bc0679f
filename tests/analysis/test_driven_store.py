"""What analysis takes a run's store for, and what it concludes of stores that are not ours."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.driven_store import DrivenStore, driven_store
from harness.analysis.limits import Utilisation, what_limited
from harness.analysis.process_leaks import run_leaks
from harness.plan import RunPlan
from harness.targets.base import Capabilities
from harness.targets.driven import target_document
from harness.targets.embedded import EmbeddedTarget
from harness.targets.memory_core import MemoryCoreTarget
from harness.targets.noop import NoopTarget
from harness.targets.own_store import own_document
from tests.analysis.leak_runs import PLAN
from tests.analysis.leak_runs import samples as made_samples
from tests.analysis.leak_runs import stores as made_stores

OTHER = target_document(
    name="chroma:server=true",
    version="1.0.12",
    durability="SQLite in WAL mode.",
    settings={"ef": 100},
    capabilities=Capabilities(batch=frozenset({"store"}), durable=True, calls_at_once=4),
    in_process=True,
    stores="one a cohort",
)


def test_a_document_says_what_the_store_is() -> None:
    """What is written into run.json is read back."""
    assert OTHER["capabilities"] == ["batch", "durable"]
    assert driven_store({"topology": {"target": OTHER}}) == DrivenStore(
        name="chroma:server=true",
        version="1.0.12",
        durability="SQLite in WAL mode.",
        in_process=True,
        holds="unknown",
        calls_at_once=4,
    )


def test_our_targets_are_known_as_ours() -> None:
    """Of our own, the store's model is known, or that nothing is kept."""
    plan = RunPlan(durability="os")
    found = [
        driven_store({"topology": {"target": own_document(target, plan, "shards")}})
        for target in (MemoryCoreTarget(), EmbeddedTarget(), NoopTarget())
    ]
    assert [one.holds for one in found] == ["memory_core", "memory_core", "nothing"]
    assert [one.in_process for one in found] == [False, True, False]
    assert found[0].durability.startswith("The operating system has")
    assert found[2].durability == "Nothing is kept."
    assert found[0].is_ours
    assert not found[2].is_ours


@pytest.mark.parametrize(
    ("target", "in_process", "holds"),
    [
        ("memory_core", False, "memory_core"),
        ("embedded", True, "memory_core"),
        ("threads", True, "memory_core"),
        ("noop", False, "nothing"),
        ("some.module:Class", False, "memory_core"),
    ],
)
@pytest.mark.parametrize("document", [None, {"stores": "one a cohort"}, {"shards": []}, 7])
def test_an_earlier_run_is_known_by_the_name_of_its_target(
    target: str, in_process: bool, holds: str, document: Any
) -> None:
    """Runs that were written before the document had names are read as they always were."""
    store = driven_store({"plan": {"target": target}, "topology": {"target": document}})
    assert (store.in_process, store.holds, store.version) == (in_process, holds, "")


@pytest.mark.parametrize(
    "run", [{}, {"plan": 3}, {"topology": []}, {"topology": {"target": {"name": "x", "holds": 3}}}]
)
def test_a_document_of_any_kind_is_read(run: dict[str, Any]) -> None:
    """What is not of the kind that is asked for is taken as not there."""
    assert driven_store(run).version == ""


def _leaks(
    tables: Any, run_in_memory: Any, rows: Any, samples: Any, document: Any
) -> dict[str, Any]:
    run = {"plan": PLAN, "status": "complete", "topology": {"target": document}}
    found = run_leaks(run_in_memory(run=run, files=[tables.file(rows)], process_rows=list(samples)))
    return {one["process"]: one for one in found}


def test_whether_a_process_with_memories_of_another_store_leaks_is_withheld(
    tables: Any, run_in_memory: Any
) -> None:
    """What a memory takes there is not known, so growth says nothing; the sentence tells why."""
    samples = [*made_samples(0, pid=3, role="cohort"), *made_samples(0, pid=4, role="gcs")]
    found = _leaks(tables, run_in_memory, made_stores(10), samples, OTHER)
    assert found["cohort 0"]["verdict"] == "too little data"
    assert (
        "what each of them takes of chroma:server=true is not known"
        in (found["cohort 0"]["sentence"])
    )
    assert found["gcs"]["verdict"] == "no leak"


def test_where_nothing_is_stored_another_store_is_judged(tables: Any, run_in_memory: Any) -> None:
    """A run that only reads has no excuse for growth, whatever the store."""
    samples = list(made_samples(0, role="cohort"))
    found = _leaks(tables, run_in_memory, made_stores(1, op="search"), samples, OTHER)
    assert found["cohort 0"]["verdict"] == "no leak"


def test_a_server_holds_the_memories_and_its_agents_do_not(tables: Any, run_in_memory: Any) -> None:
    """Of a store in processes of its own, those are not judged, and the cohorts are."""
    samples = [*made_samples(0, pid=1), *made_samples(0, pid=3, role="cohort")]
    found = _leaks(tables, run_in_memory, made_stores(10), samples, OTHER | {"in_process": False})
    assert found["shard 0"]["verdict"] == "too little data"
    assert found["cohort 0"]["verdict"] == "no leak"


CALM = {
    "operations": 1_000,
    "cohorts": 2,
    "cohort_cores": 0.3,
    "shards": 1,
    "machine_busy_ratio": 0.6,
    "cpu_count": 4,
    "fsync": False,
    "other_server": True,
}


def test_a_server_of_one_thread_that_is_busy_limited_the_run() -> None:
    """A core in full is all that one thread can."""
    found = what_limited(Utilisation(**CALM, shard_cores=0.97))
    assert found.kind == "store"
    assert found.sentence.startswith(
        "The store's server limited the run: its busiest process used 0.97 of a core, all that"
    )


def test_a_server_of_many_threads_has_no_core_to_fill() -> None:
    """Two cores in use are no bound of one thread: what took the time is said instead."""
    used = Utilisation(**CALM, shard_cores=2.1, response_ms=5.0, service_ms=4.0, queue_ms=0.5)
    found = what_limited(used)
    assert found.kind == "store"
    assert "4.00 in service" in found.sentence


def test_waiting_for_another_store_is_not_put_down_to_the_disk() -> None:
    """Of a store that is not ours nobody knows what it waits for."""
    used = Utilisation(**CALM, shard_cores=0.1, shard_taken_up_ratio=0.95)
    assert what_limited(used).sentence.startswith(
        "The store limited the run: the store's server had a batch under way for 95%"
    )
