"""Agents that store until they are told to stop, and report each acknowledgement at once.

Run as ``python -m harness.conformance.writing FD``, this is a process of its own that opens a
store as a cohort does: it reads a packed `WritingOrder` from standard input, stores, and writes a
line to the descriptor FD for each acknowledgement. It ends when standard input does, so that it is
never left behind; as a rule it is killed.

What is stored follows from the id and the version, so that who reads it back makes it again. A
memory is stored (version 0), and may be stored again (version 1); where the target deletes, a
`PASSING` one is deleted with its agent's next operation (`GONE`).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import uvloop

from harness.conformance.asking import Asker, BrokenError, State, Vector, unit_vectors
from harness.conformance.opened import first_line
from harness.plan import RunPlan
from harness.targets import load_target

__all__ = ["GONE", "PASSING", "Acknowledged", "WritingOrder", "state_of", "vector_of", "write"]

PASSING = "passing-"
"""How the ids begin of memories that are deleted."""
GONE = 2
"""The version of what was deleted."""

_AGENTS = 6
_KEPT = "kept-"


class Acknowledged(msgspec.Struct, frozen=True, array_like=True):
    """An operation that was acknowledged: the ``version`` of a memory that it made."""

    agent_id: str
    state_id: str
    version: int


class WritingOrder(msgspec.Struct, frozen=True):
    """What a process of its own is to do: open a store as a cohort, and `write`."""

    spec: str
    plan: dict[str, Any]
    connection: bytes
    cohort: int
    agents: str
    deletes: bool


def state_of(memory: Acknowledged) -> State:
    """The state that was stored."""
    text = f"{memory.agent_id} {memory.state_id} {memory.version} "
    return {"id": memory.state_id, "version": memory.version, "text": text * 8}


def vector_of(memory: Acknowledged, dimension: int) -> Vector:
    """The vector that it was stored with, (dimension,)."""
    seed = [crc32(memory.agent_id.encode()), crc32(memory.state_id.encode()), memory.version]
    vector: Vector = unit_vectors(np.random.default_rng(seed), 1, dimension)[0]
    return vector


def _next(agent_id: str, number: int, deletes: bool) -> Acknowledged:
    """An agent's operation of that number, if it is acknowledged."""
    turn, step = divmod(number, 5 if deletes else 3)
    # two memories, the second of which is stored again; then one that is deleted
    kind, place, version = (
        (_KEPT, 0, 0),
        (_KEPT, 1, 0),
        (_KEPT, 1, 1),
        (PASSING, 0, 0),
        (PASSING, 0, GONE),
    )[step]
    return Acknowledged(agent_id, f"{kind}{2 * turn + place:05d}", version)


async def write(
    asker: Asker,
    agents: str,
    dimension: int,
    acknowledged: Callable[[Acknowledged], None],
    *,
    deletes: bool,
) -> None:
    """Store, and delete, as several agents at once, until an operation fails.

    Args:
        asker: of the store.
        agents: tells these agents apart from others.
        dimension: of the vectors.
        acknowledged: is called with each operation when it has been acknowledged.
        deletes: whether the target can.

    Raises:
        BrokenError: what failed.
    """

    async def live(agent_id: str) -> None:
        for number in count():
            memory = _next(agent_id, number, deletes)
            if memory.version == GONE:
                await asker.delete(agent_id, memory.state_id)
            else:
                vector = vector_of(memory, dimension)
                await asker.store(agent_id, memory.state_id, state_of(memory), vector)
            acknowledged(memory)
            await asyncio.sleep(0)  # a session whose calls block lets nobody else come to turn

    try:
        async with asyncio.TaskGroup() as lives:
            for number in range(_AGENTS):
                lives.create_task(live(f"lasting-{agents}-{number}"))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _serve(order: WritingOrder, say: Callable[[object], None]) -> None:
    target = load_target(order.spec)
    plan = RunPlan(**order.plan)
    try:
        session = await target.connect(plan, order.connection, order.cohort)
    except Exception as error:  # noqa: BLE001 - a store is somebody else's code
        say(f"the store could not be opened: {first_line(error)}")
        return
    await write(Asker(session), order.agents, plan.dimension, say, deletes=order.deletes)


def _main() -> None:
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    order = msgspec.msgpack.decode(
        sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4), "big")), type=WritingOrder
    )

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    encode = msgspec.json.Encoder().encode

    def say(said: object) -> None:
        os.write(descriptor, encode(said) + b"\n")

    try:
        uvloop.run(_serve(order, say))
    except BrokenError as error:
        say(str(error))
    except BaseException as error:
        say(f"the process that stores ended with {first_line(error)}")
        raise


if __name__ == "__main__":
    _main()
