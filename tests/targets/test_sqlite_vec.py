"""The adapter of sqlite-vec, on the real thing."""

import sqlite3
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.targets.adapters.sqlite_vec import K_MAX, SqliteVecOptions, SqliteVecTarget
from harness.targets.base import Query
from memory_core.errors import BadInputError, StorageFullError
from tests.targets.store_behaviour import (
    StoreBehaviour,
    made_memory,
    opened,
    setup_in,
    store_much,
    unit_vector,
)


class TestSqliteVecStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.sqlite_vec:SqliteVecTarget"


def target(chunk_size: int = 64) -> SqliteVecTarget:
    return SqliteVecTarget(SqliteVecOptions(chunk_size=chunk_size))


@pytest.mark.parametrize(("durability", "synchronous"), [("fsync", "FULL"), ("os", "NORMAL")])
def test_says_what_an_acknowledgement_means(tmp_path: Path, durability: str, synchronous: str):
    """The sentence and the settings name the mode that the plan's durability asks for."""
    ready = target().prepare(setup_in(tmp_path, durability))
    assert f"WAL mode with synchronous={synchronous}" in ready.durability
    assert ready.settings["synchronous"] == synchronous.lower()


def test_a_batch_is_one_transaction(tmp_path: Path):
    """What fails in the midst of a batch leaves none of it, and the store goes on."""
    with opened(target(), setup_in(tmp_path)) as store:
        wrong = made_memory("agent", "wrong", 2)
        short = type(wrong)("agent", "wrong", wrong.payload, wrong.vector[:3])
        with pytest.raises(Exception, match=r"[Dd]imension"):
            store.store_many([made_memory("agent", "right", 1), short])
        assert store.retrieve("agent", "right") is None
        store.store_many([made_memory("agent", "right", 1)])
        assert store.statistics()["memories"] == 1


def test_an_agent_may_have_more_than_a_chunk(tmp_path: Path):
    """Searches go over all chunks of an agent's partition."""
    memories = [made_memory("agent", f"state_{n}", n) for n in range(100)]
    with opened(target(chunk_size=8), setup_in(tmp_path)) as store:
        store.store_many(memories)
        assert len(store.search(Query("agent", unit_vector(7), 200))) == 100
        assert store.search(Query("agent", unit_vector(70), 1))[0].state_id == "state_70"


@pytest.mark.parametrize("chunk_size", [0, 12, -8, 8192])
def test_a_chunk_size_that_sqlite_vec_refuses_is_refused_at_once(chunk_size: int):
    """The sentence names the option and what would be right."""
    with pytest.raises(UsageError, match="sqlite-vec: chunk_size must be a multiple of 8"):
        target(chunk_size)


def test_a_k_over_the_librarys_bound_is_bad_input(tmp_path: Path):
    """The operation fails with the bound's name; the greatest k that there is works."""
    with opened(target(), setup_in(tmp_path)) as store:
        with pytest.raises(BadInputError, match="at most 4,096"):
            store.search(Query("agent", unit_vector(1), K_MAX + 1))
        assert store.search(Query("agent", unit_vector(1), K_MAX)) == []


def test_is_a_database_that_others_can_read(tmp_path: Path):
    """Memories are rows of an ordinary table."""
    with opened(target(), setup_in(tmp_path)) as store:
        store.store_many([made_memory("agent", "state", 1, word="duck")])
    with sqlite3.connect(tmp_path / "memories.db") as database:
        [row] = database.execute("select agent, state, attributes ->> 'word' from memories")
    database.close()
    assert row == ("agent", "state", "duck")


@pytest.mark.fault
def test_a_full_disk_is_named_as_such(tmpfs: Path):
    """A store that finds no room fails as our own does, and reads go on."""
    with opened(target(), setup_in(tmpfs / "store")) as store:
        store.store_many([made_memory("agent", "kept", 1)])
        with pytest.raises(Exception, match="full") as failed:
            store_much(target(), store)
        meaning = store.failure(failed.value)
        assert isinstance(meaning, StorageFullError)
        assert "memories.db" in str(meaning)
        assert store.retrieve("agent", "kept") is not None
        assert store.failure(ValueError("other")) is None
