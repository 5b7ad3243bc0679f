"""`MemoryStore` when writing fails, and when it is closed while others still use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    Counts,
    Describe,
    Described,
    Done,
    Failure,
    Hits,
    MemoryConfig,
    MemoryStore,
    Missing,
    Record,
    Retrieve,
    Search,
    StateEncoder,
    StorageFullError,
    Store,
    Transition,
    UnavailableError,
)
from memory_core.log import Log
from memory_core.payload import pack_state


def state(number: int) -> bytes:
    return pack_state({"number": number})


@pytest.fixture
def config(tmp_path: Path) -> MemoryConfig:
    return MemoryConfig(path=tmp_path / "db", dimension=8, stm_capacity=4, im_capacity=4)


@pytest.fixture
def store(config: MemoryConfig) -> Iterator[MemoryStore]:
    with MemoryStore(config) as store:
        yield store


def everything(store: MemoryStore) -> list[Any]:
    """All that can be read of agents a and b, in a form that compares."""
    results = store.execute(
        [
            Describe(),
            *[Retrieve(agent, f"s{number}") for agent in "ab" for number in range(12)],
            *[Search(agent, state(3), None, 50) for agent in "ab"],
        ]
    )
    for hits in results[-2:]:
        hits.hits.sort(key=lambda hit: hit.state_id)
    return results


def fail_once(monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool) -> None:
    """Have the next write or sync raise, before or after it has done its work."""
    real: Callable[..., None] = getattr(Log, step)
    failed: list[bool] = []

    def failing(log: Log, *arguments: Any) -> None:
        if failed:
            return real(log, *arguments)
        failed.append(True)
        if after:
            real(log, *arguments)
        raise StorageFullError(log.path, "the disk has no room (injected)")

    monkeypatch.setattr(Log, step, failing)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("step", "after"), [("write", False), ("write", True), ("sync", False), ("sync", True)]
)
def test_a_write_that_fails_leaves_the_tables_as_the_database_is(
    store: MemoryStore,
    config: MemoryConfig,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
):
    """A failed write is its operations' failure; what is read is what a reopened store has."""
    store.execute([Store("a", f"s{number}", state(number)) for number in range(10)])
    fail_once(monkeypatch, step, after=after)
    results = store.execute(
        [
            Store("a", "s1", state(99)),
            Transition("im", 100.0),
            Describe("unknown"),
            Store("b", "s1", state(1)),
        ]
    )
    assert [type(one) for one in results] == [Failure, Failure, Described, Failure]
    # a transition is a batch of its own
    errors = [one.error for one in results if isinstance(one, Failure)]
    assert errors == ["StorageFullError", "UnavailableError", "UnavailableError"]
    seen = everything(store)
    store.close()
    with MemoryStore(config) as again:
        assert everything(again) == seen
        counts = seen[0].counts
        assert sum(isinstance(one, Record) for one in seen) == counts.total
        assert sum(len(one.hits) for one in seen[-2:]) == counts.total
        assert again.execute([Store("a", "s1", state(7))]) == [Done()]


@pytest.mark.fault
def test_nothing_read_in_a_batch_shows_a_write_of_it_that_was_not_kept(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
):
    """Reads that shared a batch with a failed write give what the database holds."""
    store.execute([Store("a", "s1", state(1))])
    fail_once(monkeypatch, "write", after=False)
    results = store.execute(
        [
            Store("a", "s1", state(2)),
            Store("a", "s2", state(2)),
            Retrieve("a", "s1"),
            Retrieve("a", "s2"),
            Search("a", state(2)),
            Describe("a"),
        ]
    )
    assert isinstance(results[2], Record)
    assert results[2].payload == state(1)
    assert isinstance(results[3], Missing)
    assert isinstance(results[4], Hits)
    assert [hit.payload for hit in results[4].hits] == [state(1)]
    assert results[5] == Described(1, Counts(stm=1), Counts(stm=len(state(1))))


