"""Asks every node of the cluster what it has of a memory, in a bounded time.

A short task is pinned to each node that Ray says is alive. A node that does not answer in time is
named and holds up nobody else.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from memory_core.errors import MemoryCoreError
from memory_core.memory_record import MemoryRecord, NodeFindings, look_here, write_record
from memory_core.shard_calls import pinned_to

__all__ = ["Survey", "live_nodes", "record_everywhere", "survey"]

_TIMEOUT_S = 60.0


class Survey(msgspec.Struct, frozen=True):
    """What the nodes have of a memory.

    Attributes:
        found: of those that answered.
        silent: the addresses of those that are there and did not.
    """

    found: list[NodeFindings]
    silent: list[str]

    @property
    def hosts(self) -> list[str]:
        """The hosts of the nodes that have something of the memory."""
        return sorted({one.host for one in self.found if one.folders or one.record})


def survey(
    memory: str,
    *,
    path: str | None = None,
    root: str | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Survey:
    """Ask all nodes that are alive; arguments as of `memory_core.memory_record.look_here`."""
    path = None if path is None else os.path.abspath(path)
    answers, silent = _on_every_node(_look, memory, path, root, timeout_s=timeout_s)
    return Survey([msgspec.msgpack.decode(one, type=NodeFindings) for one in answers], silent)


def record_everywhere(
    record: MemoryRecord, *, root: str | None = None, timeout_s: float = _TIMEOUT_S
) -> list[str]:
    """Write a memory's record on every node that is alive; what went wrong, in sentences."""
    packed = msgspec.msgpack.encode(record)
    answers, silent = _on_every_node(_write, packed, root, timeout_s=timeout_s)
    return [
        *(answer.decode() for answer in answers if answer),
        *(f"{address} did not answer" for address in silent),
    ]


def live_nodes() -> dict[str, str]:
    """The addresses of the nodes that Ray says are alive, by their ids."""
    return {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    }


def _on_every_node(
    function: Any, *arguments: object, timeout_s: float
) -> tuple[list[bytes], list[str]]:
    """What a function says on each node, and the addresses of those that say nothing."""
    nodes = live_nodes()
    asked = {}
    for node_id, address in nodes.items():
        task = ray.remote(function).options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=pinned_to(node_id),
            enable_task_events=False,
        )
        asked[task.remote(*arguments)] = address
    done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
    answers, silent = [], []
    for reference, address in asked.items():
        try:
            if reference not in done:
                raise TimeoutError
            answers.append(ray.get(reference))
        except (RayError, TimeoutError):
            ray.cancel(reference, force=True)
            silent.append(address)
    return answers, silent


def _look(memory: str, path: str | None, root: str | None) -> bytes:
    """On a node: what it has."""
    node_id = ray.get_runtime_context().get_node_id()
    return msgspec.msgpack.encode(look_here(memory, node_id, path=path, root=root))


def _write(packed: bytes, root: str | None) -> bytes:
    """On a node: write the record; what went wrong."""
    record = msgspec.msgpack.decode(packed, type=MemoryRecord)
    try:
        write_record(record, root=root)
    except MemoryCoreError as error:
        return f"{socket.gethostname()}: {error}".encode()
    return b""
