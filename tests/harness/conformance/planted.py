"""A small store that keeps what it should, in a log, and stores with one fault each.

All are targets (``tests.harness.conformance.planted:Faithful``). A fault is as small as it can be,
so that a check has to find that and nothing else.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.targets.base import (
    Capabilities,
    Hit,
    Memory,
    NoOptions,
    OpenStore,
    Query,
    Ready,
    Setup,
    Target,
)

__all__ = [
    "FAULTS",
    "DeletedReturns",
    "EarlyAcknowledgement",
    "Faithful",
    "Hanging",
    "LoggedStore",
    "Modest",
    "NeverReopened",
]

_ALL = Capabilities(filter=True, delete=True)


class LoggedStore(OpenStore):
    """A dict of memories by agent, and a log from which it is made again."""

    def __init__(self, folder: Path) -> None:
        self.memories: dict[str, dict[str, Memory]] = {}
        path = folder / "log"
        if path.exists():
            *lines, torn = path.read_bytes().split(b"\n")
            os.truncate(path, path.stat().st_size - len(torn))  # of who was killed in the middle
            for line in lines:
                agent_id, state_id, payload, vector = msgspec.json.decode(
                    line, type=tuple[str, str, bytes, bytes]
                )
                if not payload:
                    self.memories[agent_id].pop(state_id, None)
                    continue
                vectors = np.frombuffer(vector, np.float32)
                self.put(Memory(agent_id, state_id, payload, vectors))
        self.log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def put(self, memory: Memory) -> None:
        self.memories.setdefault(memory.agent_id, {})[memory.state_id] = memory

    def note(self, memory: Memory) -> None:
        line = (memory.agent_id, memory.state_id, memory.payload, memory.vector.tobytes())
        os.write(self.log, msgspec.json.encode(line) + b"\n")

    def store(self, memory: Memory) -> None:
        self.put(memory)
        self.note(memory)

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        memory = self.memories.get(agent_id, {}).get(state_id)
        return None if memory is None else memory.payload

    def among(self, query: Query) -> Sequence[Memory]:
        """What a search chooses from."""
        where = (query.where or {}).items()
        return [
            memory
            for memory in self.memories.get(query.agent_id, {}).values()
            if where <= memory.attributes.items()
        ]

    def search(self, query: Query) -> list[Hit]:
        scored = [
            Hit(memory.state_id, float(memory.vector @ query.vector), memory.payload)
            for memory in self.among(query)
        ]
        return sorted(scored, key=lambda hit: -hit.score)[: query.k]

    def delete(self, agent_id: str, state_id: str) -> bool:
        self.note(Memory(agent_id, state_id, b"", np.zeros(0, np.float32)))
        return self.memories.get(agent_id, {}).pop(state_id, None) is not None

    def close(self) -> None:
        os.close(self.log)


class Faithful(Target[NoOptions]):
    """Keeps what it should."""

    name = "faithful"
    description = "keeps what it should"
    capabilities = Capabilities(filter=True, delete=True, durable=True)
    store_type: type[LoggedStore] = LoggedStore

    def prepare(self, setup: Setup) -> Ready:
        return Ready(version="1.0", durability="A line is with the operating system")

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        return self.store_type(setup.folder)


class Modest(Faithful):
    """Keeps what it should, and claims nothing beyond it."""

    capabilities = Capabilities()


class _Plain(Faithful):
    capabilities = _ALL


class _LosingStore(LoggedStore):
    stores = 0

    def store(self, memory: Memory) -> None:
        self.stores += 1
        if self.stores != 20:
            super().store(memory)


class LostWrite(_Plain):
    """One write is acknowledged and forgotten."""

    store_type = _LosingStore


class _TruncatingStore(LoggedStore):
    def store(self, memory: Memory) -> None:
        if len(memory.payload) < 50_000:
            super().store(memory)


class LostLarge(_Plain):
    """What is large is acknowledged and forgotten."""

    store_type = _TruncatingStore


class _BehindStore(LoggedStore):
    def __init__(self, folder: Path) -> None:
        self.last: dict[str, Memory] = {}
        super().__init__(folder)

    def store(self, memory: Memory) -> None:
        super().store(memory)
        self.last[memory.agent_id] = memory

    def among(self, query: Query) -> Sequence[Memory]:
        last = self.last.get(query.agent_id)
        return [memory for memory in super().among(query) if memory is not last]


class StaleSearch(_Plain):
    """An index that lacks what an agent stored last."""

    store_type = _BehindStore


class _CachingStore(LoggedStore):
    def __init__(self, folder: Path) -> None:
        self.read: dict[tuple[str, str], bytes] = {}
        super().__init__(folder)

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        found = super().retrieve(agent_id, state_id)
        return found and self.read.setdefault((agent_id, state_id), found)


class StaleRead(_Plain):
    """What was read is read again as it was."""

    store_type = _CachingStore


class _FirstVectorStore(LoggedStore):
    def put(self, memory: Memory) -> None:
        known = self.memories.get(memory.agent_id, {}).get(memory.state_id)
        if known is not None:
            memory = Memory(memory.agent_id, memory.state_id, memory.payload, known.vector)
        super().put(memory)


class StaleIndex(_Plain):
    """A memory is found by what it was first stored with."""

    store_type = _FirstVectorStore


class _PrefixStore(LoggedStore):
    def among(self, query: Query) -> Sequence[Memory]:
        return [
            memory
            for agent_id, memories in self.memories.items()
            if agent_id.startswith(query.agent_id)
            for memory in memories.values()
            if (query.where or {}).items() <= memory.attributes.items()
        ]


class LeakedPrefix(_Plain):
    """A search sees the memories of agents whose ids begin with the agent's."""

    store_type = _PrefixStore


