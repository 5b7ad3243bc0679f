"""Stores that do what they must not, each in one way, to see whether it is called by its name.

They go by ``--target tests.harness.targets.bad_stores:OpenFails`` and so on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from harness.targets.base import Capabilities, Hit, Memory, OpenStore, Query, Ready, Setup
from memory_core.errors import BadInputError, MemoryCoreError, OverloadedError
from tests.harness.targets.dict_stores import (
    AwaitedBatchStore,
    AwaitedBatchTarget,
    AwaitedStore,
    AwaitedTarget,
    BatchStore,
    BatchTarget,
    ManyThreadsTarget,
    PlainStore,
    PlainTarget,
)

__all__ = [
    "AwaitsWithoutSaying",
    "ClaimsDelete",
    "ClaimsNothingKnown",
    "CloseFails",
    "DestroyFails",
    "GatedInBatches",
    "GivesAnything",
    "GivesNoStore",
    "HangingTarget",
    "LacksBatches",
    "LacksSearch",
    "MixesSorts",
    "NothingGoes",
    "OpenExits",
    "OpenFails",
    "OpenFailsAwaited",
    "PickyInAwaitedBatches",
    "PickyInBatches",
    "PlainButSaysAwaited",
    "PrepareFails",
    "PrepareGivesNothing",
    "RaisesAnything",
    "RaisesAnythingAwaited",
    "UnplainConnection",
    "UnplainProcesses",
    "UnplainSettings",
    "UnplainVersion",
    "WordlessError",
]


class PrepareFails(PlainTarget):
    def prepare(self, setup: Setup) -> Ready:
        raise ValueError("no room at the inn\nand more lines")


class PrepareGivesNothing(PlainTarget):
    def prepare(self, setup: Setup) -> Ready:
        return None  # type: ignore[return-value]


class UnplainConnection(PlainTarget):
    def prepare(self, setup: Setup) -> Ready:
        return Ready(connection={"lock": threading.Lock()})


class UnplainSettings(PlainTarget):
    def prepare(self, setup: Setup) -> Ready:
        return Ready(settings={"lock": threading.Lock()})  # type: ignore[dict-item]


class UnplainVersion(PlainTarget):
    def prepare(self, setup: Setup) -> Ready:
        return Ready(version=3)  # type: ignore[arg-type]


class UnplainProcesses(PlainTarget):
    def prepare(self, setup: Setup) -> Ready:
        return Ready(processes=[4711])  # type: ignore[list-item]


class DestroyFails(PlainTarget):
    def destroy(self) -> None:
        raise OSError("it stays")


class NothingGoes(DestroyFails, PrepareFails):
    """Neither begins nor ends."""


class OpenFails(PlainTarget):
    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        raise ValueError("the file is not mine\nsecond line")


class OpenExits(PlainTarget):
    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        raise SystemExit(3)


class OpenFailsAwaited(AwaitedTarget):
    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        raise KeyError("gone")


class GivesNoStore(PlainTarget):
    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        return {}  # type: ignore[return-value]


class _NoSearch(OpenStore):
    def store(self, memory: Memory) -> None: ...

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None: ...


class LacksSearch(PlainTarget):
    capabilities = Capabilities()
    store_type = staticmethod(lambda _: _NoSearch())


class LacksBatches(PlainTarget):
    capabilities = Capabilities(batch=frozenset({"store"}))


class ClaimsDelete(PlainTarget):
    capabilities = Capabilities(delete=True)
    store_type = staticmethod(lambda _: _NoDelete())


class _NoDelete(_NoSearch):
    def search(self, query: Query) -> list[Hit]:
        return []


class ClaimsNothingKnown(PlainTarget):
    capabilities = Capabilities(batch=frozenset({"stores"}))


class _Mixed(PlainStore):
    async def retrieve(self, agent_id: str, state_id: str) -> bytes | None:  # type: ignore[override]
        return None


class MixesSorts(PlainTarget):
    store_type = _Mixed


class AwaitsWithoutSaying(PlainTarget):
    store_type = staticmethod(lambda _: _AwaitedAnywhere())


class _AwaitedAnywhere(AwaitedStore):
    def __init__(self) -> None: ...


class PlainButSaysAwaited(PlainTarget):
    asynchronous = True


class _CloseFails(PlainStore):
    def close(self) -> None:
        raise OSError("it will not close")


class CloseFails(PlainTarget):
    store_type = _CloseFails


class _Anything(PlainStore):
    """Gives what it is told to give."""

    def __init__(self, _: float) -> None:
        super().__init__()
        self.gives: dict[str, Any] = {}

    def store(self, memory: Memory) -> None:
        return self.gives.get("store")

    def retrieve(self, agent_id: str, state_id: str) -> Any:
        return self.gives.get("retrieve")

    def search(self, query: Query) -> Any:
        return self.gives.get("search", [])

    def delete(self, agent_id: str, state_id: str) -> Any:
        return self.gives.get("delete", False)

    def store_many(self, memories: Any) -> Any:
        return self.gives.get("store_many")

    def retrieve_many(self, keys: Any) -> Any:
        return self.gives.get("retrieve_many", [None] * len(keys))

    def search_many(self, queries: Any) -> Any:
        return self.gives.get("search_many", [[]] * len(queries))


class GivesAnything(PlainTarget):
    store_type = _Anything


class GivesAnythingInBatches(BatchTarget):
    store_type = _Anything


class _Raises(PlainStore):
    """Raises what it is told to raise, in every method."""

    def __init__(self, _: float) -> None:
        super().__init__()
        self.error: BaseException = ValueError("x")
        self.mapping: Any = lambda _: None

    def store(self, memory: Memory) -> None:
        raise self.error

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        raise self.error

    def search(self, query: Query) -> list[Hit]:
        raise self.error

    def delete(self, agent_id: str, state_id: str) -> bool:
        raise self.error

    def store_many(self, memories: Any) -> None:
        raise self.error

    def retrieve_many(self, keys: Any) -> Any:
        raise self.error

    def search_many(self, queries: Any) -> Any:
        raise self.error

    def statistics(self) -> Mapping[str, Any]:
        raise self.error

    def failure(self, error: Exception) -> MemoryCoreError | None:
        found: MemoryCoreError | None = self.mapping(error)
        return found


class RaisesAnything(PlainTarget):
    store_type = _Raises


class RaisesAnythingInBatches(BatchTarget):
    store_type = _Raises


def overloaded(error: Exception) -> MemoryCoreError:
    """A store's own mapping of its errors."""
    return OverloadedError(f"too much: {error}")


