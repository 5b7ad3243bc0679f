"""What is restored of a backup is what was backed up, to any number of shards, or nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    CorruptionError,
    Delete,
    Retrieve,
    Store,
    Transition,
    verify,
)
from memory_core import backup_restoring as restoring
from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.backup_restoring import restore_to_folder
from memory_core.client import shard_of
from memory_core.log import Log
from tests.memory_core.backed_up import (
    config,
    names_in,
    restored_contents,
    shards,
    some,
)


@pytest.fixture
def repository(tmp_path: Path) -> BackupRepository:
    return BackupRepository(BackupPlace(str(tmp_path / "backups")), "m")


def test_a_restored_memory_is_the_one_that_was_backed_up(
    tmp_path: Path, repository: BackupRepository
):
    """Tiers, times, importance, vectors, steps and metadata are as they were at the backup."""
    with shards(tmp_path / "m", 2) as memory:
        memory.execute(some(0, 40))
        expected = memory.contents()
        manifest = memory.back_up(repository).manifest
        memory.execute(some(40, 10))
    restored = restore_to_folder(repository, manifest, tmp_path / "out")
    assert restored.folders == [str(tmp_path / "out" / f"shard-{n}") for n in range(2)]
    assert {memory.tier for agent in expected.values() for memory, _ in agent} == {
        "stm",
        "im",
        "ltm",
    }
    assert restored_contents(restored.folders) == expected
    assert all(verify(folder).is_clean for folder in restored.folders)
    with AgentMemorySystem(config(restored.folders[0])) as system:
        agent = next(agent for agent in expected if shard_of(agent, 2) == 0)
        assert system.retrieve_state(agent_id=agent, state_id="s39") is not None


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_a_memory_is_restored_to_another_number_of_shards(
    tmp_path: Path,
    repository: BackupRepository,
    monkeypatch: pytest.MonkeyPatch,
    before: int,
    after: int,
):
    """Every agent is whole in the shard that it belongs to, in its order, and nothing is added."""
    monkeypatch.setattr(restoring, "_TARGETS_TOGETHER", 2)
    with shards(tmp_path / "m", before) as memory:
        memory.execute(some(0, 40, agents=12))
        memory.execute([Store.of("a1", "s3", {"again": True}), Delete("a2", "s5")])
        memory.execute([Transition("ltm", 50.0, "a3"), Delete("a4")])
        expected = memory.contents()
        manifest = memory.back_up(repository).manifest
    restored = restore_to_folder(repository, manifest, tmp_path / "out", after)
    assert len(restored.folders) == after
    assert restored_contents(restored.folders) == expected
    assert restored.memories == sum(map(len, expected.values()))
    assert names_in(tmp_path / "out") == sorted(f"shard-{n}" for n in range(after))


@settings(max_examples=4)
@given(
    order=st.lists(st.sampled_from([1, 2, 3]), min_size=2, max_size=3),
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=30),
)
def test_a_restored_memory_goes_on_and_is_restored_again(order: list[int], numbers: list[int]):
    """Through any numbers of shards, what is stored after a restore stands beside what was."""
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        repository = BackupRepository(BackupPlace(str(folder / "backups")), "m")
        expected: dict[str, dict[str, int]] = {}
        here = folder / "0"
        for turn, count in enumerate(order):
            with shards(here, count) as memory:
                for number in numbers:
                    expected.setdefault(f"a{number % 4}", {})[f"s{number}"] = turn
                memory.execute(
                    Store.of(f"a{number % 4}", f"s{number}", {"turn": turn}) for number in numbers
                )
                assert {
                    agent: {one.state_id: one.state["turn"] for one, _ in memories}
                    for agent, memories in memory.contents().items()
                } == expected
                manifest = memory.back_up(repository).manifest
            here = folder / str(turn + 1)
            following = order[turn + 1] if turn + 1 < len(order) else 2
            restore_to_folder(repository, manifest, here, following)


def test_sequences_of_several_sources_stay_apart(tmp_path: Path, repository: BackupRepository):
    """Merged into one database no two memories have one sequence, as in any database."""
    with shards(tmp_path / "m", 3) as memory:
        memory.execute(some(0, 30))
        manifest = memory.back_up(repository).manifest
    [folder] = restore_to_folder(repository, manifest, tmp_path / "out", 1).folders
    log = Log(folder, config(folder))
    try:
        sequences = [
            int.from_bytes(value[:8], "little") for tier in range(3) for _, value in log.scan(tier)
        ]
    finally:
        log.close()
    assert len(sequences) == 150
    assert len(set(sequences)) == 150


def test_nothing_is_overwritten(tmp_path: Path, repository: BackupRepository):
    """A folder that holds something is refused and left alone."""
    with shards(tmp_path / "m", 1) as memory:
        manifest = memory.back_up(repository).manifest
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(BadInputError, match=r"to: .* is not free"):
        restore_to_folder(repository, manifest, tmp_path / "out")
    with pytest.raises(BadInputError, match="shards: must be from 1 to 10,000, not 0"):
        restore_to_folder(repository, manifest, tmp_path / "new", 0)
    assert names_in(tmp_path / "out") == ["mine"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", [2, 3])
def test_damage_leaves_nothing_that_looks_whole(
    tmp_path: Path, repository: BackupRepository, count: int
):
    """A flipped bit in any file of a backup is named, and no folder is made."""
    with shards(tmp_path / "m", 2) as memory:
        memory.execute(some(0, 20))
        manifest = memory.back_up(repository).manifest
    files = [path for path in (tmp_path / "backups").rglob("tables/*") if path.stat().st_size]
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(CorruptionError) as caught:
            restore_to_folder(repository, manifest, tmp_path / "out", count)
        assert str(path) in str(caught.value)
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert names_in(tmp_path) == ["backups", "m"]
    restore_to_folder(repository, manifest, tmp_path / "out", count)


def test_backups_beside_stores_have_what_was_acknowledged(
    tmp_path: Path, repository: BackupRepository
):
    """While a thread stores, each backup has all that was acknowledged before it, in order."""
    acknowledged: list[int] = []
    stop = threading.Event()
    with shards(tmp_path / "m", 2) as memory:

        def work() -> None:
            for number in range(100_000):
                if stop.is_set():
                    return
                memory.execute([Store.of(f"a{n}", f"s{number}", {"n": number}) for n in range(3)])
                acknowledged.append(number)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            taken = []
            for _ in range(4):
                floor = len(acknowledged)
                taken.append((floor, memory.back_up(repository).manifest))
        finally:
            stop.set()
            thread.join()
    for number, (floor, manifest) in enumerate(taken):
        folders = restore_to_folder(repository, manifest, tmp_path / f"out-{number}").folders
        for agent, memories in restored_contents(folders).items():
            assert [one.state_id for one, _ in memories] == [f"s{n}" for n in range(len(memories))]
            assert len(memories) >= floor, agent


_CHILD = """
import sys
from pathlib import Path
from memory_core import Store
from memory_core import backup_restoring as restoring
from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from memory_core.backup_restoring import restore_to_folder
from memory_core.shard_upload import remove_stale_checkpoints
from tests.memory_core.backed_up import shards, some
folder = Path(sys.argv[1])
repository = BackupRepository(BackupPlace(str(folder / "backups")), "m")
with shards(folder / "m", 2) as memory:
    for number in range(1_000_000):
        memory.execute(some(number * 3, 3))
        manifest = memory.back_up(repository).manifest
        print(manifest.backup, flush=True)
        restore_to_folder(repository, manifest, folder / f"out-{number}", 1 + number % 3)
        print("restored", flush=True)
