"""Shards on Ray: how they are started, named and found, and how batches travel to them.

A memory named ``name`` has shards ``0`` to ``n - 1``, named actors in the namespace
`NAMESPACE`, so that a second driver finds them. Ray starts an actor that died again; its
constructor opens the same folder and so serves what was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from memory_core.config import MemoryConfig
from memory_core.errors import BadInputError, DeadlineError, MemoryCoreError, UnavailableError

__all__ = [
    "NAMESPACE",
    "RayTransport",
    "ShardInfo",
    "Shards",
    "find_shards",
    "shard_name",
    "start_shards",
]

NAMESPACE = "memory_core"
_CONCURRENT_BATCHES = 16
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


class ShardInfo(msgspec.Struct, frozen=True):
    """Who a shard is and where it runs."""

    memory: str
    shard: int
    shards: int
    pid: int
    node_id: str
    host: str
    path: str
    opened: int

    @classmethod
    def here(cls, memory: str, shard: int, shards: int, *, path: str, opened: int) -> ShardInfo:
        """The info of a shard in this process, an actor's."""
        node_id = ray.get_runtime_context().get_node_id()
        host = socket.gethostname()
        return cls(memory, shard, shards, os.getpid(), node_id, host, path, opened)


def shard_name(memory: str, shard: int) -> str:
    """The actor name of a shard."""
    return f"{memory}:shard-{shard}"


def start_shards(
    memory: str,
    shards: int,
    config: MemoryConfig,
    *,
    actor_class: type[Any] | None = None,
    node_ids: Sequence[str] = (),
    detached: bool = False,
) -> Shards:
    """Start the shards of a memory and wait until they serve.

    Args:
        memory: its name.
        shards: how many.
        config: of each; its ``path`` is the folder under which each has one of its own.
        actor_class: what serves; by default `memory_core.shard.ShardActor`.
        node_ids: Ray nodes, over which the shards are spread in turn. A shard is started again
            on its own node only, where its folder is. By default the node of the caller.
        detached: whether the shards outlive the driver that starts them.

    Raises:
        MemoryCoreError: a shard could not open its store.
        UnavailableError: a shard did not start.
    """
    if config.path is None:
        raise BadInputError("path", "is missing; name a folder")
    if actor_class is None:
        from memory_core.shard import ShardActor  # loads RocksDB and FAISS: only for who starts

        actor_class = ShardActor
    path = os.fspath(config.path)
    nodes = list(node_ids) or [ray.get_runtime_context().get_node_id()]
    actors: list[Any] = []
    for shard in range(shards):
        settings: dict[str, Any] = {
            "name": shard_name(memory, shard),
            "namespace": NAMESPACE,
            "num_cpus": 0,
            "max_restarts": -1,
            "max_task_retries": 0,
            "max_concurrency": _CONCURRENT_BATCHES,
            "enable_task_events": False,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(
                nodes[shard % len(nodes)], soft=False
            ),
            **({"lifetime": "detached"} if detached else {}),
        }
        own = replace(config, path=os.path.join(path, f"shard-{shard}"))
        actors.append(
            ray.remote(actor_class).options(**settings).remote(memory, shard, shards, own)
        )
    try:
        infos = [_info(actor, shard) for shard, actor in enumerate(actors)]
    except BaseException:
        for actor in actors:
            ray.kill(actor)
        raise
    return Shards(memory, actors, infos)


def find_shards(memory: str) -> list[ShardInfo]:
    """The shards of a running memory, found by its name.

    Raises:
        UnavailableError: no memory of that name answers.
    """
    first = _info(_actor(memory, 0), 0)
    return [first, *(_info(_actor(memory, shard), shard) for shard in range(1, first.shards))]


class Shards:
    """The running shards of a memory; they live no longer than this, unless they are detached.

    Attributes:
        memory: the memory's name.
        infos: who the shards are, in their order.
    """

    def __init__(self, memory: str, actors: list[Any], infos: list[ShardInfo]) -> None:
        self.memory = memory
        self.infos = infos
        self._actors = actors

    def refresh(self) -> list[ShardInfo]:
        """Ask the shards anew who they are: one that was started again has another process.

        Raises:
            UnavailableError: one is just being started.
        """
        self.infos = [_info(actor, shard) for shard, actor in enumerate(self._actors)]
        return self.infos

    def stop(self) -> None:
        """Close the stores and end the actors; those that are gone already are let be."""
        for actor in self._actors:
            with contextlib.suppress(RayError):
                ray.get(actor.close.remote(), timeout=_STOP_TIMEOUT_S)
            ray.kill(actor)
        self._actors.clear()


class RayTransport:
    """Carries batches to the shards of a named memory by actor calls.

    Raises:
        UnavailableError: there is no memory of that name.
    """

    def __init__(self, memory: str, shards: int) -> None:
        self._memory = memory
        self._calls = [_actor(memory, shard).execute for shard in range(shards)]

    async def call(self, shard: int, data: bytes, timeout_s: float) -> bytes:
        """See `memory_core.client.Transport`."""
        try:
            async with asyncio.timeout(timeout_s):
                reply: bytes = await self._calls[shard].remote(data)
        except (TimeoutError, GetTimeoutError):
            raise DeadlineError(f"shard {shard} did not answer in {timeout_s:.3g} s") from None
        except RayTaskError as error:
            raise _own_error(error, shard) from None
        except RayActorError as error:
            self._find_again(shard)
            raise UnavailableError(f"shard {shard} is down: {_first_line(error)}") from None
        except RayError as error:
            raise UnavailableError(f"shard {shard}: {_first_line(error)}") from None
        return reply

    def _find_again(self, shard: int) -> None:
        try:
            self._calls[shard] = _actor(self._memory, shard).execute
        except UnavailableError:
            return


def _actor(memory: str, shard: int) -> Any:
    try:
        return ray.get_actor(shard_name(memory, shard), namespace=NAMESPACE)
    except ValueError:
        raise UnavailableError(
            f"no shard {shard} of a memory named {memory!r} is running"
        ) from None


def _info(actor: Any, shard: int) -> ShardInfo:
    try:
        packed = ray.get(actor.info.remote(), timeout=_START_TIMEOUT_S)
    except RayTaskError as error:
        raise _own_error(error, shard) from None
    except RayActorError as error:
        raise UnavailableError(f"shard {shard} does not run: {_reason(error)}") from None
    except RayError as error:
        raise UnavailableError(f"shard {shard} did not start: {_first_line(error)}") from None
    return msgspec.msgpack.decode(packed, type=ShardInfo)


def _own_error(error: RayTaskError, shard: int) -> MemoryCoreError:
    if isinstance(error.cause, MemoryCoreError):
        return error.cause
    return UnavailableError(f"shard {shard} failed: {_reason(error)}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _reason(error: BaseException) -> str:
    """The last line of a remote traceback, which names the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
