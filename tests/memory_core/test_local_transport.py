"""Batches to a store in this process: on a thread, but for one retrieval by itself."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from memory_core import MemoryConfig, MemoryStore
from memory_core.client import MemoryClient
from memory_core.local_transport import LocalTransport
from memory_core.operations import Operation, Retrieve, Search, Store
from memory_core.payload import pack_state
from memory_core.results import Done, Hits, Missing, Record

STATE = pack_state({"health": 0.5})


@pytest.mark.parametrize(
    ("operations", "found", "here"),
    [
        ([Retrieve("a", "s")], [Record], True),
        ([Retrieve("a", "none")], [Missing], True),
        ([Retrieve("a", "s"), Retrieve("a", "s")], [Record, Record], False),
        ([Store("a", "t", STATE)], [Done], False),
        ([Search("a", STATE)], [Hits], False),
        ([Retrieve("a", "s" * 600)], [Missing], False),
    ],
    ids=range(6),
)
def test_one_retrieval_is_answered_where_it_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operations: list[Operation],
    found: list[type],
    here: bool,
):
    """Whatever may take longer is executed on a thread; answers are the same."""
    threads = []
    execute = MemoryStore.execute_in_lane

    def noted(store: MemoryStore, *arguments: object, **more: object) -> object:
        threads.append(threading.get_ident())
        return execute(store, *arguments, **more)

    async def asked() -> list[type]:
        store = MemoryStore(MemoryConfig(path=tmp_path / "db"))
        transport = LocalTransport([store])
        try:
            client = MemoryClient(transport, 1)
            await client.submit(Store("a", "s", STATE))
            monkeypatch.setattr(MemoryStore, "execute_in_lane", noted)
            answers = await asyncio.gather(*map(client.submit, operations))
            await client.drain()
            return [type(answer.result) for answer in answers]
        finally:
            transport.close()

    assert asyncio.run(asked()) == found
    assert (set(threads) == {threading.get_ident()}) is here
