"""Stores that break a promise on purpose, for what is to find them out.

Each is a target (``--target tests.harness.planted:EarlyTarget``).
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import ray

from harness.plan import RunPlan
from harness.targets.driven import Placement, Prepared
from harness.targets.memory_core import MemoryCoreTarget
from harness.targets.sharded import ClientSession
from memory_core import MemoryConfig, MemoryStore
from memory_core.client import Answer, MemoryClient
from memory_core.local_transport import execute_encoded
from memory_core.operations import Retrieve, Search, Store
from memory_core.results import DONE, MISSING, Hit, Hits, Record
from memory_core.shard import ShardActor
from memory_core.wire import Reply, decode_batch, encode_reply

__all__ = ["EarlyKeepingTarget", "EarlyTarget", "MuddlingTarget", "SecondActorTarget"]


class EarlyShard(ShardActor):
    """Acknowledges stores before they are in the database: the last 32 are always still to come."""

    def __init__(self, *arguments: Any) -> None:
        self._held: list[Store] = []
        self._holding = threading.Lock()
        super().__init__(*arguments)

    def execute(self, data: bytes) -> bytes:
        operations = decode_batch(data).operations
        with self._holding:
            stores = [one for one in operations if isinstance(one, Store)]
            late = len(stores) == len(operations)
            self._held += stores if late else []
            kept = 32 if late else 0
            if len(self._held) > 2 * kept:
                ready = len(self._held) - kept
                self._usable_store().execute(self._held[:ready])
                del self._held[:ready]
            if late:
                return encode_reply(Reply(0, 0, [DONE] * len(operations)))
        return super().execute(data)


class EarlyTarget(MemoryCoreTarget):
    """What is killed loses the last writes that it acknowledged."""

    def actor_class(self) -> type[Any]:
        return EarlyShard


class EarlyKeepingTarget(EarlyTarget):
    """The same, of which no delete brings to the database what is held."""

    capabilities = replace(MemoryCoreTarget.capabilities, delete=False)


class SecondActor:
    """Opens a database that another process has open, past its lock."""

    def __init__(self, path: str) -> None:
        (Path(path) / "LOCK").unlink()
        self._store = MemoryStore(MemoryConfig(path=path))

    def execute(self, data: bytes) -> bytes:
        return execute_encoded(self._store, data, 0)

    def ready(self) -> bool:
        return True


class _ToSecond:
    def __init__(self, actors: list[Any]) -> None:
        self._actors = actors

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        reply: bytes = await self._actors[shard].execute.remote(data)
        return reply


class SecondActorTarget(MemoryCoreTarget):
    """Two actors serve each folder: one to the cohorts of odd numbers, one to all others."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: list[Any] = []

    def prepare(self, plan: RunPlan, placement: Placement) -> Prepared:
        prepared = super().prepare(plan, placement)
        assert self._shards is not None
        memory = self._shards.memory
        self._seconds = [
            ray.remote(SecondActor)
            .options(name=f"{memory}-second-{info.shard}", namespace="planted", num_cpus=0)
            .remote(info.path)
            for info in self._shards.infos
        ]
        ray.get([actor.ready.remote() for actor in self._seconds])
        return prepared

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> ClientSession:
        if cohort % 2 == 0 or cohort < 0:
            return await super().connect(plan, connection, cohort)
        found = msgspec.msgpack.decode(connection)
        actors = [
            ray.get_actor(f"{found['memory']}-second-{shard}", namespace="planted")
            for shard in range(found["shards"])
        ]
        return ClientSession(MemoryClient(_ToSecond(actors), found["shards"]))

    def destroy(self) -> None:
        for actor in self._seconds:
            ray.kill(actor)
        super().destroy()


class _Muddling:
    """Answers agent 0 with the state before, 1 twice, 2 with a stranger's, and 3 not at all."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._before = b""

    @property
    def retries(self) -> int:
        return self._session.retries

    async def submit(self, operation: Store | Retrieve | Search) -> Answer:
        answer = await self._session.submit(operation)
        result = answer.result
        if operation.agent_id == "agent_0" and isinstance(result, Record):
            result = Record(self._before or result.payload, result.tier)
            self._before = answer.result.payload
        elif operation.agent_id == "agent_1" and isinstance(result, Hits):
            result = Hits([*result.hits[:1], *result.hits])
        elif operation.agent_id == "agent_2" and isinstance(result, Hits):
            result = Hits([Hit("state_1_0", 1.0, "stm", result.hits[0].payload)])
        elif operation.agent_id == "agent_3" and isinstance(result, Record):
            result = MISSING
        return Answer(result, answer.timing)

    async def close(self) -> None:
        await self._session.close()


class MuddlingTarget(MemoryCoreTarget):
    """Keeps everything, and answers with something else."""

    async def connect(self, plan: RunPlan, connection: bytes, cohort: int) -> Any:
        session = await super().connect(plan, connection, cohort)
        return session if cohort < 0 else _Muddling(session)
