"""The adapter of Chroma, on the real thing: in process, and its own server."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.chroma import ChromaOptions, ChromaTarget
from harness.targets.base import Query
from memory_core.errors import UnavailableError
from tests.targets.store_behaviour import (
    StoreBehaviour,
    assert_hits,
    exact_hits,
    made_memory,
    opened,
    setup_in,
    state_of,
    unit_vector,
)


class TestChromaStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.chroma:ChromaTarget"

    @pytest.fixture
    def target(self) -> ChromaTarget:
        return ChromaTarget(ChromaOptions(filter=True))


@pytest.fixture
def server() -> Iterator[ChromaTarget]:
    target = ChromaTarget(ChromaOptions(server=True))
    yield target
    target.destroy()


def unused_url() -> str:
    """Of a port at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.fault
def test_a_killed_server_goes_on_with_what_it_acknowledged(server: ChromaTarget, tmp_path: Path):
    """Two processes' ways lead to one server, which is killed, named, and started again."""
    setup = setup_in(tmp_path / "store")
    ready = server.prepare(setup)
    [process] = ready.processes
    memories = [made_memory("agent", f"state_{n}", n) for n in range(20)]
    query = Query("agent", unit_vector(99), 5)
    writer, reader = (server.open(setup, ready.connection) for _ in range(2))
    writer.store_many(memories[:19])
    writer.store_many(memories[19:])
    assert_hits(reader.search(query), exact_hits(memories, query))

    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(process.pid)] if psutil.pid_exists(process.pid) else [])
    with pytest.raises(Exception) as failed:  # noqa: PT011 - of whatever kind httpx has for it
        writer.retrieve_many([("agent", "state_1")])
    assert isinstance(writer.failure(failed.value), UnavailableError)
    for store in [writer, reader]:
        store.close()
    server.destroy()

    with opened(ChromaTarget(ChromaOptions(server=True)), setup) as store:
        for memory in memories:
            [payload] = store.retrieve_many([("agent", memory.state_id)])
            assert state_of(payload) == memory.state
        assert_hits(store.search(query), exact_hits(memories, query))


@pytest.mark.slow
def test_a_server_that_runs_is_given_a_collection_that_goes(server: ChromaTarget, tmp_path: Path):
    """At a URL, a run has its own collection, in one server with others, and leaves none."""
    setup = setup_in(tmp_path / "store")
    at = server.prepare(setup).connection
    url = f"http://{at['host']}:{at['port']}"
    guest = ChromaTarget(ChromaOptions(url=url))
    with opened(guest, setup_in(tmp_path / "guest")) as store:
        assert not guest.capabilities.durable
        store.store_many([made_memory("agent", "state", 1)])
        assert store.statistics()["memories"] == 1
        with closing(server.open(setup, at)) as host:
            assert host.retrieve_many([("agent", "state")]) == [None]
            assert collections(host) == {"harness-run", "memories"}
    with closing(server.open(setup, at)) as host:
        assert collections(host) == {"memories"}
    server.destroy()
    server.destroy()
    with pytest.raises(RunFailedError, match="no Chroma server answers"):
        server.open(setup, at)


def collections(store) -> set[str]:
    return {one.name for one in store._client.list_collections()}


def test_wal_has_sqlite_write_ahead(tmp_path: Path):
    """The option sets the journal of the file that Chroma makes, and leaves it otherwise."""
    for wal in [False, True]:
        setup = setup_in(tmp_path / f"wal={wal}")
        target = ChromaTarget(ChromaOptions(wal=wal))
        assert ("write-ahead" in target.prepare(setup).durability) is wal
        with opened(target, setup) as store:
            memory = made_memory("agent", "state", 1)
            store.store_many([memory])
            assert store.retrieve_many([("agent", "state")]) == [memory.payload]
        assert journal_mode(setup.folder / "chroma.sqlite3") == ("wal" if wal else "delete")


