"""A backup holds what was acknowledged before it, and is whole or not there."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    CorruptionError,
    Describe,
    LockedError,
    MemoryConfig,
    MemoryStore,
    Record,
    Retrieve,
    Store,
    UnavailableError,
)
from memory_core.backup import restore
from memory_core.inspection import verify

SETTINGS: dict[str, Any] = {"dimension": 8, "stm_capacity": 30, "im_capacity": 20}


def config(folder: Path | str) -> MemoryConfig:
    return MemoryConfig(path=folder, **SETTINGS)


def fill(store: MemoryStore, first: int, count: int) -> None:
    batch = [Store.of("a", f"s{n}", {"number": n}) for n in range(first, first + count)]
    store.execute(batch)


def numbers(folder: Path | str) -> set[int]:
    """The numbers of the memories in a database, each of them right."""
    with MemoryStore(config(folder)) as store:
        results = store.execute([Retrieve("a", f"s{n}") for n in range(2_000)])
        [described] = store.execute([Describe()])
    found = {
        number
        for number, result in enumerate(results)
        if isinstance(result, Record) and result.state == {"number": number}
    }
    assert described.counts.total == len(found)
    return found


def test_a_backup_has_what_was_acknowledged_before_it(tmp_path: Path):
    """What was stored before is in it, what is stored after is not, and the store goes on."""
    with MemoryStore(config(tmp_path / "db")) as store:
        fill(store, 0, 100)
        assert store.backup(tmp_path / "backup") == str(tmp_path / "backup")
        fill(store, 100, 50)
        assert verify(tmp_path / "backup").memories == 100
    assert numbers(tmp_path / "backup") == set(range(100))
    assert numbers(tmp_path / "db") == set(range(150))


def test_a_restored_database_shares_nothing_with_its_backup(tmp_path: Path):
    """A restored database is a store of its own; the backup stays as it was."""
    with MemoryStore(config(tmp_path / "db")) as store:
        fill(store, 0, 100)
        store.backup(tmp_path / "backup")
    (tmp_path / "restored").mkdir()
    restored = restore(tmp_path / "backup", tmp_path / "restored")
    assert (restored.path, restored.memories) == (str(tmp_path / "restored"), 100)
    with MemoryStore(config(tmp_path / "restored")) as store:
        fill(store, 100, 100)
    for path in (tmp_path / "backup").iterdir():
        twin = tmp_path / "restored" / path.name
        assert not twin.exists() or not path.samefile(twin)
    assert verify(tmp_path / "backup").memories == 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "db", "restored"]


def test_backups_beside_stores_are_whole(tmp_path: Path):
    """While threads store, each backup is clean and has all that was acknowledged before it."""
    stop = threading.Event()
    acknowledged: list[int] = []
    with MemoryStore(config(tmp_path / "db")) as store:

        def work() -> None:
            for first in range(0, 2_000, 2):
                if stop.is_set():
                    return
                fill(store, first, 2)
                acknowledged.append(first)

        thread = threading.Thread(target=work)
        thread.start()
        floors = []
        try:
            for number in range(5):
                floors.append(len(acknowledged))
                store.backup(tmp_path / f"backup-{number}")
        finally:
            stop.set()
            thread.join()
    for number, floor in enumerate(floors):
        assert verify(tmp_path / f"backup-{number}").is_clean
        found = numbers(tmp_path / f"backup-{number}")
        assert found == set(range(len(found)))
        assert len(found) >= 2 * floor
        assert len(found) % 2 == 0  # a batch is in it whole or not at all


def test_a_backup_overwrites_nothing(tmp_path: Path):
    """A folder that holds something, or a file, is refused and left alone; an empty one is used."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with MemoryStore(config(tmp_path / "db")) as store:
        fill(store, 0, 3)
        for name in ("full", "full/file"):
            with pytest.raises(BadInputError, match=r"folder: .* is not free"):
                store.backup(tmp_path / name)
        store.backup(tmp_path / "empty")
    with pytest.raises(BadInputError, match=r"path: .* is not free"):
        restore(tmp_path / "empty", tmp_path / "full")
    assert (tmp_path / "full" / "file").read_text() == "x"
    assert numbers(tmp_path / "empty") == {0, 1, 2}


