"""Databases of every format since the first that is kept open as they were, to the bit."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    Agents,
    Export,
    MemoryConfig,
    MemoryStore,
    RetrieveMany,
    Search,
    StateEncoder,
    Store,
)
from memory_core.inspection import verify

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(file.name.removesuffix(".tar.gz") for file in GOLDEN.glob("format-*.tar.gz"))
# FAISS adds up in another order on another processor.
SCORE_TOLERANCE = 1e-5


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of a golden database, and what is in it."""
    (tmp_path / "db").mkdir()
    with tarfile.open(GOLDEN / f"{request.param}.tar.gz") as archive:
        for member in archive:  # plain files, since not every Python 3.11 has extraction filters
            content = archive.extractfile(member)
            assert content is not None, member.name
            (tmp_path / "db" / Path(member.name).name).write_bytes(content.read())
    described = (GOLDEN / f"{request.param}.json").read_text(encoding="utf-8")
    return tmp_path / "db", json.loads(described)


def memories_of(store: MemoryStore) -> list[dict[str, Any]]:
    """Everything that a store holds, in the words of a golden file."""
    found = []
    [listed] = store.execute([Agents()])
    for agent in listed.agents:
        [page] = store.execute([Export(agent.agent_id)])
        assert not page.more
        for memory, vector in zip(page.memories, page.vectors, strict=True):
            found.append(
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
    return found


def test_the_first_kept_format_is_there():
    """The files are where the tests look for them, and hold what can go wrong."""
    assert "format-2" in NAMES
    described = json.loads((GOLDEN / "format-2.json").read_text(encoding="utf-8"))
    memories = described["memories"]
    assert {memory["tier"] for memory in memories} == {"stm", "im", "ltm"}
    for tier in ("stm", "im", "ltm"):
        mine = [memory for memory in memories if memory["tier"] == tier]
        for name in ("metadata", "vector", "step"):
            assert {memory[name] is None for memory in mine} == {True, False}
        assert {memory["kind"] for memory in mine} == {"state", "action", "interaction"}


def test_a_golden_database_is_whole(golden: tuple[Path, dict[str, Any]]):
    """Every record of it is read and agrees with the others."""
    folder, described = golden
    found = verify(folder, StateEncoder(described["config"]["dimension"]))
    assert (found.problems, found.notes) == ((), ())
    expected = [memory["tier"] for memory in described["memories"]]
    for tier, holdings in found.tiers.items():
        assert holdings.memories == expected.count(tier) > 0
        of_tier = [one for one in described["memories"] if one["tier"] == tier]
        assert holdings.state_bytes == sum(len(one["payload"]) // 2 for one in of_tier)


def test_every_memory_is_as_it_was(golden: tuple[Path, dict[str, Any]]):
    """All fields of all memories, by the pages of an export and by their ids."""
    folder, described = golden
    expected = described["memories"]
    with MemoryStore(MemoryConfig(path=folder, **described["config"])) as store:
        assert memories_of(store) == expected
        for one in expected:
            [found] = store.execute([RetrieveMany(one["agent_id"], [one["state_id"]])])
            [memory] = found.memories
            assert (memory.tier, memory.payload.hex()) == (one["tier"], one["payload"])


def test_searches_find_what_they_found(golden: tuple[Path, dict[str, Any]]):
    """The same memories in the same order, by vectors that were made anew or were kept."""
    folder, described = golden
    with MemoryStore(MemoryConfig(path=folder, **described["config"])) as store:
        for one in described["searches"]:
            query = bytes.fromhex(one["query"])
            search = Search(one["agent_id"], query, k=one["k"], tier=one["tier"])
            [found] = store.execute([search])
            assert [[hit.state_id, hit.tier] for hit in found.hits] == [
                [state_id, tier] for state_id, tier, _ in one["hits"]
            ]
            scores = [score for _, _, score in one["hits"]]
            assert [hit.score for hit in found.hits] == pytest.approx(scores, abs=SCORE_TOLERANCE)


def test_a_golden_database_can_be_gone_on_with(golden: tuple[Path, dict[str, Any]]):
    """What is stored next moves old memories down and loses none; it is whole when closed."""
    folder, described = golden
    config = MemoryConfig(path=folder, **described["config"])
    with MemoryStore(config) as store:
        store.execute([Store.of("forager", f"new {n}", {"n": n}) for n in range(30)])
        after = memories_of(store)
    kept = [one for one in after if not one["state_id"].startswith("new ")]
    assert len(after) == len(kept) + 30

    def without_tier(memories: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "tier": None} for one in memories]

    assert without_tier(kept) == without_tier(described["memories"])
    assert verify(folder).is_clean
    with MemoryStore(config) as store:
        assert memories_of(store) == after
