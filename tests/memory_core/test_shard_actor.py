"""The actor around a store, without Ray: it opens its store anew after a failure, once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    CorruptionError,
    Done,
    Failure,
    LockedError,
    MemoryConfig,
    MemoryStore,
    Record,
    Retrieve,
    StorageFullError,
    Store,
    UnavailableError,
)
from memory_core.log import Log
from memory_core.shard import ShardActor
from memory_core.wire import Batch, decode_reply, encode_batch


@pytest.fixture(autouse=True)
def _keep_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_core.shard.gc.freeze", lambda: None)
    monkeypatch.setattr("memory_core.shard.gc.set_threshold", lambda *_: None)


def actor(path: Path) -> ShardActor:
    return ShardActor("memory", 0, 1, MemoryConfig(path=path, dimension=8))


def execute(shard: ShardActor, *operations: Any) -> list[Any]:
    return decode_reply(shard.execute(encode_batch(Batch("", 0, list(operations))))).results


@pytest.mark.fault
def test_a_store_that_refuses_writes_is_opened_anew_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """After a failed write the next batches find the store open again, however many come."""
    shard = actor(tmp_path)
    assert execute(shard, Store("a", "s", b"\x80")) == [Done()]

    def full(log: Log) -> None:
        raise StorageFullError(log.path, "injected")

    with monkeypatch.context() as patched:
        patched.setattr(Log, "sync", full)
        [failure] = execute(shard, Store("a", "t", b"\x80"))
        assert isinstance(failure, Failure)
    outcomes: list[Any] = []
    barrier = threading.Barrier(8)

    def store(number: int) -> None:
        barrier.wait(30)
        try:
            outcomes.extend(execute(shard, Store("a", f"u{number}", b"\x80")))
        except Exception as error:  # noqa: BLE001 - looked at below
            outcomes.append(error)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # one that met the old store while it was being replaced may be told to try again
    assert len(outcomes) == 8
    assert all(one == Done() or isinstance(one, UnavailableError) for one in outcomes), outcomes
    assert shard._opened == 2
    assert execute(shard, Store("a", "v", b"\x80"), Retrieve("a", "s"))[0] == Done()
    shard.close()


@pytest.mark.fault
def test_a_store_opened_anew_knows_the_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A batch that was given up overwrites nothing newer, though a write failed in between."""
    shard = actor(tmp_path)

    def send(number: int, state: bytes) -> list[Any]:
        batch = Batch("lane", number, [Store("a", "s", state)])
        return decode_reply(shard.execute(encode_batch(batch))).results

    def full(log: Log) -> None:
        raise StorageFullError(log.path, "injected")

    assert send(5, b"\x81\xa1v\x02") == [Done()]
    with monkeypatch.context() as patched:
        patched.setattr(Log, "sync", full)
        assert isinstance(send(6, b"\x80")[0], Failure)
    (tmp_path / "CURRENT").rename(tmp_path / "away")
    with pytest.raises(CorruptionError):
        send(7, b"\x80")
    (tmp_path / "away").rename(tmp_path / "CURRENT")
    with pytest.raises(UnavailableError, match="later batch"):
        send(4, b"\x81\xa1v\x01")
    assert shard._opened == 2
    assert execute(shard, Retrieve("a", "s"))[0].payload != b"\x81\xa1v\x01"
    assert send(8, b"\x80") == [Done()]
    shard.close()


@pytest.mark.fault
def test_a_store_that_cannot_be_opened_says_so_to_each_who_asks(tmp_path: Path):
    """A damaged database is a CorruptionError to callers, and serves when it is whole again."""
    with MemoryStore(MemoryConfig(path=tmp_path, dimension=8)) as store:
        store.execute([Store("a", "s", b"\x80")])
    current = (tmp_path / "CURRENT").read_bytes()
    (tmp_path / "CURRENT").unlink()
    shard = actor(tmp_path)
    for _ in range(2):
        with pytest.raises(CorruptionError, match="CURRENT"):
            execute(shard, Retrieve("a", "s"))
        with pytest.raises(CorruptionError, match="CURRENT"):
            shard.info()
    (tmp_path / "CURRENT").write_bytes(current)
    [found] = execute(shard, Retrieve("a", "s"))
    assert isinstance(found, Record)
    shard.close()


def test_a_store_that_is_still_locked_is_worth_another_try(tmp_path: Path):
    """While the shard's process of before has the folder, batches are unavailable: tried again."""
    with MemoryStore(MemoryConfig(path=tmp_path, dimension=8)) as former:
        shard = actor(tmp_path)
        with pytest.raises(UnavailableError, match="open"):
            execute(shard, Retrieve("a", "s"))
        with pytest.raises(LockedError):
            shard.info()
        former.execute([Store("a", "s", b"\x80")])
    assert isinstance(execute(shard, Retrieve("a", "s"))[0], Record)
    shard.close()


def test_a_closed_shard_stays_closed(tmp_path: Path):
    """After close nothing opens the folder again, so that it can be removed."""
    shard = actor(tmp_path)
    shard.close()
    shard.close()
    with pytest.raises(UnavailableError, match="closed"):
        execute(shard, Retrieve("a", "s"))
    MemoryStore(MemoryConfig(path=tmp_path, dimension=8)).close()
