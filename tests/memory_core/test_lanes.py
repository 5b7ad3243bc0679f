"""Lanes: what is given up on its way overwrites nothing newer, and what moves is moved once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memory_core import (
    Done,
    Failure,
    MemoryConfig,
    MemoryStore,
    Moved,
    Record,
    Retrieve,
    Store,
    Transition,
    UnavailableError,
)
from memory_core.client import MemoryClient
from memory_core.local_transport import LocalTransport
from memory_core.wire import Batch, Reply, decode_batch, encode_batch, encode_reply


@pytest.fixture
def store(tmp_path: Path):
    """A store of its own for each test."""
    with MemoryStore(MemoryConfig(path=tmp_path / "db", durability="os")) as made:
        yield made


def test_a_batch_that_comes_after_a_later_one_of_its_lane_changes_nothing(store: MemoryStore):
    """An old batch that arrives late is refused, and what was stored since stays."""
    store.execute_timed([Store.of("a", "s", {"version": 2})], lane="x", number=7)
    with pytest.raises(UnavailableError):
        store.execute_timed([Store.of("a", "s", {"version": 1})], lane="x", number=6)
    found = store.execute([Retrieve("a", "s")])[0]
    assert isinstance(found, Record)
    assert found.state == {"version": 2}


def test_a_batch_may_be_repeated_and_other_lanes_do_not_mind(store: MemoryStore):
    """The same number again is a retry, and lanes are numbered each for itself."""
    for lane, number in (("x", 7), ("x", 7), ("y", 1), ("x", 8), ("", 0)):
        results, _, _ = store.execute_timed(
            [Store.of("a", "s", {"version": 1})], lane=lane, number=number
        )
        assert isinstance(results[0], Done)


class _Unreliable:
    """Fails the first ``failures`` calls after they were executed, as a broken line does."""

    def __init__(self, store: MemoryStore, failures: int) -> None:
        self.inner = LocalTransport([store])
        self.failures = failures
        self.batches: list[Batch] = []

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        self.batches.append(decode_batch(data))
        reply = await self.inner.call(shard, data, timeout_s)
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the line broke")
        return reply


def test_a_transition_is_not_repeated(store: MemoryStore):
    """A percentage that may have moved already is not moved again; the caller is told."""
    store.execute([Store.of("a", f"s{i}", {"i": i}) for i in range(10)])
    transport = _Unreliable(store, failures=1)

    async def transition() -> tuple[object, object]:
        client = MemoryClient(transport, 1)
        return await client.call(Transition("im", 50.0)), await client.call(Transition("im", 0.0))

    first, second = asyncio.run(transition())
    assert isinstance(first, Failure)
    assert isinstance(first.exception(), UnavailableError)
    assert second == Moved(0)
    assert len(transport.batches) == 2


def test_a_transition_travels_alone_and_in_its_place(store: MemoryStore):
    """Stores before and after a transition keep their order and are still repeated."""
    transport = _Unreliable(store, failures=0)

    async def mixed() -> list[object]:
        client = MemoryClient(transport, 1)
        futures = [client.submit(Store.of("a", f"s{i}", {"i": i})) for i in range(3)]
        futures.append(client.submit(Transition("im", 100.0, "a")))
        futures += [client.submit(Store.of("a", f"t{i}", {"i": i})) for i in range(2)]
        return [(await future).result for future in futures]

    results = asyncio.run(mixed())
    assert results[3] == Moved(3)
    assert [len(batch.operations) for batch in transport.batches] == [3, 1, 2]


def test_a_batch_that_failed_says_how_often_it_was_tried(store: MemoryStore):
    """The attempts of operations that failed are counted as those of others are."""
    transport = _Unreliable(store, failures=10**6)

    async def fail() -> int:
        client = MemoryClient(transport, 1, deadline_s=0.2)
        return (await client.submit(Store.of("a", "s", {}))).timing.attempts

    assert asyncio.run(fail()) == len(transport.batches) > 1


def test_batches_are_split_by_their_encoded_size():
    """What waits beyond the bound on bytes goes with the next batch, vectors counted in."""
    sizes: list[int] = []

    class Answering:
        async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
            sizes.append(len(data))
            return encode_reply(Reply(0, 0, [Done()] * len(decode_batch(data).operations)))

    async def send() -> None:
        client = MemoryClient(Answering(), 1, max_batch_bytes=2_000)
        stores = [Store.of("a", f"s{i}", {"i": i}, vector=[1.0] * 64) for i in range(20)]
        await asyncio.gather(*(client.submit(store) for store in stores))

    asyncio.run(send())
    assert len(sizes) > 2
    assert max(sizes) <= 2_000
    assert encode_batch(Batch("x", 1, []))