@pytest.mark.fault
def test_after_a_failed_write_the_store_reads_but_refuses_writes_until_opened_again(
    store: MemoryStore, config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
):
    """Nobody can say what the disk would hold, so writes wait for the store to be reopened."""
    store.execute([Store("a", "s1", state(1))])
    assert store.refusal is None
    fail_once(monkeypatch, "sync", after=True)
    store.execute([Store("a", "s2", state(2))])
    assert store.refusal is not None
    stored, moved, found = store.execute(
        [Store("a", "s3", state(3)), Transition("im", 100.0), Retrieve("a", "s1")]
    )
    for refused in (stored, moved):
        assert isinstance(refused, Failure)
        assert isinstance(refused.exception(), UnavailableError)
        assert "open the store again" in str(refused.exception())
    assert isinstance(found, Record)
    store.close()
    with MemoryStore(config) as again:
        assert again.execute([Store("a", "s3", state(3))]) == [Done()]


@pytest.mark.parametrize(("durability", "synced"), [("fsync", True), ("os", False)])
def test_a_store_is_acknowledged_only_when_it_is_as_durable_as_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, synced: bool
):
    """With fsync each batch that writes is written and then synced before anybody is told."""
    steps: list[str] = []
    for step in ("write", "sync"):
        real = getattr(Log, step)

        def noted(*arguments: Any, real: Any = real, step: str = step) -> None:
            real(*arguments)
            steps.append(step)

        monkeypatch.setattr(Log, step, noted)
    with MemoryStore(MemoryConfig(path=tmp_path, durability=durability)) as store:
        for batch, writes in [
            ([Store("a", "s", b"\x80"), Store("a", "t", b"\x80")], True),
            ([Retrieve("a", "s"), Search("a", b"\x80"), Describe()], False),
            ([Transition("im", 100.0)], True),
            ([Store("", "s", b"\x80")], False),
        ]:
            steps.clear()
            store.execute(batch)
            expected = ["write", "sync"] if synced else ["write"]
            assert steps == (expected if writes else [])


def test_closing_twice_is_closing_once(store: MemoryStore):
    """A second close does nothing; an operation after it is an UnavailableError."""
    store.close()
    store.close()
    with pytest.raises(UnavailableError, match="closed"):
        store.execute([Describe()])


class GatedEncoder(StateEncoder):
    """Waits at a gate, so that a test decides how long a batch takes."""

    def __init__(self) -> None:
        super().__init__(8)
        self.arrived, self.gate = threading.Event(), threading.Event()

    def encode(self, states: Any) -> Any:
        self.arrived.set()
        self.gate.wait(30)
        return super().encode(states)


def test_closing_among_others_batches_closes_and_fails_only_what_comes_too_late(tmp_path: Path):
    """A close that shares a group with batches returns; they are done or UnavailableError."""
    encoder = GatedEncoder()
    store = MemoryStore(MemoryConfig(path=tmp_path, dimension=8, encoder=encoder))
    outcomes: dict[str, Any] = {}

    def run(name: str, call: Callable[[], Any]) -> threading.Thread:
        def recorded() -> None:
            try:
                outcomes[name] = call()
            except Exception as error:  # noqa: BLE001 - looked at below
                outcomes[name] = error

        thread = threading.Thread(target=recorded)
        thread.start()
        return thread

    threads = [run("first", lambda: store.execute([Store("a", "first", state(1))]))]
    assert encoder.arrived.wait(30)
    for number in range(6):
        name = f"close-{number}" if number in {2, 4} else f"store-{number}"
        call = (
            store.close
            if number in {2, 4}
            else lambda name=name: store.execute([Store("a", name, state(2))])
        )
        threads.append(run(name, call))
    encoder.gate.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert outcomes["first"] == [Done()]
    assert (outcomes["close-2"], outcomes["close-4"]) == (None, None)
    stored = {name for name, outcome in outcomes.items() if outcome == [Done()]}
    late = {name: outcome for name, outcome in outcomes.items() if name not in stored}
    for name, outcome in late.items():
        assert outcome is None or isinstance(outcome, UnavailableError), (name, outcome)
    with MemoryStore(MemoryConfig(path=tmp_path, dimension=8)) as again:
        results = again.execute([Retrieve("a", name) for name in sorted(outcomes)])
    kept = {
        name
        for name, result in zip(sorted(outcomes), results, strict=True)
        if isinstance(result, Record)
    }
    assert kept == stored


@pytest.mark.fault
def test_a_store_whose_write_failed_can_be_closed(
    config: MemoryConfig, monkeypatch: pytest.MonkeyPatch
):
    """Closing needs no tables, so it works in whatever state a failure has left the store."""
    store = MemoryStore(config)
    fail_once(monkeypatch, "write", after=False)
    store.execute([Store("a", "s1", state(1))])
    store.close()
    MemoryStore(config).close()
