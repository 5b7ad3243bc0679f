"""A disk that becomes full in the middle of anything fails that, and loses nothing.

On a tmpfs of a few MiB, of which something else takes the most; when that is gone there is room
again. What was acknowledged is compared as after a kill (`promises.audit`).
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    AgentMemorySystem,
    Failure,
    MemoryConfig,
    MemoryStore,
    StorageFullError,
    Transition,
    UnavailableError,
    snapshots,
)
from memory_core.inspection import verify
from memory_core.repairing import repair
from tests.memory_core.promises import Ledger, audit, operation_of

pytestmark = [pytest.mark.fault, pytest.mark.slow]

MIB = 1024 * 1024
SETTINGS: dict[str, Any] = {
    "dimension": 16,
    "stm_capacity": 300,
    "im_capacity": 400,
    "write_buffer_bytes": 256 * 1024,
    "exact_below": 200,
    "payload_cache_bytes": 0,
}


class SmallDisk:
    """A disk of 24 MiB, 22 of which something else takes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "ballast").write_bytes(bytes(22 * MIB))

    def fill(self, leave_bytes: int = 0) -> None:
        """Take what room is left, but for some."""
        room = os.statvfs(self.path)
        size = max(room.f_bavail * room.f_frsize - leave_bytes, 0)
        with (self.path / "more").open("wb", buffering=0) as more:
            try:
                while size > 0 and (written := more.write(bytes(min(size, MIB)))):
                    size -= written
            except OSError:
                pass

    def make_room(self) -> None:
        """Give back all that is not the test's own."""
        (self.path / "ballast").unlink(missing_ok=True)
        (self.path / "more").unlink(missing_ok=True)


@pytest.fixture
def disk(tmpfs: Path) -> SmallDisk:
    return SmallDisk(tmpfs)


class Writer:
    """Stores, overwrites, deletes and moves, and writes down what was acknowledged."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.ledger = Ledger()
        self.chance = random.Random(5)

    def write(self, count: int = 120, *, moves: bool = True) -> list[Failure]:
        """One batch; its failures."""
        batch: list[list[Any]] = []
        for number in range(1, count + 1):
            agent, state_id = self.chance.choice("ab"), f"s{self.chance.randrange(20_000)}"
            batch.append(["store", agent, state_id, self.ledger.version + number])
        batch.append(["delete", "a", f"s{self.chance.randrange(20_000)}"])
        if moves and self.chance.random() < 0.2:
            batch.append(["move", self.chance.choice(["im", "ltm"]), 10.0, None])
        self.ledger.take([["ask", 0, batch]])
        results = self.store.execute([operation_of(note) for note in batch])
        failed = [result for result in results if isinstance(result, Failure)]
        if not failed:
            self.ledger.take([["done", 0]])
        return failed

    def write_until_full(self) -> Failure:
        """Batch after batch until one fails; its failure."""
        for _ in range(2_000):
            if failed := self.write():
                return failed[0]
        raise AssertionError("the disk never became full")

    def require_kept(self, folder: Path, settings: dict[str, Any] = SETTINGS) -> None:
        """Fail unless all that was acknowledged is there."""
        found = verify(folder)
        assert found.is_clean, [str(problem) for problem in found.problems]
        wrong, versions = audit(folder, settings, self.ledger)
        assert not wrong, (len(wrong), wrong[:5])
        self.ledger.settle(versions)
        assert verify(folder).is_clean


def error_of(failure: Failure) -> Exception:
    return failure.exception()


def test_stores_with_demotion_on_a_full_disk_lose_nothing(disk: SmallDisk):
    """The batch that found no room fails as that; reads go on; with room all is there."""
    folder = disk.path / "db"
    store = MemoryStore(MemoryConfig(path=folder, **SETTINGS))
    writer = Writer(store)
    assert isinstance(error_of(writer.write_until_full()), StorageFullError)
    assert writer.ledger.acknowledged > 10
    for failure in writer.write(5, moves=False):
        assert isinstance(error_of(failure), StorageFullError | UnavailableError)
    [moved] = store.execute([Transition("ltm", 100.0)])
    assert isinstance(moved, Failure)
    counts = store._tables.counts(None)
    assert min(counts.stm, counts.im, counts.ltm) > 0
    store.close()
    disk.make_room()
    writer.require_kept(folder)
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as again:
        writer.store = again
        assert writer.write() == []
    writer.require_kept(folder)


def test_a_disk_with_room_for_what_is_written_is_not_called_full(tmpfs: Path):
    """Near the end of a disk a flush that takes its time is waited for, and refuses nothing."""
    settings = {**SETTINGS, "stm_capacity": 30, "im_capacity": 40, "write_buffer_bytes": 128 * 1024}
    with MemoryStore(MemoryConfig(path=tmpfs / "db", **settings)) as store:
        writer = Writer(store)
        for _ in range(300):
            assert writer.write() == []
    room = os.statvfs(tmpfs)
    assert room.f_bavail > room.f_blocks / 2
    writer.require_kept(tmpfs / "db", settings)


@pytest.mark.parametrize("leave_bytes", [0, 40_000, 150_000])
def test_a_transition_that_finds_no_room_doubles_nothing(disk: SmallDisk, leave_bytes: int):
    """Wherever a transition in parts meets the full disk, each memory is in one tier."""
    settings = {**SETTINGS, "stm_capacity": 50_000, "write_buffer_bytes": 64 * 1024}
    folder = disk.path / "db"
    store = MemoryStore(MemoryConfig(path=folder, **settings))
    writer = Writer(store)
    for _ in range(15):
        assert writer.write(moves=False) == []
    disk.fill(leave_bytes)
    [moved] = store.execute([Transition("im", 100.0)])
    assert isinstance(moved, Failure)
    assert isinstance(error_of(moved), StorageFullError)
    store.close()
    disk.make_room()
    writer.require_kept(folder, settings)


def test_a_snapshot_that_finds_no_room_costs_nothing(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
):
    """Without room for it there is no snapshot, while and after storing; the store is as it was."""
    monkeypatch.setattr(snapshots, "_LEAST_MEMORIES", 100)
    monkeypatch.setattr(snapshots, "_LEAST_CHANGES", 100)
    disk.make_room()  # until it is filled: files that are done with may stay a while
    folder = disk.path / "db"
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        writer = Writer(store)
        for _ in range(20):
            assert writer.write() == []
    before = {path.name: path.read_bytes() for path in (folder / "indexes").iterdir()}
    assert before
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        writer.store = store
        for _ in range(5):
            assert writer.write() == []
        disk.fill()
        store.close()
        assert isinstance(store._snapshots.error, StorageFullError)
    after = {path.name: path.read_bytes() for path in (folder / "indexes").iterdir()}
    assert after.keys() == before.keys()
    disk.make_room()
    writer.require_kept(folder)


def test_a_backup_on_the_same_full_disk_is_not_there(disk: SmallDisk):
    """A backup without room fails as that, leaves nothing behind and harms nothing."""
    folder = disk.path / "db"
    store = MemoryStore(MemoryConfig(path=folder, **SETTINGS))
    writer = Writer(store)
    for _ in range(10):
        assert writer.write() == []
    disk.fill()
    for _ in range(2):
        with pytest.raises(StorageFullError):
            store.backup(disk.path / "backup")
    assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", "db", "more"]
    store.close()
    disk.make_room()
    writer.require_kept(folder)
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as again:
        again.backup(disk.path / "backup")
    writer.require_kept(disk.path / "backup")


def test_a_backup_to_another_full_disk_leaves_the_store_at_work(disk: SmallDisk, tmp_path: Path):
    """Where only the backup's disk is full, the store stores on."""
    folder = tmp_path / "db"
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        writer = Writer(store)
        for _ in range(20):
            assert writer.write() == []
        disk.fill(100_000)
        with pytest.raises(StorageFullError):
            store.backup(disk.path / "backup")
        assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", "more"]
        assert writer.write() == []
        disk.make_room()
        store.backup(disk.path / "backup")
    writer.require_kept(disk.path / "backup")
    writer.require_kept(folder)


