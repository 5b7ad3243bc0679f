"""The shards of a memory, as one process that started them has them; and how each is started."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import ray

from memory_core.config import MemoryConfig
from memory_core.directory import Entry, publish, withdraw
from memory_core.errors import BadInputError, IncompatibleError, MemoryCoreError
from memory_core.memory_record import Home, MemoryRecord
from memory_core.shard_calls import (
    NAMESPACE,
    ShardInfo,
    answered,
    end_actors,
    find_actor,
    pinned_to,
    shard_name,
)
from memory_core.shard_choice import Choice
from memory_core.shard_folder import ShardClaim

__all__ = ["Shards", "Starting", "settings_of"]

_CONCURRENT_BATCHES = 16
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Starting:
    """How the shards of a memory are started.

    Attributes:
        config: of each store; its ``path`` is the folder under which each shard has one of its
            own, on every node alike. Without one that is ``<root>/<memory>``.
        root: the data root on every node; None is each node's own, ``$MEMORY_CORE_DATA_DIR`` of
            its Ray processes or ``~/.memory_core/data``.
        actor_class: what serves; None is `memory_core.shard.ShardActor`.
        detached: whether the shards outlive the driver that starts them.
    """

    config: MemoryConfig
    root: str | None = None
    actor_class: type[Any] | None = None
    detached: bool = False

    @property
    def path(self) -> str | None:
        """The folder under which the shards have theirs, if the memory has one of its own."""
        return None if self.config.path is None else os.path.abspath(self.config.path)

    def start(self, record: MemoryRecord, shard: int, node_id: str) -> Any:
        """Start the actor of a shard on a node; it opens its folder, and never makes one.

        Raises:
            BadInputError: an actor of its name runs.
        """
        actor_class = self.actor_class
        if actor_class is None:
            from memory_core.shard import ShardActor  # loads RocksDB and FAISS

            actor_class = ShardActor
        claim = ShardClaim(
            memory=record.memory,
            memory_id=record.memory_id,
            shard=shard,
            shards=record.shards,
            generation=record.generation,
            path=self.path,
            root=self.root,
        )
        actor = ray.remote(actor_class).options(
            name=shard_name(record.memory, shard),
            namespace=NAMESPACE,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=_CONCURRENT_BATCHES,
            enable_task_events=False,
            scheduling_strategy=pinned_to(node_id),
            **({"lifetime": "detached"} if self.detached else {}),
        )
        config = replace(self.config, path=None)
        try:
            return actor.remote(record.memory, shard, record.shards, config, claim)
        except ValueError:
            raise BadInputError(
                "memory", f"one named {record.memory!r} is running; stop it, or name another"
            ) from None


def settings_of(config: MemoryConfig) -> dict[str, Any]:
    """What a memory's record keeps of the configuration of its stores."""
    return {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in ("path", "encoder")
    }


class Shards:
    """The running shards of a memory; they live no longer than this, unless they are detached.

    Attributes:
        memory: the memory's name.
        record: of the memory.
        infos: who the shards are, in their order; those that are unavailable are left out.
        unavailable: why a shard is not there, by its number.
    """

    def __init__(
        self,
        record: MemoryRecord,
        starting: Starting,
        actors: dict[int, Any],
        infos: list[ShardInfo],
    ) -> None:
        self.memory = record.memory
        self.record = record
        self.infos = infos
        self.unavailable: dict[int, str] = {}
        self._starting = starting
        self._actors = actors
        self._changing = threading.Lock()
        self._asked: dict[int, Any] = {}
        self._stopped = False
        self._published: Entry | None = None
        if actors:
            self._publish()

    @property
    def path(self) -> str | None:
        """See `Starting`."""
        return self._starting.path

    @property
    def root(self) -> str | None:
        """See `Starting`."""
        return self._starting.root

    def refresh(self) -> list[ShardInfo]:
        """Ask the shards anew who they are: one that was started again has another process.

        Raises:
            UnavailableError: one is just being started.
        """
        with self._changing:
            actors = {n: one for n, one in self._actors.items() if n not in self.unavailable}
        calls = {shard: actors[shard].info.remote() for shard in sorted(actors)}
        self.infos = [answered(call, shard) for shard, call in calls.items()]
        return self.infos

    def take(self, choices: dict[int, Choice]) -> None:
        """Start shards that do not run where that was chosen, and name those that cannot.

        Raises:
            BadInputError: an actor of a shard's name runs.
        """
        with self._changing:
            if self._stopped:
                return
            homes: list[Home | None] = list(self.record.homes)
            homes += [None] * (self.record.shards - len(homes))
            for shard, choice in choices.items():
                homes[shard] = choice.home
                if choice.node_id is None:
                    self.unavailable[shard] = choice.reason or ""
                    self._actors.pop(shard, None)
                    self._asked.pop(shard, None)
                    continue
                self._actors[shard] = self._starting.start(self.record, shard, choice.node_id)
                self.unavailable[shard] = self._starts(shard)
                self._asked.pop(shard, None)
            self.record = msgspec.structs.replace(self.record, homes=homes)
            self._publish()

    def adopt(self, shards: Sequence[int]) -> None:
        """Take running shards over that somebody else started."""
        with self._changing:
            for shard in shards:
                if shard not in self._actors and not self._stopped:
                    actor = find_actor(shard_name(self.memory, shard))
                    if actor is not None:
                        self._actors[shard] = actor
                        self.unavailable.setdefault(shard, self._starts(shard))

    def settle(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until those that were started serve, or say why they cannot yet.

        Raises:
            IncompatibleError: one never will, with the settings that it was given.
        """
        with self._changing:
            for shard in self.unavailable:
                if shard in self._actors and shard not in self._asked:
                    self._asked[shard] = self._actors[shard].info.remote()
            asked = dict(self._asked)
        if not asked:
            return
        refused: IncompatibleError | None = None
        done, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=timeout_s)
        for shard, call in asked.items():
            if call not in done:
                continue  # it is opening a large database, or its node stands still
            self._asked.pop(shard, None)
            try:
                info = answered(call, shard)
            except MemoryCoreError as error:
                self._note(shard, str(error), None)
                if isinstance(error, IncompatibleError):
                    refused = error
            else:
                self._note(shard, None, info)
        if refused is not None:
            raise refused

    def stop(self) -> None:
        """Close the stores and end the actors; those that are gone already are let be."""
        with self._changing:
            self._stopped = True
            end_actors(self._actors.values(), _STOP_TIMEOUT_S)
            if self._published is not None:
                withdraw(self.memory)
            self._published = None
            self._actors.clear()
            self.unavailable.clear()

    def _note(self, shard: int, problem: str | None, info: ShardInfo | None) -> None:
        with self._changing:
            if self._stopped or shard not in self.unavailable:
                return
            if problem is not None:
                self.unavailable[shard] = problem
            else:
                del self.unavailable[shard]
            if info is not None:
                others = [one for one in self.infos if one.shard != shard]
                self.infos = sorted([*others, info], key=lambda one: one.shard)
            self._publish()

    def _starts(self, shard: int) -> str:
        return f"shard {shard} of memory {self.memory!r} is being started"

    def _publish(self) -> None:
        record, away = self.record, dict(self.unavailable)
        entry = Entry(record.memory, record.memory_id, record.shards, record.generation, away)
        if entry != self._published:
            publish(entry)
            self._published = entry
