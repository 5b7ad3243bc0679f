"""Stores of plain dicts, good and bad, as adapters: what an adapted session is tested with.

They go by ``--target tests.harness.targets.dict_stores:PlainTarget`` and so on.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from harness.targets.base import (
    Capabilities,
    Hit,
    Memory,
    OpenStore,
    Query,
    Ready,
    Setup,
    Target,
)

__all__ = [
    "AwaitedBatchTarget",
    "AwaitedTarget",
    "BatchTarget",
    "ManyThreadsTarget",
    "MeetingTarget",
    "Options",
    "PlainTarget",
    "SharedTarget",
]

_FILTERED = Capabilities(filter=True, delete=True)
_BATCHED = Capabilities(batch=frozenset({"store", "retrieve", "search"}), filter=True, delete=True)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be chosen: how long each call takes, and whether it is loud."""

    wait_ms: float = 0.0
    loud: bool = False


class Dicts:
    """Memories by agent and id, searched exactly."""

    def __init__(self) -> None:
        self.memories: dict[str, dict[str, Memory]] = {}

    def put(self, memory: Memory) -> None:
        self.memories.setdefault(memory.agent_id, {})[memory.state_id] = memory

    def get(self, agent_id: str, state_id: str) -> bytes | None:
        found = self.memories.get(agent_id, {}).get(state_id)
        return None if found is None else found.payload

    def drop(self, agent_id: str, state_id: str) -> bool:
        return self.memories.get(agent_id, {}).pop(state_id, None) is not None

    def near(self, query: Query) -> list[Hit]:
        wanted = dict(query.where or {})
        kept = [
            one
            for one in self.memories.get(query.agent_id, {}).values()
            if wanted.items() <= one.attributes.items() or not wanted
        ]
        if not kept:
            return []
        scores = np.stack([one.vector for one in kept]) @ query.vector
        best = np.argsort(-scores, kind="stable")[: query.k]
        return [Hit(kept[at].state_id, float(scores[at]), kept[at].payload) for at in best]


class PlainStore(OpenStore):
    """One thread, one operation a call."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.dicts = Dicts()
        self.wait_s = wait_s
        self.thread = threading.get_ident()
        self.strangers = 0
        self.closed = False

    def _enter(self) -> None:
        self.strangers += threading.get_ident() != self.thread
        if self.wait_s:
            time.sleep(self.wait_s)

    def store(self, memory: Memory) -> None:
        self._enter()
        self.dicts.put(memory)

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        self._enter()
        return self.dicts.get(agent_id, state_id)

    def search(self, query: Query) -> Sequence[Hit]:
        self._enter()
        return self.dicts.near(query)

    def delete(self, agent_id: str, state_id: str) -> bool:
        self._enter()
        return self.dicts.drop(agent_id, state_id)

    def statistics(self) -> Mapping[str, Any]:
        self._enter()
        return {
            "memories": sum(map(len, self.dicts.memories.values())),
            "strangers": self.strangers,
        }

    def close(self) -> None:
        self._enter()
        self.closed = True


class BatchStore(PlainStore):
    """One thread, batches; the sizes of its calls are known."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__(wait_s)
        self.sizes: list[tuple[str, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def store_many(self, memories: Sequence[Memory]) -> None:
        self._enter()
        self.entered.set()
        self.gate.wait()
        assert len({(one.agent_id, one.state_id) for one in memories}) == len(memories)
        self.sizes.append(("store", len(memories)))
        for one in memories:
            self.dicts.put(one)

    def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> Sequence[bytes | None]:
        self._enter()
        self.sizes.append(("retrieve", len(keys)))
        return [self.dicts.get(*key) for key in keys]

    def search_many(self, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        self._enter()
        self.sizes.append(("search", len(queries)))
        return [self.dicts.near(one) for one in queries]


class AwaitedStore(OpenStore):
    """Asynchronous methods, each of which suspends."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.loop = asyncio.get_running_loop()  # it is opened on one
        self.dicts = Dicts()
        self.wait_s = wait_s
        self.now = self.most = 0
        self.closed = False

    async def _enter(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.wait_s)
        self.now -= 1

    async def store(self, memory: Memory) -> None:
        await self._enter()
        self.dicts.put(memory)

    async def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        await self._enter()
        return self.dicts.get(agent_id, state_id)

    async def search(self, query: Query) -> Sequence[Hit]:
        await self._enter()
        return self.dicts.near(query)

    async def delete(self, agent_id: str, state_id: str) -> bool:
        await self._enter()
        return self.dicts.drop(agent_id, state_id)

    async def statistics(self) -> Mapping[str, Any]:
        return {"memories": sum(map(len, self.dicts.memories.values())), "most": self.most}

    async def close(self) -> None:
        self.closed = True


class AwaitedBatchStore(AwaitedStore):
    """Asynchronous, with batches."""

    async def store_many(self, memories: Sequence[Memory]) -> None:
        await self._enter()
        for one in memories:
            self.dicts.put(one)

    async def retrieve_many(self, keys: Sequence[tuple[str, str]]) -> Sequence[bytes | None]:
        await self._enter()
        return [self.dicts.get(*key) for key in keys]

    async def search_many(self, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        await self._enter()
        return [self.dicts.near(one) for one in queries]


class PlainTarget(Target[Options]):
    """Plain calls, one at a time."""

    name = "dicts"
    description = "plain dicts"
    options_type = Options
    capabilities = _FILTERED
    store_type: type[Any] = PlainStore

    def prepare(self, setup: Setup) -> Ready:
        del setup
        return Ready(
            version="1.0", durability="Nothing is kept.", settings={"loud": self.options.loud}
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        del setup, connection
        self.opened = self.store_type(self.options.wait_ms / 1e3)
        return self.opened


class ManyThreadsTarget(PlainTarget):
    """Plain calls, four at a time."""

    capabilities = Capabilities(filter=True, delete=True, calls_at_once=4)


class BatchTarget(PlainTarget):
    """Plain calls with batches."""

    capabilities = _BATCHED
    store_type = BatchStore


class AwaitedTarget(PlainTarget):
    """Asynchronous calls, eight at a time."""

    asynchronous = True
    capabilities = Capabilities(filter=True, delete=True, calls_at_once=8)
    store_type = AwaitedStore


class AwaitedBatchTarget(PlainTarget):
    """Asynchronous calls with batches."""

    asynchronous = True
    capabilities = _BATCHED
    store_type = AwaitedBatchStore


class _Meeting(PlainStore):
    """Answers a retrieval once there are four."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__(wait_s)
        self.meeting = threading.Barrier(4, timeout=60)

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        self.meeting.wait()
        return None


class MeetingTarget(ManyThreadsTarget):
    """Four calls that need each other."""

    store_type = _Meeting


class SharedTarget(PlainTarget):
    """One store for all processes."""

    capabilities = Capabilities(shared=True)
