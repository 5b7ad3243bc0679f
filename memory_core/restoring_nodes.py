"""The nodes that make databases for a restore, each with an actor that lives as long as that.

An actor, because what `NodeRestoring` locks is to be locked from the making of the databases until
they are in their place, and to be free again when whoever restores is killed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import ray

from memory_core.data_root import data_root, node_identity
from memory_core.errors import BadInputError, UnavailableError
from memory_core.long_calls import SILENT_S, collect
from memory_core.memory_record import Home, MemoryRecord
from memory_core.node_restoring import Fetched, NodeRestoring, RestoreRequest
from memory_core.shard_calls import end_actors, pinned_to
from memory_core.shard_folder import ShardClaim

__all__ = ["RestoringActor", "RestoringNodes"]

_CLEAN_S = 30.0
_AGAIN_S = 0.1


class _Identity(msgspec.Struct, frozen=True):
    node: str
    host: str


class RestoringActor:
    """`NodeRestoring` in a process of its node; a process, so that what it locks ends with it."""

    def __init__(self, memory: str, root: str | None) -> None:
        self._memory = memory
        self._root = root
        self._restoring: NodeRestoring | None = None

    def identity(self) -> bytes:
        """Whose node this is, packed; made if it has no identity yet."""
        node = node_identity(self._root or data_root())
        return msgspec.msgpack.encode(_Identity(node, socket.gethostname()))

    def begin(self) -> None:
        """See `NodeRestoring`."""
        self._restoring = NodeRestoring(self._memory, self._root)

    def fetch(self, packed: bytes) -> bytes:
        """See `NodeRestoring`."""
        request = msgspec.msgpack.decode(packed, type=RestoreRequest)
        return msgspec.msgpack.encode(self._begun().fetch(request))

    def put_in_place(self, packed: bytes) -> None:
        """See `NodeRestoring`."""
        self._begun().put_in_place(msgspec.msgpack.decode(packed, type=list[ShardClaim]))

    def close(self) -> None:
        """See `NodeRestoring`."""
        if self._restoring is not None:
            self._restoring.close()

    def is_there(self) -> None:
        """Whether this process answers."""

    def _begun(self) -> NodeRestoring:
        if self._restoring is None:
            raise BadInputError("memory", "no restore was begun here")
        return self._restoring


class RestoringNodes:
    """The nodes that get shards, each with an actor; a context manager that leaves none.

    Ray nodes that share a data root are one: the first of them makes the shards of all.

    Attributes:
        homes: of the shards, in their order.
    """

    def __init__(self, memory: str, root: str | None, node_ids: Sequence[str]) -> None:
        self._memory = memory
        self._root = root
        self._node_ids = list(node_ids)
        self._actors: dict[str, Any] = {}
        self._hosts: dict[str, str] = {}
        self._shards: dict[str, list[int]] = {}
        self.homes: list[Home | None] = []

    def __enter__(self) -> RestoringNodes:
        try:
            identities = self._start()
            owner: dict[str, str] = {}
            for shard, node_id in enumerate(self._node_ids):
                found = identities[node_id]
                first = owner.setdefault(found.node, node_id)
                self._shards.setdefault(first, []).append(shard)
                self.homes.append(Home(node=found.node, host=found.host))
            self._on_all(lambda node_id: self._actors[node_id].begin.remote())
        except BaseException:
            self._break_off()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._break_off()
            return
        end_actors(self._actors.values(), SILENT_S)

    def _break_off(self) -> None:
        """End what goes on, however long it would take, and remove what it has made."""
        for actor in self._actors.values():
            ray.kill(actor)
        cleaning = [
            ray.remote(_clean)
            .options(num_cpus=0, max_retries=0, scheduling_strategy=pinned_to(node_id))
            .remote(self._memory, self._root)
            for node_id in self._shards
        ]
        if cleaning:
            ray.wait(cleaning, num_returns=len(cleaning), timeout=SILENT_S)

    def fetch(self, request: RestoreRequest) -> int:
        """Have all nodes make their databases; how many bytes they read."""

        def asked(node_id: str) -> Any:
            own = msgspec.structs.replace(request, shards=self._shards[node_id])
            return self._actors[node_id].fetch.remote(msgspec.msgpack.encode(own))

        fetched = self._on_all(asked)
        return sum(msgspec.msgpack.decode(one, type=Fetched).read_bytes for one in fetched)

    def put_in_place(self, record: MemoryRecord) -> None:
        """Have all nodes put their databases where they belong."""

        def asked(node_id: str) -> Any:
            claims = [
                ShardClaim(
                    memory=record.memory,
                    memory_id=record.memory_id,
                    shard=shard,
                    shards=record.shards,
                    generation=record.generation,
                    root=self._root,
                )
                for shard in self._shards[node_id]
            ]
            return self._actors[node_id].put_in_place.remote(msgspec.msgpack.encode(claims))

        self._on_all(asked)

    def _start(self) -> dict[str, _Identity]:
        """Start an actor on each node; whose nodes they are."""
        for node_id in dict.fromkeys(self._node_ids):
            actor = ray.remote(RestoringActor).options(
                num_cpus=0,
                max_concurrency=2,
                scheduling_strategy=pinned_to(node_id),
                enable_task_events=False,
            )
            self._actors[node_id] = actor.remote(self._memory, self._root)
            self._hosts[node_id] = f"node {node_id[:12]}"
        packed = self._on(list(self._actors), lambda one: self._actors[one].identity.remote())
        found = [msgspec.msgpack.decode(one, type=_Identity) for one in packed]
        self._hosts = {
            node_id: f"host {one.host}" for node_id, one in zip(self._actors, found, strict=True)
        }
        return dict(zip(self._actors, found, strict=True))

    def _on_all(self, ask: Callable[[str], Any]) -> list[Any]:
        return self._on(list(self._shards), ask)

    def _on(self, node_ids: list[str], ask: Callable[[str], Any]) -> list[Any]:
        working = {ask(node_id): node_id for node_id in node_ids}
        results = collect(
            working,
            lambda node_id: self._actors[node_id].is_there.remote(),
            lambda node_id: f"the memory was not restored: {self._hosts[node_id]}",
        )
        return [results[node_id] for node_id in node_ids]


def _clean(memory: str, root: str | None) -> None:
    """On a node: remove what a restore has left, once its process has ended."""
    deadline_s = time.monotonic() + _CLEAN_S
    while True:
        try:
            NodeRestoring(memory, root).close()
        except UnavailableError:
            if time.monotonic() > deadline_s:
                return
            time.sleep(_AGAIN_S)
        else:
            return