def test_a_closed_store_makes_no_backup(tmp_path: Path):
    """Asked after close(), a backup fails and leaves nothing behind."""
    store = MemoryStore(config(tmp_path / "db"))
    store.close()
    with pytest.raises(UnavailableError, match="closed"):
        store.backup(tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_closing_waits_for_a_backup(tmp_path: Path):
    """A store that is closed while a backup is made leaves a whole one, or none."""
    for attempt in range(5):
        folder = tmp_path / f"backup-{attempt}"
        store = MemoryStore(config(tmp_path / f"db-{attempt}"))
        fill(store, 0, 200)
        outcome: list[object] = []

        def back_up(store=store, folder=folder, outcome=outcome) -> None:
            try:
                outcome.append(store.backup(folder))
            except UnavailableError as error:
                outcome.append(error)

        thread = threading.Thread(target=back_up)
        thread.start()
        store.close()
        thread.join()
        if isinstance(outcome[0], UnavailableError):
            assert not folder.exists()
        else:
            assert numbers(folder) == set(range(200))


def test_a_damaged_backup_is_not_restored(tmp_path: Path):
    """A backup is verified first; damage is named and nothing is made of it."""
    with MemoryStore(config(tmp_path / "db")) as store:
        fill(store, 0, 100)
        store.backup(tmp_path / "backup")
    table = max((tmp_path / "backup").glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 4
    table.write_bytes(data)
    with pytest.raises(CorruptionError) as caught:
        restore(tmp_path / "backup", tmp_path / "restored")
    assert caught.value.path == str(table)
    assert not (tmp_path / "restored").exists()


def test_an_open_database_is_not_restored_from(tmp_path: Path):
    """The folder of a store that is open is no backup."""
    with MemoryStore(config(tmp_path / "db")), pytest.raises(LockedError):
        restore(tmp_path / "db", tmp_path / "restored")


@pytest.mark.slow
@pytest.mark.fault
def test_a_killed_backup_leaves_no_folder_that_opens(tmp_path: Path):
    """Killed at any point of backups, what has a backup's name is whole, and so is the store."""
    child_code = textwrap.dedent("""
        import sys, shutil
        from memory_core import MemoryConfig, MemoryStore, Store
        settings = {"dimension": 8, "stm_capacity": 30, "im_capacity": 20}
        store = MemoryStore(MemoryConfig(path=sys.argv[1] + "/db", **settings))
        for number in range(2000):
            store.execute([Store.of("a", f"s{number}", {"number": number})])
            store.backup(f"{sys.argv[1]}/backup-{number}")
            print(number, flush=True)
    """)
    for attempt in range(4):
        base = tmp_path / str(attempt)
        base.mkdir()
        child = subprocess.Popen(
            [sys.executable, "-c", child_code, base], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            for _ in range(3 + attempt):
                last = int(child.stdout.readline())
            # somewhere within the next backup
            threading.Event().wait(attempt * 0.004)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        assert numbers(base / "db") >= set(range(last + 1))
        made = [path for path in base.iterdir() if path.name.startswith("backup-")]
        whole = [path for path in made if ".partial-" not in path.name]
        assert len(whole) > last
        for folder in whole:
            assert numbers(folder) == set(range(int(folder.name[7:]) + 1))
        shutil.rmtree(base)


def test_a_backup_is_not_made_inside_the_database(tmp_path: Path):
    """There a repair would move it away with the damaged files; nothing is made."""
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "db")) as memory:
        memory.store_agent_state(agent_id="a", state_id="s", state_data={"x": 1})
        with pytest.raises(BadInputError, match="database's own folder"):
            memory.backup(folder=tmp_path / "db" / "backup")
        assert not (tmp_path / "db" / "backup").exists()
        assert Path(memory.backup(folder=tmp_path / "backup")) == tmp_path / "backup"
