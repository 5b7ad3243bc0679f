"""The point about durability: what was acknowledged is there after SIGKILL.

Agents store without a pause, each acknowledgement is noted when it comes, and at a random moment
SIGKILL ends

- the process that calls the store, which is one of its own that reports over a pipe; and
- where the store works in processes that the target started, those.

Then the store is opened again, and every memory that was acknowledged is read back: a later
version of it may be there, for its last write may have been on its way; an earlier one, or none,
is a loss, and so is one that had been deleted. Some are searched for, too.

A process that is killed leaves what it gave to the operating system: what this finds is
acknowledgement before that, not a disk that loses what it was told to keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import uvloop

from harness.conformance import writing
from harness.conformance.asking import BrokenError, require
from harness.conformance.opened import CheckedStore
from harness.conformance.writing import (
    GONE,
    PASSING,
    Acknowledged,
    WritingOrder,
    state_of,
    vector_of,
    write,
)

__all__ = ["survive_kills"]

# Where each process has a store of its own, this is another one than the other points have.
_COHORT = 1
_CALLER_KILLS = 2
# When SIGKILL comes: after so many acknowledgements, or so long after the first, and a moment more.
_ACKNOWLEDGED_MIN, _ACKNOWLEDGED_MAX = 40, 400
_WRITING_S = 1.5
_MOMENT_S = 0.02
_START_TIMEOUT_S = 60.0
_SEARCHED = 12


@dataclass
class _Kept:
    """What was acknowledged: the last version of each memory."""

    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    count: int = 0

    def note(self, memory: Acknowledged) -> None:
        self.versions[memory.agent_id, memory.state_id] = memory.version
        self.count += 1


class _Moment:
    """A random moment, for which a killer waits."""

    def __init__(self, chance: random.Random) -> None:
        self._after = chance.randint(_ACKNOWLEDGED_MIN, _ACKNOWLEDGED_MAX)
        self.more_s = chance.uniform(0.0, _MOMENT_S)
        self._begun_s: float | None = None

    def has_come(self, acknowledged: int) -> bool:
        if acknowledged and self._begun_s is None:
            self._begun_s = time.monotonic()
        late = self._begun_s is not None and time.monotonic() - self._begun_s > _WRITING_S
        return late or acknowledged >= self._after


def survive_kills(store: CheckedStore, seed: int) -> str:
    """Kill, open again and read back; a sentence of what was seen. Raises BrokenError."""
    chance = random.Random(seed)
    kept, killed = _Kept(), []
    kills: list[Callable[[int], None]] = []
    if not store.restarts:  # a process that stores through Ray would need a worker's environment
        kills = [lambda number: _kill_caller(store, number, _Moment(chance), kept)] * _CALLER_KILLS
        killed.append(f"{_CALLER_KILLS} processes that stored")
    if store.processes():
        kills.append(lambda number: _kill_store(store, number, _Moment(chance), kept))
        killed.append("the store's own")
    for number, kill in enumerate(kills):
        kill(number)
    require(bool(kills), "it has no process that could be killed")
    uvloop.run(_read_back(store, kept))
    whole = f"{kept.count:,} acknowledged writes were there after SIGKILL of {_and(killed)}"
    if not store.processes() and not store.target.in_process:
        return f"{whole}; the server was not started here and not killed"
    return whole


def _and(killed: list[str]) -> str:
    return " and of ".join(killed) + (" processes" if killed[-1].endswith("own") else "")


def _kill_caller(store: CheckedStore, number: int, moment: _Moment, kept: _Kept) -> None:
    """Have a process store, and kill it."""
    order = WritingOrder(
        spec=store.spec,
        plan=store.plan.as_dict(),
        connection=store.prepared.connection,
        cohort=_COHORT,
        agents=str(number),
        deletes="delete" in store.described.capabilities,
    )
    before = kept.count
    with _writer(order) as (process, reports):
        lines = _Lines(reports, kept)
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not moment.has_come(kept.count - before):
            require(time.monotonic() < deadline_s, "the process that stores acknowledged nothing")
            lines.take(0.01)
            require(process.poll() is None, "the process that stores ended by itself")
        time.sleep(moment.more_s)
        process.kill()
        process.wait()
        while lines.take(0.0):
            pass


class _Lines:
    """What a writer reports, taken from its pipe."""

    def __init__(self, descriptor: int, kept: _Kept) -> None:
        self._descriptor = descriptor
        self._kept = kept
        self._rest = b""

    def take(self, timeout_s: float) -> bool:
        """Take what is there; whether there was something. Raises BrokenError as it says."""
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return False
        data = os.read(self._descriptor, 65_536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said = msgspec.json.decode(line, type=Acknowledged | str)
            if isinstance(said, str):
                raise BrokenError(said)
            self._kept.note(said)
        return bool(data)


@contextmanager
def _writer(order: WritingOrder) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that stores, and the pipe of its reports; it is ended with the block."""
    reports, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", writing.__name__, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # what a terminal sends, the one who waits for it gets
        )
    finally:
        os.close(theirs)
    try:
        data = msgspec.msgpack.encode(order)
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(len(data).to_bytes(4, "big") + data)
                process.stdin.flush()
        yield process, reports
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        os.close(reports)


