"""Shards on Ray: how a memory is made, opened where its folders are, and found by its name.

`start_shards` makes a memory: folders that did not exist. `open_shards` opens one that exists:
each shard on the node that has its folder; what has none is unavailable, by name, and all others
serve. Ray starts an actor whose process died again, on its own node; when the node itself is
gone, `memory_core.keeper` starts it once a node with its folder is there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from memory_core.config import MemoryConfig
from memory_core.directory import Entry, look_up, publish, withdraw
from memory_core.errors import (
    BadInputError,
    IncompatibleError,
    MemoryCoreError,
    UnavailableError,
)
from memory_core.memory_record import Home, MemoryRecord
from memory_core.node_survey import survey
from memory_core.ray_transport import RayTransport
from memory_core.shard_calls import (
    NAMESPACE,
    ShardInfo,
    answered,
    find_actor,
    shard_name,
)
from memory_core.shard_choice import Choice, choose, known_memory
from memory_core.shard_folder import ShardClaim, check_memory_name

__all__ = [
    "NAMESPACE",
    "RayTransport",
    "ShardClaim",
    "ShardInfo",
    "Shards",
    "Starting",
    "find_shards",
    "open_shards",
    "shard_name",
    "start_shards",
]

_CONCURRENT_BATCHES = 16
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_AGAIN_S = 0.1
_STALLED_S = 5.0


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
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
            **({"lifetime": "detached"} if self.detached else {}),
        )
        config = replace(self.config, path=None)
        try:
            return actor.remote(record.memory, shard, record.shards, config, claim)
        except ValueError:
            raise BadInputError(
                "memory", f"one named {record.memory!r} is running; stop it, or name another"
            ) from None


def start_shards(
    memory: str,
    shards: int,
    config: MemoryConfig,
    *,
    actor_class: type[Any] | None = None,
    node_ids: Sequence[str] = (),
    detached: bool = False,
    root: str | None = None,
) -> Shards:
    """Make a memory: its shards, each with a new folder on its node; wait until they serve.

    Args:
        memory: its name.
        shards: how many.
        config: see `Starting`, as for ``actor_class``, ``detached`` and ``root``.
        actor_class: what serves.
        node_ids: Ray nodes, over which the shards are spread in turn; each stays with its node,
            where its folder is. By default the node of the caller.
        detached: whether they outlive this driver.
        root: the data root on every node.

    Raises:
        BadInputError: the name is none, is that of a memory that runs, or has folders already.
        MemoryCoreError: a shard could not make its store.
        UnavailableError: a shard did not start.
    """
    check_memory_name(memory)
    record = MemoryRecord(
        memory=memory,
        memory_id=secrets.token_hex(8),
        shards=shards,
        settings=settings_of(config),
    )
    starting = Starting(config=config, root=root, actor_class=actor_class, detached=detached)
    nodes = list(node_ids) or [ray.get_runtime_context().get_node_id()]
    return make_shards(record, starting, [nodes[shard % len(nodes)] for shard in range(shards)])


def make_shards(record: MemoryRecord, starting: Starting, node_ids: Sequence[str]) -> Shards:
    """Make the shards of a memory, each on its node; those that were made for it are opened.

    Raises as `start_shards` does.
    """
    actors: dict[int, Any] = {}
    try:
        for shard, node_id in enumerate(node_ids):
            actors[shard] = starting.start(record, shard, node_id)
        infos = [_made(actor, shard) for shard, actor in actors.items()]
    except BaseException:
        for actor in actors.values():
            ray.kill(actor)
        raise
    homes: list[Home | None] = [Home(node=info.node, host=info.host) for info in infos]
    made = msgspec.structs.replace(record, homes=homes, made=True)
    return Shards(made, starting, actors, infos)


def open_shards(
    memory: str,
    config: MemoryConfig | None = None,
    *,
    actor_class: type[Any] | None = None,
    detached: bool = False,
    root: str | None = None,
) -> Shards:
    """Open a memory that was made before: each shard on the node that has its folder.

    Those whose folder is on no node that is there are `Shards.unavailable`.

    Args:
        memory: its name.
        config: as for `start_shards`; by default with the settings that it was made with.
        actor_class: see `Starting`, as for ``detached`` and ``root``.
        detached: whether the shards outlive this driver.
        root: the data root on every node.

    Raises:
        BadInputError: no node has such a memory, or several have different ones of that name; or
            it is running already.
        IncompatibleError: a database was made with other settings than ``config`` has.
    """
    check_memory_name(memory)
    path = None if config is None or config.path is None else os.fspath(config.path)
    answers = survey(memory, path=path, root=root)
    record = known_memory(memory, answers.found)
    if record is None or not record.made:
        what = "is none" if record is None else "is one whose making was cut short,"
        raise BadInputError("memory", f"there {what} named {memory!r} on the nodes that are there")
    config = config or MemoryConfig(**record.settings)  # type: ignore[arg-type]
    starting = Starting(config=config, root=root, actor_class=actor_class, detached=detached)
    shards = Shards(record, starting, {}, [])
    try:
        shards.take(
            {
                shard: choose(record, shard, answers.found, silent=answers.silent)
                for shard in range(record.shards)
            }
        )
        shards.settle()
    except BaseException:
        shards.stop()
        raise
    return shards


def find_shards(memory: str, *, partial: bool = False) -> list[ShardInfo]:
    """The shards of a running memory, found by its name.

    Args:
        memory: its name.
        partial: leave out those that are unavailable, as long as one is not.

    Raises:
        UnavailableError: no memory of that name runs, or a shard of it is unavailable.
    """
    entry = look_up(memory)
    if entry is None:
        raise UnavailableError(f"no memory named {memory!r} is running")
    calls = {}
    for shard in range(entry.shards):
        actor = find_actor(shard_name(memory, shard))
        if actor is not None:
            calls[shard] = actor.info.remote()
        elif not partial:
            raise UnavailableError(_absence(entry, shard))
    if not calls:
        raise UnavailableError(_absence(entry, 0))
    if not partial:
        return [answered(call, shard) for shard, call in calls.items()]
    ray.wait(list(calls.values()), num_returns=len(calls), timeout=_STALLED_S)
    infos: list[ShardInfo] = []
    problem: MemoryCoreError | None = None
    for shard, call in calls.items():
        try:
            infos.append(answered(call, shard, 0 if infos else _START_TIMEOUT_S))
        except MemoryCoreError as error:
            problem = problem or error
    if problem is not None and not infos:
        raise problem
    return infos


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
        self._stopped = False
        self._published = False
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
                    continue
                self._actors[shard] = self._starting.start(self.record, shard, choice.node_id)
                self.unavailable[shard] = f"shard {shard} of memory {self.memory!r} is starting"
            self.record = msgspec.structs.replace(self.record, homes=homes)
            self._publish()

    def settle(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until those that were started serve, or say why they cannot yet.

        Raises:
            IncompatibleError: one never will, with the settings that it was given.
        """
        with self._changing:
            calls = {
                shard: self._actors[shard].info.remote()
                for shard in self.unavailable
                if shard in self._actors
            }
        if calls:
            ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout_s)
        for shard, call in calls.items():
            try:
                info = answered(call, shard, 0)
            except IncompatibleError:
                raise
            except MemoryCoreError as error:
                self._note(shard, str(error), None)
            else:
                self._note(shard, None, info)

    def stop(self) -> None:
        """Close the stores and end the actors; those that are gone already are let be."""
        with self._changing:
            self._stopped = True
            closing = [actor.close.remote() for actor in self._actors.values()]
            if closing:
                with contextlib.suppress(RayError):
                    ray.wait(closing, num_returns=len(closing), timeout=_STOP_TIMEOUT_S)
            for actor in self._actors.values():
                ray.kill(actor)
            if self._published:
                withdraw(self.memory)
            self._published = False
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

    def _publish(self) -> None:
        record = self.record
        self._published = True
        publish(
            Entry(
                record.memory,
                record.memory_id,
                record.shards,
                record.generation,
                dict(self.unavailable),
            )
        )


def _made(actor: Any, shard: int) -> ShardInfo:
    """Have a shard make its folder; again where its process died on the way."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        call = actor.make.remote()
        try:
            ray.get(call, timeout=_START_TIMEOUT_S)
        except ActorUnavailableError:
            if time.monotonic() < deadline:
                time.sleep(_AGAIN_S)
                continue
        except RayError:
            pass  # said below
        return answered(call, shard)


def _absence(entry: Entry, shard: int) -> str:
    missing = f"no shard {shard} of a memory named {entry.memory!r} is running"
    return entry.unavailable.get(shard, missing)
