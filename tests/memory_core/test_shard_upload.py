"""A shard uploads what is new, at a bounded rate, and leaves nothing beside its database."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory_core import MemoryStore, OverloadedError, StorageFullError, UnavailableError
from memory_core import shard_upload as uploading
from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.shard_upload import Pace, ShardUploads, remove_stale_checkpoints
from tests.memory_core.backed_up import FAST, config, names_in, shards, some


@pytest.fixture
def repository(tmp_path: Path) -> BackupRepository:
    return BackupRepository(BackupPlace(str(tmp_path / "backups")), "m")


def test_only_what_is_new_is_uploaded(tmp_path: Path, repository: BackupRepository):
    """A second backup writes the new tables and the list of them; one without changes, no table."""
    with shards(tmp_path / "m", 1) as memory:
        memory.execute(some(0, 60))
        first = memory.back_up(repository).manifest
        memory.execute(some(60, 5))
        before = {path.name for path in (tmp_path / "backups").rglob("tables/*")}
        second = memory.back_up(repository).manifest
        added = {path.name for path in (tmp_path / "backups").rglob("tables/*")} - before
        third = memory.back_up(repository).manifest
    old = {one.sha256 for one in first.shards[0].files}
    new = {one.sha256: one.size_bytes for one in second.shards[0].files if one.sha256 not in old}
    assert added == set(new)
    assert second.new_bytes == sum(new.values())
    assert second.new_bytes + second.reused_bytes == second.size_bytes
    assert second.reused_bytes > 0
    assert not any(
        one.name.endswith(".sst")
        for one in third.shards[0].files
        if one.sha256 not in new.keys() | old
    )


def test_a_known_table_is_not_read_again(
    tmp_path: Path, repository: BackupRepository, monkeypatch: pytest.MonkeyPatch
):
    """The checksum of a table is made once, however many backups have it."""
    read: list[str] = []
    summed = uploading.checksum
    monkeypatch.setattr(
        uploading,
        "checksum",
        lambda path, pace: read.append(Path(path).name) or summed(path, pace),
    )
    with shards(tmp_path / "m", 1) as memory:
        memory.execute(some(0, 40))
        memory.back_up(repository)
        assert any(name.endswith(".sst") for name in read)
        read.clear()
        memory.back_up(repository)
    assert read
    assert not any(name.endswith(".sst") for name in read)


def test_work_is_paced():
    """However fast the disk is, no more than the rate goes through in a second."""
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(1_000.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(50):
        pace(100)
    assert now[0] == pytest.approx(105.0)
    now[0] += 60  # a pause earns no burst of more than a second
    for _ in range(20):
        pace(100)
    assert now[0] >= 166.0 - 1e-6
    assert max(slept) <= 1.0


def test_a_shard_makes_one_part_at_a_time(tmp_path: Path, repository: BackupRepository):
    """A second part is refused while one is made; after it there may be another."""
    refused: list[str] = []
    with MemoryStore(config(tmp_path / "db")) as store:
        uploads = ShardUploads(3, store.path)

        def checkpoint(folder: str) -> None:
            store.checkpoint(folder)
            with pytest.raises(OverloadedError, match="shard 3 makes a backup already") as caught:
                uploads.run(store.checkpoint, repository, FAST)
            refused.append(str(caught.value))

        uploads.run(checkpoint, repository, FAST)
        uploads.run(store.checkpoint, repository, FAST)
    assert len(refused) == 1


def test_a_part_that_is_given_up_ends(tmp_path: Path, repository: BackupRepository):
    """Given up while it is made, a part fails, leaves nothing behind, and the next is made."""
    with MemoryStore(config(tmp_path / "db" / "shard-0")) as store:
        uploads = ShardUploads(0, store.path)

        def checkpoint(folder: str) -> None:
            store.checkpoint(folder)
            uploads.give_up()

        with pytest.raises(UnavailableError, match="backup of shard 0 was given up"):
            uploads.run(checkpoint, repository, FAST)
        assert names_in(tmp_path / "db") == ["shard-0"]
        uploads.run(store.checkpoint, repository, FAST)


@pytest.mark.parametrize(
    "error", [StorageFullError("x", "is full"), UnavailableError("away"), OSError(5, "I/O error")]
)
def test_a_part_that_fails_leaves_no_checkpoint(
    tmp_path: Path, repository: BackupRepository, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    """Whatever the repository does, the checkpoint goes and the next backup is made."""

    def fail(*_: object) -> None:
        raise error

    with shards(tmp_path / "m", 1) as memory:
        memory.execute(some(0, 20))
        with monkeypatch.context() as patched:
            patched.setattr(repository, "add", fail)
            with pytest.raises(Exception, match=r"full|away|I/O error"):
                memory.back_up(repository)
        assert names_in(tmp_path / "m") == ["shard-0"]
        assert repository.listing().backups == []
        assert repository.listing().unfinished == []
        memory.back_up(repository)
    assert len(repository.listing().backups) == 1


def test_stale_checkpoints_go_and_nothing_else(tmp_path: Path):
    """What a killed shard left is removed; other shards' folders and files stay."""
    for name in ("shard-1", "shard-1.checkpoint-ab", "shard-1.checkpoint-ab.partial-x"):
        (tmp_path / name / "database").mkdir(parents=True)
    for name in ("shard-10.checkpoint-ab", "shard-10", "shard-1.damaged"):
        (tmp_path / name).mkdir()
    (tmp_path / "shard-1.json").touch()
    assert len(remove_stale_checkpoints(str(tmp_path / "shard-1"))) == 2
    assert names_in(tmp_path) == sorted(
        ["shard-1", "shard-10", "shard-10.checkpoint-ab", "shard-1.damaged", "shard-1.json"]
    )