class _AnyoneStore(LoggedStore):
    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        found = super().retrieve(agent_id, state_id)
        others = (one[state_id].payload for one in self.memories.values() if state_id in one)
        return found or next(others, None)


class LeakedId(_Plain):
    """An agent may read what another stored, if it knows the id."""

    store_type = _AnyoneStore


class _JoiningStore(LoggedStore):
    def put(self, memory: Memory) -> None:
        joined = f"{memory.agent_id}:{memory.state_id}"
        agent_id, _, state_id = joined.partition(":")
        super().put(Memory(agent_id, state_id, memory.payload, memory.vector))

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        agent_id, _, state_id = f"{agent_id}:{state_id}".partition(":")
        return super().retrieve(agent_id, state_id)


class JoinedIds(_Plain):
    """Ids are joined with a colon, so that some fall together."""

    store_type = _JoiningStore


class _WorstFirstStore(LoggedStore):
    def search(self, query: Query) -> list[Hit]:
        return super().search(query)[::-1]


class WrongOrder(_Plain):
    """The k nearest, the last of them first."""

    store_type = _WorstFirstStore


class _DistanceStore(LoggedStore):
    def search(self, query: Query) -> list[Hit]:
        return [hit._replace(score=1.0 - hit.score) for hit in super().search(query)]


class WrongScores(_Plain):
    """Scores that are distances."""

    store_type = _DistanceStore


class _FewStore(LoggedStore):
    def search(self, query: Query) -> list[Hit]:
        return super().search(query)[:5]


class IgnoredK(_Plain):
    """Five, whatever is asked for."""

    store_type = _FewStore


class _FarStore(LoggedStore):
    def search(self, query: Query) -> list[Hit]:
        if query.k > 10 or query.where:
            return super().search(query)
        wider = Query(query.agent_id, query.vector, 2 * query.k)
        return super().search(wider)[::2]


class MissedNearest(_Plain):
    """Every second of the nearest is missed."""

    store_type = _FarStore


class _RaisingStore(LoggedStore):
    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        return self.memories[agent_id][state_id].payload


class RaisedMissing(_Plain):
    """What is not there is an error."""

    store_type = _RaisingStore


class _FoldingStore(LoggedStore):
    def put(self, memory: Memory) -> None:
        state_id = unicodedata.normalize("NFC", memory.state_id)
        super().put(Memory(memory.agent_id, state_id, memory.payload, memory.vector))

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        return super().retrieve(agent_id, unicodedata.normalize("NFC", state_id))


class MangledIds(_Plain):
    """Ids that look the same fall together."""

    store_type = _FoldingStore


class _AsciiStore(LoggedStore):
    def put(self, memory: Memory) -> None:
        text = memory.payload.decode("utf-8", "surrogateescape")
        payload = "".join(one if ord(one) < 0x3000 or ord(one) > 0xD000 else "xyz" for one in text)
        plain = payload.encode("utf-8", "surrogateescape")
        super().put(Memory(memory.agent_id, memory.state_id, plain, memory.vector))


class MangledText(_Plain):
    """Letters of some scripts are replaced."""

    store_type = _AsciiStore


class _RacingStore(LoggedStore):
    def put(self, memory: Memory) -> None:
        memories = {agent_id: dict(one) for agent_id, one in self.memories.items()}
        time.sleep(0.002)  # another thread comes to turn
        memories.setdefault(memory.agent_id, {})[memory.state_id] = memory
        self.memories = memories


class LostUpdate(_Plain):
    """What two agents store at one moment, one of them loses."""

    capabilities = Capabilities(filter=True, delete=True, calls_at_once=8)
    store_type = _RacingStore


class SharedAndBlind(_Plain):
    """All processes share the store, and each sees what it stored itself."""

    capabilities = Capabilities(filter=True, delete=True, shared=True)


class _FlushingStore(LoggedStore):
    def flush(self) -> None:
        for memories in self.memories.values():
            for state_id in list(memories)[::7]:
                del memories[state_id]