def _kill_store(store: CheckedStore, number: int, moment: _Moment, kept: _Kept) -> None:
    """Store from here, kill the store's processes, and start it again where it was."""
    uvloop.run(_write_and_kill(store, number, moment, kept))
    if not store.restarts:
        store.destroy()
        store.prepare(resumed=True)


async def _write_and_kill(store: CheckedStore, number: int, moment: _Moment, kept: _Kept) -> None:
    before = kept.count
    async with store.session(_COHORT) as asker:
        writing = asyncio.create_task(
            write(
                asker,
                str(number),
                store.plan.dimension,
                kept.note,
                deletes="delete" in store.described.capabilities,
            )
        )
        try:
            deadline_s = time.monotonic() + _START_TIMEOUT_S
            while not moment.has_come(kept.count - before) and not writing.done():
                require(time.monotonic() < deadline_s, "no store was acknowledged")
                await asyncio.sleep(0.002)
            if writing.done():
                await writing  # raises what was wrong
            await asyncio.sleep(moment.more_s)
            require(store.kill() > 0, "the store's processes ended by themselves")
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


async def _read_back(store: CheckedStore, kept: _Kept) -> None:
    """Read all that was acknowledged, and search for some of it. Raises BrokenError."""
    async with store.session(_COHORT) as asker:
        found, lost = [], []
        for (agent_id, state_id), version in kept.versions.items():
            state = await asker.retrieve(agent_id, state_id)
            there = _version_of(agent_id, state_id, state)
            if there is None or there < version:
                lost.append(f"{state_id!r} of agent {agent_id!r} {_became(state, version)}")
            elif there != GONE:
                found.append(Acknowledged(agent_id, state_id, there))
        require(
            not lost,
            f"of {len(kept.versions):,} memories that were written before SIGKILL, "
            f"{len(lost):,} are not as was acknowledged: {(lost or [''])[0]}",
        )
        for memory in found[-_SEARCHED:]:
            query = vector_of(memory, store.plan.dimension)
            await asker.expect_nearest(memory.agent_id, memory.state_id, state_of(memory), query)


def _version_of(agent_id: str, state_id: str, state: object) -> int | None:
    """Which version a memory is of; None for one that it never was."""
    if state is None:
        return GONE if state_id.startswith(PASSING) else None
    for version in (0, 1):
        if state == state_of(Acknowledged(agent_id, state_id, version)):
            return version
    return None


def _became(state: object, version: int) -> str:
    if state is None:
        return "is lost"
    return "is there, and was deleted" if version == GONE else "is another state"