def test_a_repair_that_finds_no_room_changes_nothing(disk: SmallDisk):
    """The damaged database stays where it was, to be repaired when there is room."""
    folder = disk.path / "db"
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        writer = Writer(store)
        for _ in range(12):
            assert writer.write() == []
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for leave_bytes in (0, 60_000, 120_000):
        disk.fill(leave_bytes)
        with pytest.raises(StorageFullError):
            repair(folder)
        assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", "db", "more"]
        (disk.path / "more").unlink()
    after = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before
    disk.make_room()
    assert repair(folder).lost == ()
    writer.require_kept(folder)


def test_an_import_that_finds_no_room_can_be_done_again(disk: SmallDisk, tmp_path: Path):
    """What was there stays, of the file some is there; with room a second import has it all."""
    with MemoryStore(MemoryConfig(path=tmp_path / "source", **SETTINGS)) as store:
        source = Writer(store)
        for _ in range(20):
            assert source.write() == []
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "source", **SETTINGS)) as system:
        count = system.export_memories(path=tmp_path / "all.parquet")
    folder = disk.path / "db"
    with AgentMemorySystem(MemoryConfig(path=folder, **SETTINGS)) as system:
        disk.fill(200_000)
        with pytest.raises(StorageFullError):
            system.import_memories(path=tmp_path / "all.parquet")
        some = system.count_memories().total
    disk.make_room()
    with AgentMemorySystem(MemoryConfig(path=folder, **SETTINGS)) as system:
        assert some <= system.count_memories().total <= count
        assert system.import_memories(path=tmp_path / "all.parquet") == count
    source.require_kept(folder)


@pytest.mark.parametrize(
    ("leave_bytes", "durability"), [(0, "fsync"), (8_192, "os"), (60_000, "os")]
)
def test_closing_without_room_loses_nothing(disk: SmallDisk, leave_bytes: int, durability: str):
    """A store that closes on a full disk says nothing, and has everything when opened again."""
    settings = {**SETTINGS, "write_buffer_bytes": 8 * MIB, "durability": durability}
    folder = disk.path / "db"
    store = MemoryStore(MemoryConfig(path=folder, **settings))
    writer = Writer(store)
    for _ in range(6):
        assert writer.write() == []
    disk.fill(leave_bytes)
    store.close()
    disk.make_room()
    writer.require_kept(folder, settings)


@pytest.mark.parametrize("leave_bytes", [0, 30_000, 500_000])
def test_a_database_on_a_full_disk_can_be_read_or_says_why_not(disk: SmallDisk, leave_bytes: int):
    """Opened without room, a store either has everything or is refused as full."""
    folder = disk.path / "db"
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        writer = Writer(store)
        for _ in range(10):
            assert writer.write() == []
    disk.fill(leave_bytes)
    try:
        wrong, _ = audit(folder, SETTINGS, writer.ledger)
    except StorageFullError:
        wrong = []
    assert wrong == []
    disk.make_room()
    writer.require_kept(folder)
