"""Backups of a memory whose shards are Ray actors, while it works, is killed, and fails."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory_core import BadInputError, Done, MemoryConfig, Store, UnavailableError
from memory_core.backups import find_backup, list_backups, restore_to_folder
from memory_core.placement import Shards, find_shards, start_shards
from memory_core.ray_memory import RayMemory
from tests.memory_core.backed_up import SETTINGS, restored_contents

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("ray_here")]

WAIT_S = 60.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Shards]]:
    """Starts memories, and stops them when the test is over."""
    started: list[Shards] = []

    def begin(name: str, shards: int = 2) -> Shards:
        started.append(start_shards(name, shards, MemoryConfig(path=tmp_path / name, **SETTINGS)))
        return started[-1]

    yield begin
    for one in started:
        one.stop()


def store(memory: RayMemory, first: int, count: int) -> None:
    operations = [
        Store.of(f"a{agent}", f"s{number}", {"number": number})
        for number in range(first, first + count)
        for agent in range(5)
    ]
    assert all(isinstance(one, Done) for one in memory.execute(operations))


def counts(place: Path, name: str, target: Path, backup: str | None = None) -> set[int]:
    """How many memories the agents have in a backup."""
    repository, manifest = find_backup(str(place), name, backup)
    folders = restore_to_folder(repository, manifest, target).folders
    return {len(memories) for memories in restored_contents(folders).values()}


def test_a_working_memory_is_backed_up(start: Callable[..., Shards], tmp_path: Path):
    """While agents store, each backup has what was acknowledged before it, and adds little."""
    from memory_core.cluster_backup import back_up_memory

    start("worked")
    place, stop = tmp_path / "place", threading.Event()
    done: list[int] = []

    def work() -> None:
        with RayMemory("worked") as memory:
            for number in range(100_000):
                if stop.is_set():
                    return
                store(memory, number, 1)
                done.append(number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        taken = []
        for _ in range(3):
            floor = len(done)
            taken.append((floor, back_up_memory("worked", str(place), keep=2).manifest))
    finally:
        stop.set()
        thread.join()
    assert [one.backup for one in list_backups(str(place))["worked"].backups] == [
        one.backup for _, one in taken[1:]
    ]
    [info, _] = find_shards("worked")
    assert taken[0][1].memory_id == info.memory_id
    assert taken[0][1].generation == 1
    assert taken[0][1].settings["stm_capacity"] == SETTINGS["stm_capacity"]
    for number, (floor, manifest) in enumerate(taken[1:]):
        found = counts(place, "worked", tmp_path / f"out-{number}", manifest.backup)
        assert min(found) >= floor
    assert sorted(path.name for path in (tmp_path / "worked").glob("*checkpoint*")) == []


@pytest.mark.fault
def test_a_shard_that_is_killed_leaves_no_backup(start: Callable[..., Shards], tmp_path: Path):
    """Killed while it uploads, a shard is named; nothing counts; the next backup is whole."""
    from memory_core.cluster_backup import back_up_memory

    shards = start("killed")
    place = tmp_path / "place"
    with RayMemory("killed") as memory:
        store(memory, 0, 30)
        victim = shards.infos[1]
        problems: list[Exception] = []

        def back_up() -> None:
            try:  # at so low a rate that it would go on for minutes
                back_up_memory("killed", str(place), rate_bytes_s=500)
            except UnavailableError as error:
                problems.append(error)

        thread = threading.Thread(target=back_up)
        thread.start()
        deadline = time.monotonic() + WAIT_S
        while not list((tmp_path / "killed").glob("shard-1.checkpoint-*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
        thread.join(WAIT_S)
        assert not thread.is_alive()  # the other shard has given its own part up
        assert "shard 1 on host" in str(problems[0])
        assert list_backups(str(place)).get("killed") is None
        store(memory, 30, 5)  # answered by shards that were started again
        back_up_memory("killed", str(place))
    assert counts(place, "killed", tmp_path / "out") == {35}
    assert list((tmp_path / "killed").glob("*checkpoint*")) == []


def test_what_cannot_be_backed_up_is_said(start: Callable[..., Shards], tmp_path: Path):
    """A memory that does not run, a place in the way, and a busy shard are named; nothing stays."""
    from memory_core.cluster_backup import back_up_memory

    with pytest.raises(UnavailableError, match="no memory named 'nobody' is running"):
        back_up_memory("nobody", str(tmp_path / "place"))
    start("said", 1)
    with RayMemory("said") as memory:
        store(memory, 0, 5)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match=r"file/said.* cannot be written"):
        back_up_memory("said", str(tmp_path / "file"))
    with pytest.raises(BadInputError, match="keep"):
        back_up_memory("said", str(tmp_path / "place"), keep=0)
