"""Makes the golden database of the present format, which later releases must go on opening.

    python tests/memory_core/golden/make_golden.py

writes beside itself, for format n:

- ``format-n.tar.gz``: the folder of a database as a kill leaves it: tables of an earlier opening,
  and a write-ahead log with what came after. In each of them are records of all tiers, memories
  that were stored again, deletions of one memory and of a whole agent.
- ``format-n.json``: what is in it: every memory with all of its fields, bytes in hexadecimal, and
  what some searches find.

Run it once when a format is new, and commit both files. They are never made again: a file that a
later release makes is no proof that it can read what this one made. RocksDB notes the name of the
host in its tables: ``unshare --uts sh -c 'hostname localhost; python ...'`` gives them a plain one.
"""

from __future__ import annotations

import itertools
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from memory_core import (
    Agents,
    Delete,
    Export,
    MemoryConfig,
    MemoryStore,
    Search,
    Store,
)
from memory_core.operations import KINDS
from memory_core.record import FORMAT_VERSION

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = {"dimension": 8, "stm_capacity": 5, "im_capacity": 6}
AGENTS = ("forager", "агент-Ω 🦊", "nul\0inside", "of few")
FIRST_NS = 1_700_000_000_000_000_000
# What a running database holds beside its data: its lock, and RocksDB's own notes.
LEFT_OUT = ("LOCK", "LOG")


def state(number: int) -> dict[str, Any]:
    """A state of every type that a state may hold."""
    return {
        "step": number,
        "position": {"x": number / 7, "y": -0.0, "far": [1e300, 2.5e-310]},
        "inventory": {"food": number % 5, "木": "ё" * (number % 4), "empty": {}},
        "flags": [True, False, None, [], "🦊\0\n"],
        "large": [-(2**63), 2**64 + number],
    }


def store_of(agent: str, number: int) -> Store:
    """A store that uses another mix of a memory's fields for each number."""
    ready = [((number * place) % 11) - 5.0 for place in range(1, CONFIG["dimension"] + 1)]
    return Store.of(
        agent,
        f"état {number} 🗺" if number % 3 else f"s{number}",
        state(number),
        importance=(number % 10) / 10,
        vector=ready if number % 4 == 1 else None,
        kind=KINDS[number % 3],
        step=(None, number, -number)[number % 3],
        metadata={"source": "golden", "tags": ["a", number]} if number % 5 == 2 else None,
    )


def fill(store: MemoryStore, first: int, last: int) -> None:
    """A part of the database's life."""
    for number in range(first, last):
        store.execute([store_of(agent, number) for agent in AGENTS[: 3 if number % 4 else 2]])
    store.execute([store_of("of few", first), store_of("forager", first)])
    store.execute([Delete("forager", store_of("forager", first + 4).state_id)])
    store.execute([store_of("gone", first), store_of("gone", first + 1)])
    store.execute([Delete("gone")])


def contents(store: MemoryStore) -> dict[str, Any]:
    """What a store holds, as JSON values."""
    memories, searches = [], []
    [listed] = store.execute([Agents()])
    for agent in listed.agents:
        [page] = store.execute([Export(agent.agent_id)])
        for memory, vector in zip(page.memories, page.vectors, strict=True):
            memories.append(
                {
                    "agent_id": agent.agent_id,
                    "state_id": memory.state_id,
                    "tier": memory.tier,
                    "kind": memory.kind,
                    "importance": memory.importance,
                    "stored_ns": memory.stored_ns,
                    "step": memory.step,
                    "payload": memory.payload.hex(),
                    "state": memory.state,
                    "metadata": None if memory.metadata is None else memory.metadata.hex(),
                    "vector": None if vector is None else vector.hex(),
                }
            )
        for tier, number in itertools.product(("all", "stm", "im", "ltm"), (3, 14)):
            search = Search.of(agent.agent_id, state(number), k=7, tier=tier)
            [found] = store.execute([search])
            hits = [[hit.state_id, hit.tier, hit.score] for hit in found.hits]
            searches.append(
                {
                    "agent_id": agent.agent_id,
                    "query": (search.payload or b"").hex(),
                    "k": search.k,
                    "tier": tier,
                    "hits": hits,
                }
            )
    return {"config": CONFIG, "memories": memories, "searches": searches}


def main() -> None:
    """Make both files; refuse to replace them."""
    packed = HERE / f"format-{FORMAT_VERSION}.tar.gz"
    if packed.exists():
        raise SystemExit(f"{packed.name} is there, and is never made again")
    clock = itertools.count(FIRST_NS, 1_000_003).__next__
    with tempfile.TemporaryDirectory() as folder:
        config = MemoryConfig(path=folder, **CONFIG)
        with MemoryStore(config, clock=clock) as store:
            fill(store, 0, 16)
        with MemoryStore(config, clock=clock) as store:
            fill(store, 13, 25)
            found = contents(store)
            # while it is open, as a kill would leave it
            with tarfile.open(packed, "x:gz", compresslevel=9) as archive:
                for file in sorted(Path(folder).iterdir()):
                    if file.is_file() and not file.name.startswith(LEFT_OUT):
                        archive.add(file, file.name, filter=_unowned)
    (HERE / f"format-{FORMAT_VERSION}.json").write_text(_as_json(found), encoding="utf-8")


def _as_json(found: dict[str, Any]) -> str:
    """One memory, and one search, on each line."""
    parts = []
    for name, value in found.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in value)
            text = f"[\n{lines}\n]"
        parts.append(f"{json.dumps(name)}: {text}")
    return "{" + ",\n".join(parts) + "}\n"


def _unowned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode, entry.mtime = 0o644, 0
    return entry


if __name__ == "__main__":
    main()