class _Hanging(PlainStore):
    """Hangs at the retrieval of ``hang`` until it is let go."""

    def __init__(self, _: float) -> None:
        super().__init__()
        self.go = threading.Event()

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        if state_id == "hang":
            self.go.wait()
        return super().retrieve(agent_id, state_id)


class HangingTarget(PlainTarget):
    store_type = _Hanging


class HangingInTwos(ManyThreadsTarget):
    capabilities = Capabilities(calls_at_once=2)
    store_type = _Hanging


class RaisesAnythingAwaited(AwaitedTarget):
    store_type = staticmethod(lambda _: _RaisesAwaited())


class _RaisesAwaited(AwaitedStore):
    """Raises what it is told to raise, at the retrieval of ``raise``."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException = ValueError("x")

    async def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        if state_id == "raise":
            raise self.error
        return await super().retrieve(agent_id, state_id)


class _Gated(AwaitedBatchStore):
    """Lets nothing through until it is told, after so many that are free."""

    def __init__(self, _: float) -> None:
        super().__init__()
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.free = 0

    async def _enter(self) -> None:
        if self.free:
            self.free -= 1
            return
        self.entered.set()
        await self.gate.wait()


class GatedInBatches(AwaitedBatchTarget):
    store_type = _Gated


class _Picky(BatchStore):
    """Takes no memory of the agent ``bad``, and with it none of a batch."""

    def store_many(self, memories: Any) -> None:
        if any(one.agent_id == "bad" for one in memories):
            raise BadInputError("state_data", "is odd")
        super().store_many(memories)


class PickyInBatches(BatchTarget):
    store_type = _Picky


class _PickyAwaited(AwaitedBatchStore):
    async def store_many(self, memories: Any) -> None:
        if any(one.agent_id == "bad" for one in memories):
            raise BadInputError("state_data", "is odd")
        await super().store_many(memories)


class PickyInAwaitedBatches(AwaitedBatchTarget):
    store_type = _PickyAwaited


class WordlessError(Exception):
    """One that cannot be told."""

    def __str__(self) -> str:
        raise ValueError("no words")
