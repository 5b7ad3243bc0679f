"""Group commit: many threads share commits, each sees its own writes, and nobody is left behind."""

from __future__ import annotations

import dis
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    Describe,
    Done,
    MemoryConfig,
    MemoryStore,
    Moved,
    Record,
    Retrieve,
    Search,
    Store,
    Transition,
    UnavailableError,
    group_commit,
)
from memory_core.group_commit import GroupCommit
from memory_core.log import Log
from memory_core.payload import pack_state

THREADS = 16
WAIT_S = 30.0


def start(call: Callable[[], Any], outcomes: dict[str, Any], name: str) -> threading.Thread:
    """Run a call in a thread that notes what it returned or raised."""

    def noted() -> None:
        try:
            outcomes[name] = call()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            outcomes[name] = error

    thread = threading.Thread(target=noted, name=name, daemon=True)
    thread.start()
    return thread


def join(threads: Iterable[threading.Thread]) -> None:
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), f"{thread.name} waits for ever"


def until(condition: Callable[[], bool]) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.001)


def test_each_thread_reads_its_own_writes_and_all_are_there_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """16 agents on threads of their own: no write is lost, mixed up or seen late."""
    syncs: list[int] = []
    real_sync = Log.sync
    monkeypatch.setattr(Log, "sync", lambda log: (syncs.append(1), real_sync(log))[1])
    config = MemoryConfig(path=tmp_path, dimension=8, stm_capacity=7, im_capacity=9)
    stores_each = 60
    barrier = threading.Barrier(THREADS)

    def live(store: MemoryStore, agent: str) -> dict[str, int]:
        latest: dict[str, int] = {}
        barrier.wait(WAIT_S)
        for number in range(stores_each):
            state_id = f"s{number * 7 % 25}"
            payload = pack_state({"agent": agent, "number": number})
            assert store.execute([Store(agent, state_id, payload)]) == [Done()]
            latest[state_id] = number
            [record] = store.execute([Retrieve(agent, state_id)])
            assert isinstance(record, Record)
            assert record.state == {"agent": agent, "number": number}
            if number % 20 == 19:
                [moved] = store.execute([Transition("im", 50.0, agent)])
                assert isinstance(moved, Moved)
                [found] = store.execute([Search(agent, payload, None, 100)])
                assert {h.state_id: h.state["number"] for h in found.hits} == latest
        return latest

    with MemoryStore(config) as store:
        outcomes: dict[str, Any] = {}
        join(
            [
                start(
                    lambda agent=f"agent-{number}": live(store, agent), outcomes, f"agent-{number}"
                )
                for number in range(THREADS)
            ]
        )
        assert not [one for one in outcomes.values() if isinstance(one, BaseException)], outcomes
    stores = THREADS * stores_each
    assert len(syncs) < stores / 2, f"{len(syncs)} syncs for {stores} stores"
    with MemoryStore(config) as again:
        for agent, latest in outcomes.items():
            [described, *records] = again.execute(
                [Describe(agent), *[Retrieve(agent, state_id) for state_id in latest]]
            )
            assert described.counts.total == len(latest)
            assert [record.state for record in records] == [
                {"agent": agent, "number": number} for number in latest.values()
            ]