class LostByFlush(_Plain):
    """What is brought to where it stays comes there in part."""

    store_type = _FlushingStore


class _UnfilteredStore(LoggedStore):
    def among(self, query: Query) -> Sequence[Memory]:
        return super().among(Query(query.agent_id, query.vector, query.k))


class IgnoredFilter(_Plain):
    """Conditions are not looked at."""

    store_type = _UnfilteredStore


class _LateFilterStore(LoggedStore):
    def search(self, query: Query) -> list[Hit]:
        all_of_them = super().search(Query(query.agent_id, query.vector, query.k))
        meeting = {memory.state_id for memory in self.among(query)}
        return [hit for hit in all_of_them if hit.state_id in meeting]


class LateFilter(_Plain):
    """Conditions are looked at when the k are chosen."""

    store_type = _LateFilterStore


class _KeepingStore(LoggedStore):
    def delete(self, agent_id: str, state_id: str) -> bool:
        return self.retrieve(agent_id, state_id) is not None


class NoDelete(_Plain):
    """What is deleted stays."""

    store_type = _KeepingStore


class _GhostStore(LoggedStore):
    """Deletes the record and leaves the index."""

    def __init__(self, folder: Path) -> None:
        self.deleted: set[tuple[str, str]] = set()
        super().__init__(folder)

    def put(self, memory: Memory) -> None:
        self.deleted.discard((memory.agent_id, memory.state_id))
        super().put(memory)

    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        is_gone = (agent_id, state_id) in self.deleted
        return None if is_gone else super().retrieve(agent_id, state_id)

    def delete(self, agent_id: str, state_id: str) -> bool:
        there = self.retrieve(agent_id, state_id) is not None
        self.deleted.add((agent_id, state_id))
        return there


class GhostOfDeleted(_Plain):
    """What is deleted is found."""

    store_type = _GhostStore


class _EarlyStore(LoggedStore):
    """The last 16 lines of the log are still to be written."""

    def __init__(self, folder: Path) -> None:
        self.waiting: list[Memory] = []
        super().__init__(folder)

    def note(self, memory: Memory) -> None:
        self.waiting.append(memory)
        if len(self.waiting) > 16:
            super().note(self.waiting.pop(0))


class EarlyAcknowledgement(Faithful):
    """Acknowledged before it is anywhere but in memory."""

    store_type = _EarlyStore


class _ForgetfulStore(LoggedStore):
    def delete(self, agent_id: str, state_id: str) -> bool:
        return self.memories.get(agent_id, {}).pop(state_id, None) is not None


class DeletedReturns(Faithful):
    """Deletes in memory only."""

    store_type = _ForgetfulStore


class _LockingStore(LoggedStore):
    def __init__(self, folder: Path) -> None:
        lock = folder / "locked"
        if lock.exists():
            raise OSError(f"{lock.name} is there: the store is open elsewhere")
        lock.touch()
        super().__init__(folder)


class NeverReopened(Faithful):
    """A store that, once killed, cannot be opened."""

    store_type = _LockingStore


FAULTS: Mapping[type[Faithful], set[str]] = {
    LostWrite: {"read_your_writes"},
    LostLarge: {"read_your_writes"},
    # all that need to find what was stored last
    StaleSearch: {
        "read_your_writes",
        "overwrite",
        "unicode",
        "concurrency",
        "filter",
        "delete",
    },
    # agents overwrite while they work at one moment
    StaleRead: {"overwrite", "concurrency"},
    StaleIndex: {"overwrite"},
    LeakedPrefix: {"isolation"},
    LeakedId: {"isolation"},
    JoinedIds: {"isolation"},
    WrongOrder: {"k_and_order"},
    WrongScores: {"k_and_order"},
    IgnoredK: {"k_and_order"},
    MissedNearest: {"k_and_order"},
    LostByFlush: {"k_and_order"},
    RaisedMissing: {"missing_ids"},
    MangledIds: {"unicode"},
    MangledText: {"unicode"},
    LostUpdate: {"concurrency"},
    SharedAndBlind: {"concurrency"},
    IgnoredFilter: {"filter"},
    LateFilter: {"filter"},
    NoDelete: {"delete"},
    GhostOfDeleted: {"delete"},
}
"""By target, the points that it fails: its own, and what cannot hold without that.

What fails `durability` has tests of its own.
"""


class _HangingStore(LoggedStore):
    def retrieve(self, agent_id: str, state_id: str) -> bytes | None:
        Path(os.environ["HANGS"]).touch()
        while True:
            time.sleep(0.05)


class Hanging(_Plain):
    """Answers nothing; says so in the file that HANGS names."""

    store_type = _HangingStore


class NotInstalled(Faithful):
    """Needs what nobody has."""

    modules = ("nobody_has_this",)
    extra = "chroma"


class Unopened(Faithful):
    """Cannot be opened."""

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        raise OSError("no such disk")
