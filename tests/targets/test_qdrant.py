"""The adapter of Qdrant: its local mode, and as much of a server as can be had here.

No server's binary comes from PyPI or Debian. What is sent to one is tried on the asynchronous
client's own local mode, which has the same methods; with a server's URL in ``QDRANT_URL`` the last
test drives that.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, models

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.qdrant import QdrantOptions, QdrantTarget
from harness.targets.adapters.qdrant_stores import QdrantServerStore
from harness.targets.base import OpenStore, Query
from memory_core.errors import StorageFullError, UnavailableError
from tests.targets.store_behaviour import (
    DIMENSION,
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


class TestQdrantLocalStore(StoreBehaviour):
    """What every store owes."""

    place = "harness.targets.adapters.qdrant:QdrantTarget"


def test_local_mode_is_called_one_by_one_and_a_server_in_batches():
    """Capabilities are those of the way that the options choose."""
    local = QdrantTarget(QdrantOptions()).capabilities
    server = QdrantTarget(QdrantOptions(url="http://localhost:6333")).capabilities
    assert (local.batch, local.server, local.shared, local.durable) == (set(), False, False, True)
    assert (server.batch, server.server, server.shared) == (
        {"store", "retrieve", "search"},
        True,
        True,
    )
    assert not server.durable
    assert not QdrantTarget(QdrantOptions()).asynchronous
    assert QdrantTarget(QdrantOptions(url="http://localhost:6333")).asynchronous


def test_filters_reach_attributes_of_any_name(tmp_path: Path):
    """A name with dots or blanks in it is no path."""
    with opened(QdrantTarget(QdrantOptions()), setup_in(tmp_path)) as store:
        for n in range(3):
            store.store(made_memory("agent", f"state_{n}", n, **{"a.b c": n, "seed.x": "y"}))
        [hit] = store.search(Query("agent", unit_vector(9), 5, {"a.b c": 1, "seed.x": "y"}))
        assert hit.state_id == "state_1"


@pytest.mark.fault
def test_a_full_disk_is_named_as_such(tmpfs: Path):
    """A store that finds no room fails as our own does."""
    target = QdrantTarget(QdrantOptions())
    with opened(target, setup_in(tmpfs / "store")) as store:
        with pytest.raises(Exception, match="full") as failed:
            store_much(target, store)
        assert isinstance(store.failure(failed.value), StorageFullError)
        assert store.failure(ValueError("other")) is None


async def drive(store: OpenStore) -> None:
    """Do what agents do with a store that takes batches, and check each answer."""
    memories = [made_memory(f"agent_{n % 3}", f"state_{n}", n, odd=n % 2 == 1) for n in range(30)]
    await store.store_many(memories)
    again = made_memory("agent_0", "state_0", 500, odd=False)
    await store.store_many([again])
    memories[0] = again
    keys = [("agent_1", "state_1"), ("agent_1", "none"), ("agent_0", "state_0")]
    found = await store.retrieve_many([*keys, keys[0]])
    assert found[1] is None
    assert [state_of(found[n])["seed"] for n in [0, 2, 3]] == [1, 500, 1]
    queries = [Query(f"agent_{n}", unit_vector(100 + n), 4) for n in range(3)]
    for query, hits in zip(queries, await store.search_many(queries), strict=True):
        assert_hits(hits, exact_hits(memories, query))
    [odd, nobody] = await store.search_many(
        [Query("agent_0", unit_vector(7), 9, {"odd": True}), Query("nobody", unit_vector(7), 9)]
    )
    assert {hit.state_id for hit in odd} == {f"state_{n}" for n in [3, 9, 15, 21, 27]}
    assert nobody == []
    assert await store.delete("agent_0", "state_3")
    assert not await store.delete("agent_0", "state_3")
    await store.flush()
    assert (await store.statistics())["memories"] == 29


def test_what_is_sent_to_a_server_is_right():
    """Stores, retrievals, searches with filters and deletions in batches answer as they should."""

    async def main() -> None:
        client = AsyncQdrantClient(":memory:")
        vectors = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        await client.create_collection("memories", vectors_config=vectors)
        store = QdrantServerStore(client, "memories")
        await drive(store)
        await store.close()

    asyncio.run(main())


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_server_that_does_not_answer_is_a_run_that_failed(tmp_path: Path):
    """One sentence says which server, and why it cannot be used; there is nothing to destroy."""
    port = unused_port()
    target = QdrantTarget(QdrantOptions(url=f"http://127.0.0.1:{port}", grpc_port=port))
    with pytest.raises(RunFailedError, match=rf"127\.0\.0\.1:{port} cannot be used: .*refused"):
        target.prepare(setup_in(tmp_path))
    target.destroy()


def test_a_server_that_went_away_is_unavailable(tmp_path: Path):
    """Each operation fails with our error for a store that cannot answer now."""
    port = unused_port()
    target = QdrantTarget(QdrantOptions(url=f"http://127.0.0.1:{port}", grpc_port=port))
    connection = {
        "url": f"http://127.0.0.1:{port}",
        "grpc_port": port,
        "api_key": None,
        "collection": "memories",
    }

    async def main() -> None:
        store = target.open(setup_in(tmp_path), connection)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.store_many([made_memory("agent", "state", 1)]),
            lambda: store.retrieve_many([("agent", "state")]),
            lambda: store.search_many([Query("agent", unit_vector(1), 1)]),
        ]
        for call in calls:
            with pytest.raises(Exception, match="refused") as failed:
                await call()
            assert isinstance(store.failure(failed.value), UnavailableError)
        assert store.failure(ValueError("other")) is None
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:6333", "must be like http://host:6333"),
        ("http://", "must be like http://host:6333"),
        ("http://me:secret@localhost:6333", "give the server's key in QDRANT_API_KEY"),
    ],
)
def test_a_url_that_is_none_or_tells_a_password_is_refused(tmp_path: Path, url: str, problem: str):
    """The sentence says what would be right, and never repeats a password."""
    with pytest.raises(UsageError, match=problem) as refused:
        QdrantTarget(QdrantOptions(url=url)).prepare(setup_in(tmp_path))
    assert "secret" not in str(refused.value)


@pytest.mark.skipif(
    "QDRANT_URL" not in os.environ,
    reason="no server: QDRANT_URL is not set, and its binary comes from neither PyPI nor Debian; "
    "the server's path was tried on the client's local mode and where nobody listens",
)
def test_a_server_is_driven(tmp_path: Path):
    """A collection of the run's own is made, driven, and deleted."""
    target = QdrantTarget(QdrantOptions(url=os.environ["QDRANT_URL"]))
    setup = setup_in(tmp_path)
    ready = target.prepare(setup)

    async def main() -> None:
        store = target.open(setup, ready.connection)
        await drive(store)
        await store.close()

    try:
        asyncio.run(main())
    finally:
        target.destroy()