"""


@pytest.mark.fault
@pytest.mark.parametrize("attempt", range(3))
def test_a_kill_leaves_whole_backups_and_whole_restores(tmp_path: Path, attempt: int):
    """Killed at any moment, what is listed is whole, as are what was restored and the store."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    try:
        told = [child.stdout.readline().strip() for _ in range(3 + attempt)]
        threading.Event().wait(0.01 * attempt)  # somewhere within what comes next
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    repository = BackupRepository(BackupPlace(str(tmp_path / "backups")), "m")
    listing = repository.listing()
    assert listing.damaged == []
    assert {one for one in told if one != "restored"} <= {one.backup for one in listing.backups}
    for number, manifest in enumerate(listing.backups):
        folders = restore_to_folder(repository, manifest, tmp_path / f"again-{number}").folders
        found = restored_contents(folders)
        assert {len(memories) for memories in found.values()} == {3 * (number + 1)}
    for path in tmp_path.glob("out-*"):
        if ".partial-" not in path.name:
            found = restored_contents(sorted(path.iterdir()))
            assert {len(memories) for memories in found.values()} == {3 * (int(path.name[4:]) + 1)}
    with shards(tmp_path / "m", 2) as memory:
        assert len(memory.contents()) == 5


def test_a_backup_of_an_open_store_is_of_its_folder_only(
    tmp_path: Path, repository: BackupRepository
):
    """After a backup nothing but the database is where the database is."""
    with shards(tmp_path / "m", 1) as memory:
        memory.execute(some(0, 20))
        memory.back_up(repository)
        assert names_in(tmp_path / "m") == ["shard-0"]
        [result] = memory.stores[0].execute([Retrieve("a1", "s1")])
        assert type(result).__name__ == "Record"


def test_an_empty_memory_is_restored(tmp_path: Path, repository: BackupRepository):
    """A memory without memories has backups, too."""
    with shards(tmp_path / "m", 2) as memory:
        manifest = memory.back_up(repository).manifest
    for count in (2, 3):
        folders = restore_to_folder(repository, manifest, tmp_path / str(count), count).folders
        assert restored_contents(folders) == {}