def journal_mode(database: Path) -> str:
    """As another process reads it: Chroma's threads may still have the file open in this one."""
    asking = (
        "import sqlite3, sys\n"
        "print(*sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode').fetchone())"
    )
    return subprocess.run(
        [sys.executable, "-c", asking, database],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.strip()


def test_a_database_that_is_there_is_not_opened_by_another_sqlite(tmp_path: Path, monkeypatch):
    """Opened again in one process, where Chroma may still be closing it, it stays as it is."""
    setup = setup_in(tmp_path)
    memory = made_memory("agent", "state", 1)
    with opened(ChromaTarget(ChromaOptions(wal=True)), setup) as store:
        store.store_many([memory])
    monkeypatch.setattr(sqlite3, "connect", None)
    with opened(ChromaTarget(ChromaOptions(wal=True)), setup) as store:
        assert store.retrieve_many([("agent", "state")]) == [memory.payload]
    assert journal_mode(setup.folder / "chroma.sqlite3") == "wal"


def test_more_than_a_batch_of_chromas_is_parted(tmp_path: Path):
    """What SQLite's variables do not hold goes in several calls, in the order of the keys."""
    with opened(ChromaTarget(ChromaOptions()), setup_in(tmp_path)) as store:
        store._batch_max = 10
        memories = [made_memory("agent", f"state_{n}", n) for n in range(25)]
        store.store_many(memories)
        keys = [(one.agent_id, one.state_id) for one in memories]
        absent = ("agent", "none")
        assert store.retrieve_many([*keys, absent, keys[0]]) == [
            *(one.payload for one in memories),
            None,
            memories[0].payload,
        ]
        assert store.statistics() == {"memories": 25, "index": "HNSW"}


def test_numbers_that_are_equal_are_found_by_each_other(tmp_path: Path):
    """A filter by 2.0 finds a 2, and one that Chroma cannot hold finds nothing."""
    with opened(ChromaTarget(ChromaOptions(filter=True)), setup_in(tmp_path)) as store:
        odd_names = {"$or": 3, "": 4, "chroma:document": "x"}
        memory = made_memory("agent", "state", 1, two=2, half=0.5, huge=2**63, **odd_names)
        store.store_many([memory])

        def found(**where) -> bool:
            return bool(store.search(Query("agent", unit_vector(1), 1, where)))

        assert found(two=2.0)
        assert found(two=2, half=0.5)
        assert found(**odd_names)
        assert not found(two=2.5)
        assert not found(huge=2**63)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (ChromaOptions(url="http://u:secret@host"), "set CHROMA_API_KEY"),
        (ChromaOptions(url="host:8000"), "must be as http://host:8000"),
        (ChromaOptions(url="http://host:no"), "must be as http://host:8000"),
        (ChromaOptions(url="http://host", server=True), "leave out server"),
        (ChromaOptions(url="http://host", wal=True), "leave out server and wal"),
    ],
)
def test_wrong_options_are_wrong_usage(options: ChromaOptions, says: str, tmp_path: Path):
    """The sentence names the remedy, and no password."""
    with pytest.raises(UsageError, match=says) as failed:
        ChromaTarget(options).prepare(setup_in(tmp_path))
    assert "secret" not in str(failed.value)


def test_a_server_that_is_not_there_is_named(tmp_path: Path):
    """Nobody listens at the URL: one sentence with the URL."""
    url = unused_url()
    with pytest.raises(RunFailedError, match=url.removeprefix("http://")):
        ChromaTarget(ChromaOptions(url=url)).prepare(setup_in(tmp_path))


def test_a_server_that_does_not_start_says_why(server: ChromaTarget, tmp_path: Path):
    """Its files are none of a database: the end of its log is in the sentence."""
    setup = setup_in(tmp_path / "store")
    (setup.folder / "data").mkdir()
    (setup.folder / "data" / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(RunFailedError, match="not a database"):
        server.prepare(setup)
