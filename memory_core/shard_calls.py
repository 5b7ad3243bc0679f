"""The actors of shards by their names, and what their answers and failures mean.

A memory named ``name`` has shards ``0`` to ``n - 1``, actors named ``<name>:shard-<i>`` in the
namespace `NAMESPACE`, so that whoever is connected to the cluster finds them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorUnschedulableError, RayActorError, RayError, RayTaskError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from memory_core.errors import MemoryCoreError, UnavailableError

__all__ = [
    "NAMESPACE",
    "ShardInfo",
    "answered",
    "end_actors",
    "find_actor",
    "first_line",
    "own_error",
    "pinned_to",
    "running_names",
    "shard_name",
]

NAMESPACE = "memory_core"
_ANSWER_TIMEOUT_S = 60.0


class ShardInfo(msgspec.Struct, frozen=True):
    """Who a shard is and where it runs.

    Attributes:
        memory: the memory's name.
        shard: the number of the shard.
        shards: how many the memory has.
        pid: of the process.
        node_id: Ray's, which changes when the host joins anew.
        host: its name.
        path: the folder of the database.
        opened: how often this process has opened it.
        memory_id: of the memory as it was made.
        generation: 1, and one more with each restore.
        node: the identity of the node that has the folder, which stays.
    """

    memory: str
    shard: int
    shards: int
    pid: int
    node_id: str
    host: str
    path: str
    opened: int
    memory_id: str = ""
    generation: int = 0
    node: str = ""

    @classmethod
    def here(cls, memory: str, shard: int, shards: int, *, path: str, opened: int) -> ShardInfo:
        """The info of a shard in this process, which is an actor's unless it has no Ray."""
        # asked where there is none, Ray would start one
        node_id = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        host = socket.gethostname()
        return cls(memory, shard, shards, os.getpid(), node_id, host, path, opened)


def shard_name(memory: str, shard: int) -> str:
    """The actor name of a shard."""
    return f"{memory}:shard-{shard}"


def running_names() -> set[str]:
    """The names of all actors in `NAMESPACE` that run or are being started again."""
    return {
        actor["name"]
        for actor in list_named_actors(all_namespaces=True)
        if actor["namespace"] == NAMESPACE
    }


def find_actor(name: str) -> Any | None:
    """The actor of that name, or None."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def pinned_to(node_id: str) -> NodeAffinitySchedulingStrategy:
    """Ray's scheduling strategy that places on one node and on no other."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def end_actors(actors: Iterable[Any], timeout_s: float) -> None:
    """Have actors close what they have open, all within a bound, and end them.

    Those that are gone already are let be.
    """
    actors = list(actors)
    closing = [actor.close.remote() for actor in actors]
    if closing:
        with contextlib.suppress(RayError):
            ray.wait(closing, num_returns=len(closing), timeout=timeout_s)
    for actor in actors:
        ray.kill(actor)


def answered(call: Any, shard: int, timeout_s: float = _ANSWER_TIMEOUT_S) -> ShardInfo:
    """What a call for a shard's info gives.

    Raises:
        MemoryCoreError: the shard's own error.
        UnavailableError: it does not run, or did not answer in time.
    """
    try:
        packed = ray.get(call, timeout=timeout_s)
    except RayTaskError as error:
        raise own_error(error, shard) from None
    except ActorUnschedulableError:
        # Ray shows a node that died as alive for some seconds
        raise UnavailableError(
            f"shard {shard} did not start: its node has left the cluster; start again, and it is "
            "placed on a node that is there"
        ) from None
    except RayActorError as error:
        raise UnavailableError(f"shard {shard} does not run: {_said(error)}") from None
    except RayError as error:
        raise UnavailableError(f"shard {shard} did not start: {first_line(error)}") from None
    return msgspec.msgpack.decode(packed, type=ShardInfo)


def own_error(error: RayTaskError, shard: int) -> MemoryCoreError:
    """What a shard raised."""
    if isinstance(error.cause, MemoryCoreError):
        return error.cause
    return UnavailableError(f"shard {shard} failed: {last_line(error)}")


def first_line(error: BaseException) -> str:
    """What an error of Ray's begins with."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _said(error: RayActorError) -> str:
    """What Ray says of an actor that is gone, without the list of its numbers."""
    lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
    return " ".join(line.strip() for line in lines if line.strip()) or type(error).__name__


def last_line(error: BaseException) -> str:
    """The last line of a remote traceback, which names the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
