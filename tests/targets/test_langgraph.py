"""The adapter of LangGraph's stores, on the real things."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from harness.errors import UsageError
from harness.targets.adapters.langgraph import TEXT_FIELD, LangGraphOptions, LangGraphTarget
from harness.targets.base import Memory, Query
from memory_core.errors import BadInputError, StorageFullError
from tests.targets.store_behaviour import (
    StoreBehaviour,
    assert_hits,
    exact_hits,
    made_memory,
    opened,
    setup_in,
    state_of,
    store_much,
    unit_vector,
)


class SqliteOptions(LangGraphOptions, frozen=True, kw_only=True):
    """The options of the one on SQLite, by default."""

    store: str = "sqlite"


class SqliteTarget(LangGraphTarget):
    """The one on SQLite, for a process that makes a target of its place alone."""

    options_type = SqliteOptions


class TestInMemoryStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.langgraph:LangGraphTarget"
    tells_true_from_one = False


class TestSqliteStore(StoreBehaviour):
    """What every store owes."""

    place = "tests.targets.test_langgraph:SqliteTarget"
    tells_true_from_one = False


@pytest.fixture(params=["memory", "sqlite"])
def target(request: pytest.FixtureRequest) -> LangGraphTarget:
    return LangGraphTarget(LangGraphOptions(store=request.param))


def test_only_the_file_is_durable(tmp_path: Path):
    """What each claims, and says of an acknowledgement, goes by where it keeps its items."""
    for store, durable, said in [("memory", False, "gone with"), ("sqlite", True, "synced")]:
        one = LangGraphTarget(LangGraphOptions(store=store))
        assert one.capabilities.durable is durable
        assert said in one.prepare(setup_in(tmp_path)).durability


@pytest.mark.parametrize(("durability", "number"), [("fsync", 2), ("os", 1)])
def test_the_file_is_synced_as_the_plan_asks(tmp_path: Path, durability: str, number: int):
    """SQLite is in WAL mode, and syncs at each commit or leaves it to the system."""
    target = LangGraphTarget(LangGraphOptions(store="sqlite"))
    with opened(target, setup_in(tmp_path, durability)) as store:
        connection = store._store.conn
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("pragma synchronous").fetchone() == (number,)


def test_agents_with_periods_are_kept_apart(target: LangGraphTarget, tmp_path: Path):
    """An agent's name may be what a namespace may not, and what it would be written as."""
    agents = ["a.b", "a", "a.b.memories", "a%2Eb", "a%b", "A.b", "*", "a[b]", "langgraph"]
    memories = [made_memory(agent_id, "state", n) for n, agent_id in enumerate(agents)]
    with opened(target, setup_in(tmp_path)) as store:
        store.store_many(memories)
        payloads = store.retrieve_many([(agent_id, "state") for agent_id in agents])
        assert [state_of(payload) for payload in payloads] == [one.state for one in memories]
        queries = [Query(agent_id, unit_vector(50), 9) for agent_id in agents]
        for query, hits in zip(queries, store.search_many(queries), strict=True):
            assert_hits(hits, exact_hits(memories, query))
        assert store.statistics()["namespaces"] == len(agents)


def test_takes_more_than_a_statement_does(tmp_path: Path):
    """A call may have thousands of operations, whatever SQLite's bound on values is."""
    memories = [made_memory(f"agent_{n % 70}", f"state_{n}", n) for n in range(2500)]
    with opened(LangGraphTarget(LangGraphOptions(store="sqlite")), setup_in(tmp_path)) as store:
        statements: list[str] = []
        store._store.conn.set_trace_callback(statements.append)
        store.store_many(memories)
        assert statements.count("COMMIT") == 3
        payloads = store.retrieve_many([(one.agent_id, one.state_id) for one in memories])
        assert [state_of(payload) for payload in payloads] == [one.state for one in memories]
        queries = [Query(one.agent_id, one.vector, 1) for one in memories[:1100]]
        found = [hits[0].state_id for hits in store.search_many(queries)]
        assert found == [one.state_id for one in memories[:1100]]


def test_refuses_a_state_with_the_field_that_it_needs(target: LangGraphTarget, tmp_path: Path):
    """The error names the field, and what was there stays."""
    payload = msgspec.msgpack.encode({TEXT_FIELD: "mine"})
    with opened(target, setup_in(tmp_path)) as store:
        store.store_many([made_memory("agent", "state", 1)])
        with pytest.raises(BadInputError, match=TEXT_FIELD):
            store.store_many([Memory("agent", "state", payload, unit_vector(2))])
        [kept] = store.retrieve_many([("agent", "state")])
        assert state_of(kept)["seed"] == 1


@pytest.mark.fault
def test_a_full_disk_is_named_as_such(tmpfs: Path):
    """A store that finds no room fails as our own does, and reads go on."""
    target = LangGraphTarget(LangGraphOptions(store="sqlite"))
    with opened(target, setup_in(tmpfs / "store")) as store:
        store.store_many([made_memory("agent", "kept", 1)])
        with pytest.raises(Exception, match="full") as failed:
            store_much(target, store)
        meaning = store.failure(failed.value)
        assert isinstance(meaning, StorageFullError)
        assert "store.sqlite" in str(meaning)
        assert store.retrieve_many([("agent", "kept")]) != [None]
        assert store.failure(ValueError("another")) is None


def commit_after_full_disk() -> None:
    """Raise as `SqliteStore` does when SQLite has ended the transaction by itself."""
    try:
        raise sqlite3.OperationalError("database or disk is full")
    finally:
        raise sqlite3.OperationalError("cannot commit - no transaction is active")


def test_looks_for_a_full_disk_behind_the_commit_that_failed_after_it(tmp_path: Path):
    """LangGraph commits after an error, too: what that raises hides it."""
    with pytest.raises(sqlite3.OperationalError, match="cannot commit") as failed:
        commit_after_full_disk()
    with opened(LangGraphTarget(LangGraphOptions(store="sqlite")), setup_in(tmp_path)) as store:
        assert isinstance(store.failure(failed.value), StorageFullError)


def test_says_what_to_install_where_sqlite_has_no_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A Python without them needs pysqlite3, and the sentence names the extra that brings it."""
    monkeypatch.setattr(sqlite3, "Connection", object)
    monkeypatch.setitem(__import__("sys").modules, "pysqlite3", None)
    with pytest.raises(UsageError, match=r"needs pysqlite3.*\[langgraph\]"):
        LangGraphTarget(LangGraphOptions(store="sqlite")).prepare(setup_in(tmp_path))