class Gated:
    """Notes the groups that it is given; waits at a gate, and raises when told to."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.running = 0
        self.arrived, self.gate = threading.Event(), threading.Event()
        self.raises: dict[Any, BaseException] = {}

    def __call__(self, group: list[Any]) -> None:
        self.running += 1
        assert self.running == 1, "two groups at a time"
        self.groups.append(list(group))
        self.arrived.set()
        try:
            assert self.gate.wait(WAIT_S)
            for work in group:
                if work in self.raises:
                    raise self.raises[work]
        finally:
            self.running -= 1


@pytest.fixture
def gated() -> Gated:
    return Gated()


def waiting(commit: GroupCommit[Any]) -> int:
    return len(commit._waiting)


def begin(
    commit: GroupCommit[Any], gated: Gated, followers: int
) -> tuple[list[threading.Thread], dict[str, Any]]:
    """A leader at the gate, and followers that wait for it in their order."""
    outcomes: dict[str, Any] = {}
    threads = [start(lambda: commit.submit("leader"), outcomes, "leader")]
    assert gated.arrived.wait(WAIT_S)
    for number in range(followers):
        name = f"follower-{number}"
        threads.append(start(lambda name=name: commit.submit(name), outcomes, name))
        until(lambda number=number: waiting(commit) == number + 1)
    return threads, outcomes


def test_those_who_wait_go_together_in_their_order(gated: Gated):
    """What arrives while a group is executed is executed as the next one, in order."""
    commit = GroupCommit[str](gated)
    threads, outcomes = begin(commit, gated, 5)
    gated.gate.set()
    join(threads)
    assert gated.groups == [["leader"], [f"follower-{number}" for number in range(5)]]
    assert set(outcomes.values()) == {None}


def test_a_group_is_bounded(gated: Gated):
    """No group holds more than the bound; the rest are the groups after it."""
    commit = GroupCommit[str](gated, max_group=2)
    threads, _ = begin(commit, gated, 5)
    gated.gate.set()
    join(threads)
    assert [len(group) for group in gated.groups] == [1, 2, 2, 1]


def test_what_a_group_raises_is_raised_to_its_members_only(gated: Gated):
    """An error is everybody's of that group; groups before and after do not see it."""
    commit = GroupCommit[str](gated, max_group=2)
    gated.raises["follower-1"] = ValueError("broken")
    threads, outcomes = begin(commit, gated, 4)
    gated.gate.set()
    join(threads)
    failed = {name for name, outcome in outcomes.items() if isinstance(outcome, ValueError)}
    assert failed == {"follower-0", "follower-1"}
    commit.submit("later")
    assert gated.groups[-1] == ["later"]


@pytest.mark.parametrize("leader", ["leader", "follower-0", "follower-1"])
def test_an_interrupt_while_executing_leaves_nobody_waiting(gated: Gated, leader: str):
    """KeyboardInterrupt in a group reaches the thread that executes; the others get on."""
    commit = GroupCommit[str](gated, max_group=3)
    gated.raises[leader] = KeyboardInterrupt()
    threads, outcomes = begin(commit, gated, 6)
    gated.gate.set()
    join(threads)
    executing = "leader" if leader == "leader" else "follower-0"
    assert isinstance(outcomes[executing], KeyboardInterrupt)
    group = next(group for group in gated.groups if leader in group)
    for name, outcome in outcomes.items():
        if name != executing:
            # nobody pressed Ctrl-C for these: they learn that the outcome is not known
            assert isinstance(outcome, UnavailableError) == (name in group), (name, outcome)
            assert outcome is None or isinstance(outcome, UnavailableError)
    commit.submit("later")
    assert gated.groups[-1] == ["later"]


class InterruptedTurn:
    """A ticket's turn whose waiting a Ctrl-C breaks into, before or after the turn has come."""

    def __init__(self, turn: Any, after: threading.Event | None) -> None:
        self.turn, self.after = turn, after
        self.release = turn.release

    def acquire(self) -> None:
        if self.after is not None:
            self.turn.acquire()
            assert self.after.wait(WAIT_S)
        raise KeyboardInterrupt


def interrupt_waiting(
    monkeypatch: pytest.MonkeyPatch, name: str, after: threading.Event | None = None
) -> None:
    class Ticket(group_commit._Ticket[Any]):
        __slots__ = ()

        def __init__(self, work: Any) -> None:
            super().__init__(work)
            if work == name:
                self.turn = InterruptedTurn(self.turn, after)  # type: ignore[assignment]

    monkeypatch.setattr(group_commit, "_Ticket", Ticket)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_interrupt_while_waiting_leaves_nobody_waiting(
    gated: Gated, monkeypatch: pytest.MonkeyPatch, place: int
):
    """A follower that is interrupted while it waits withdraws; those behind it get their turn."""
    commit = GroupCommit[str](gated)
    interrupt_waiting(monkeypatch, "interrupted")
    threads, outcomes = begin(commit, gated, place)
    with pytest.raises(KeyboardInterrupt):
        commit.submit("interrupted")
    for number in range(place, 4):
        name = f"follower-{number}"
        threads.append(start(lambda name=name: commit.submit(name), outcomes, name))
    until(lambda: waiting(commit) == 4)
    gated.gate.set()
    join(threads)
    assert set(outcomes.values()) == {None}
    executed = [work for group in gated.groups for work in group]
    assert sorted(executed) == ["follower-0", "follower-1", "follower-2", "follower-3", "leader"]


