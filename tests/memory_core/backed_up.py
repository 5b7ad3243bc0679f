"""A memory of several shards in this process, to be backed up, and what a test asks of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memory_core import Agents, Export, Listed, MemoryConfig, MemoryStore, Store
from memory_core.backup_repository import BackupRepository
from memory_core.backup_taking import BackedUp, MemoryIdentity, take_backup
from memory_core.client import shard_of
from memory_core.results import Exported
from memory_core.shard_upload import ShardUploads

SETTINGS: dict[str, Any] = {"dimension": 8, "stm_capacity": 10, "im_capacity": 8}
FAST = 1e12
IDENTITY = MemoryIdentity("id-of-m", 1, SETTINGS)


def config(folder: Path | str) -> MemoryConfig:
    return MemoryConfig(path=folder, **SETTINGS)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Shards:
    """Stores over which agents are spread as a client spreads them."""

    def __init__(self, folder: Path, count: int) -> None:
        self.stores = [MemoryStore(config(folder / f"shard-{n}")) for n in range(count)]
        self.uploads = [ShardUploads(n, one.path) for n, one in enumerate(self.stores)]

    def execute(self, operations: Iterable[Any]) -> None:
        for operation in operations:
            store = self.stores[shard_of(operation.agent_id, len(self.stores))]
            [result] = store.execute([operation])
            assert type(result).__name__ in {"Done", "Deleted", "Moved"}, result

    def back_up(self, repository: BackupRepository, keep: int | None = None) -> BackedUp:
        def parts() -> list[Any]:
            return [
                upload.run(store.checkpoint, repository, FAST)
                for upload, store in zip(self.uploads, self.stores, strict=True)
            ]

        return take_backup(repository, IDENTITY, parts, keep=keep)

    def contents(self) -> dict[str, list[Any]]:
        return together(contents(store) for store in self.stores)

    def close(self) -> None:
        for store in self.stores:
            store.close()


@contextmanager
def shards(folder: Path, count: int) -> Iterator[Shards]:
    made = Shards(folder, count)
    try:
        yield made
    finally:
        made.close()


def some(first: int, count: int, agents: int = 5) -> list[Store]:
    """Stores of several agents, of all kinds, some with a vector, a step or metadata."""
    return [
        Store.of(
            f"a{agent}",
            f"s{number}",
            {"number": number, "text": "x" * (number % 40)},
            importance=number % 7 / 8,
            vector=[1.0, number, 0, 0, 0, 0, 0, agent] if number % 5 == 0 else None,
            kind=("state", "action", "interaction")[number % 3],
            step=number if number % 2 else None,
            metadata={"of": number} if number % 4 == 0 else None,
        )
        for number in range(first, first + count)
        for agent in range(agents)
    ]


def contents(store: MemoryStore) -> dict[str, list[Any]]:
    """All that an export tells of each agent's memories, in the order of storing."""
    found: dict[str, list[Any]] = {}
    [listed] = store.execute([Agents(None, 10_000)])
    assert isinstance(listed, Listed)
    for agent in listed.agents:
        [page] = store.execute([Export(agent.agent_id, 0, 100_000)])
        assert isinstance(page, Exported)
        assert not page.more
        found[agent.agent_id] = list(zip(page.memories, page.vectors, strict=True))
    return found


def restored_contents(folders: Iterable[Path | str]) -> dict[str, list[Any]]:
    """`contents` of databases; each agent has to be in the shard that a client looks in."""
    found = []
    paths = list(folders)
    for number, folder in enumerate(paths):
        with MemoryStore(config(folder)) as store:
            found.append(contents(store))
        assert all(shard_of(agent, len(paths)) == number for agent in found[-1])
    return together(found)


def together(parts: Iterable[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    whole: dict[str, list[Any]] = {}
    for part in parts:
        assert not whole.keys() & part.keys()
        whole |= part
    return whole