def test_an_interrupt_at_the_moment_of_taking_over_passes_the_lead_on(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
):
    """A follower that is interrupted just when it was appointed hands the lead to the next."""
    commit = GroupCommit[str](gated)
    appointed = threading.Event()
    interrupt_waiting(monkeypatch, "interrupted", after=appointed)
    threads, outcomes = begin(commit, gated, 0)
    for number, name in enumerate(("interrupted", "behind")):
        threads.append(start(lambda name=name: commit.submit(name), outcomes, name))
        until(lambda number=number: waiting(commit) == number + 1)
    gated.gate.set()
    appointed.set()
    join(threads)
    assert isinstance(outcomes["interrupted"], KeyboardInterrupt)
    assert (outcomes["leader"], outcomes["behind"]) == (None, None)


def interruptible(function: Any) -> list[tuple[Any, int]]:
    """Where CPython looks for signals in a function: at its beginning and after each call."""
    code = function.__code__
    places, armed = [], False
    for instruction in dis.get_instructions(code):
        if armed:
            places.append((code, instruction.offset))
        armed = instruction.opname.startswith(("CALL", "RESUME", "JUMP_BACKWARD"))
    return places


INTERRUPTIBLE = [
    place
    for function in (GroupCommit.submit, GroupCommit._lead, GroupCommit._appoint)
    for place in interruptible(function)
]


@pytest.mark.parametrize("leads_at_once", [True, False])
def test_an_interrupt_anywhere_in_a_commit_leaves_nobody_waiting(gated: Gated, leads_at_once: bool):
    """Wherever Ctrl-C strikes the leader or a follower, all others get on."""
    struck = 0
    for code, offset in INTERRUPTIBLE:
        gated.groups.clear()
        gated.arrived.clear()
        gated.gate.clear()
        commit = GroupCommit[str](gated)

        def strike(frame: Any, event: str, _: Any, code: Any = code, offset: int = offset) -> Any:
            if frame.f_code.co_filename != group_commit.__file__:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode" and frame.f_code is code and frame.f_lasti == offset:
                sys.settrace(None)
                raise KeyboardInterrupt
            return strike

        def submit_and_be_struck(commit: Any = commit, strike: Any = strike) -> None:
            sys.settrace(strike)
            try:
                commit.submit("struck")
            finally:
                sys.settrace(None)

        outcomes: dict[str, Any] = {}
        names = ["struck", "second", "third"] if leads_at_once else ["first", "struck", "third"]
        threads = []
        for number, name in enumerate(names):
            call = (
                submit_and_be_struck
                if name == "struck"
                else lambda name=name, commit=commit: commit.submit(name)
            )
            threads.append(start(call, outcomes, name))
            until(
                lambda number=number, name=name, commit=commit, outcomes=outcomes: (
                    (waiting(commit) >= number or name in outcomes or "struck" in outcomes)
                    and (number > 0 or gated.arrived.is_set() or name in outcomes)
                )
            )
        gated.gate.set()
        join(threads)
        struck += isinstance(outcomes["struck"], KeyboardInterrupt)
        for name in set(names) - {"struck"}:
            assert outcomes[name] is None or isinstance(outcomes[name], UnavailableError)
        commit.submit("later")
        assert gated.groups[-1] == ["later"]
        assert waiting(commit) == 0
    assert struck > 5


def test_a_store_goes_on_after_an_interrupt_in_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ctrl-C during the write leaves a store whose tables are what the database holds."""
    with MemoryStore(MemoryConfig(path=tmp_path, dimension=8)) as store:
        store.execute([Store("a", "s1", b"\x80")])
        for step in ("write", "sync"):
            with monkeypatch.context() as patched:

                def interrupt(*_: Any) -> None:
                    raise KeyboardInterrupt

                patched.setattr(Log, step, interrupt)
                with pytest.raises(KeyboardInterrupt):
                    store.execute([Store("a", f"s-{step}", b"\x80"), Store("b", "s", b"\x80")])
        described, one, unwritten, unsynced = store.execute(
            [Describe("a"), Retrieve("a", "s1"), Retrieve("a", "s-write"), Retrieve("a", "s-sync")]
        )
        assert isinstance(one, Record)
        assert not isinstance(unwritten, Record)
        assert described.counts.total == 1 + isinstance(unsynced, Record)
        assert store.execute([Store("a", "s2", b"\x80")]) == [Done()]
