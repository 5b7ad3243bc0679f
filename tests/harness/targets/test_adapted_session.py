"""What an adapted session promises, whichever way its store is called."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.targets.base import Memory
from harness.targets.waiting import MAX_CALL_BYTES
from memory_core import Filter, conditions_of
from memory_core.errors import BadInputError
from memory_core.operations import Search
from memory_core.payload import pack_state
from memory_core.results import Deleted, Done, Hits, Missing, Record
from tests.harness.targets.sessions import (
    DICTS,
    delete,
    opened,
    retrieve,
    search,
    store,
    submitted,
)

BAD = "tests.harness.targets.bad_stores:"
WAYS = (
    "PlainTarget",
    "ManyThreadsTarget",
    "BatchTarget",
    "AwaitedTarget",
    "AwaitedBatchTarget",
)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_stored_is_read_found_and_deleted(way: str, tmp_path: Path) -> None:
    """Each way of being called gives each kind of operation its own result."""

    async def live() -> None:
        async with opened(DICTS + way, tmp_path) as session:
            [first] = await submitted(session, store("a", "s1", health=0.5, place="x"))
            assert isinstance(first, Done)
            read, other, found = await submitted(
                session, retrieve("a", "s1"), retrieve("b", "s1"), search("a", health=0.5)
            )
            assert isinstance(read, Record)
            assert read.state == {"health": 0.5, "place": "x"}
            assert isinstance(other, Missing)
            assert isinstance(found, Hits)
            assert [hit.state_id for hit in found.hits] == ["s1"]
            assert found.hits[0].state == read.state
            gone, again, after = await submitted(
                session, delete("a", "s1"), delete("a", "s1"), retrieve("a", "s1")
            )
            assert (gone, again) == (Deleted(1), Deleted(0))
            assert isinstance(after, Missing)

    asyncio.run(live())


@pytest.mark.parametrize("way", WAYS)
def test_an_agents_operations_are_done_in_the_order_of_issue(way: str, tmp_path: Path) -> None:
    """Of many operations that one agent issues at once, each sees what those before it did."""

    async def live() -> None:
        async with opened(DICTS + way, tmp_path) as session:
            asked: list[Any] = []
            for number in range(50):
                asked += [store("a", "s", number=number), retrieve("a", "s"), search("a", x=1)]
            results = await submitted(session, *asked)
            assert [one.state["number"] for one in results[1::3]] == list(range(50))
            assert [one.hits[0].state["number"] for one in results[2::3]] == list(range(50))

    asyncio.run(live())


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[str, str, int]]]:
    """Of some agents, what each does: an operation's kind, a state's id and a number."""
    one = st.tuples(
        st.sampled_from(("store", "store", "retrieve", "search", "delete")),
        st.sampled_from(("s1", "s2", "s3")),
        st.integers(0, 9),
    )
    return draw(st.lists(st.lists(one, max_size=12), min_size=1, max_size=6))


@pytest.mark.parametrize("way", WAYS)
@given(histories=histories(), at_once=st.integers(1, 4))
@settings(max_examples=15)
def test_many_agents_at_once_each_see_a_plain_dict(
    way: str, histories: list[list[tuple[str, str, int]]], at_once: int
) -> None:
    """Whatever agents do at the same time, to each its memories are a dict of its own."""

    async def agent(session: Any, name: str, history: list[tuple[str, str, int]]) -> None:
        known: dict[str, int] = {}
        for first in range(0, len(history), at_once):
            asked, wanted = [], []
            for kind, state, number in history[first : first + at_once]:
                if kind == "store":
                    asked.append(store(name, state, number=number))
                    known[state] = number
                    wanted.append(Done())
                elif kind == "retrieve":
                    asked.append(retrieve(name, state))
                    wanted.append(known.get(state))
                elif kind == "search":
                    asked.append(search(name, k=10, number=number))
                    wanted.append(dict(known))
                else:
                    asked.append(delete(name, state))
                    wanted.append(Deleted(int(known.pop(state, None) is not None)))
            results = await submitted(session, *asked)
            assert list(map(_plain, results)) == wanted

    async def live(folder: Path) -> None:
        async with opened(DICTS + way, folder) as session:
            await asyncio.gather(
                *(agent(session, f"a{at}", history) for at, history in enumerate(histories))
            )

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))


def _plain(result: Any) -> Any:
    """A result as the model has it."""
    if isinstance(result, Missing):
        return None
    if isinstance(result, Record):
        return result.state["number"]
    if isinstance(result, Hits):
        return {hit.state_id: hit.state["number"] for hit in result.hits}
    return result


async def _while_one_call_lasts(session: Any, first: Any, rest: list[Any]) -> list[Any]:
    """Answers of operations that are issued while the call of the first is made."""
    found = session.adapter.opened
    found.gate.clear()
    waiting = [session.submit(first)]
    assert await asyncio.to_thread(found.entered.wait, 60)
    waiting += [session.submit(one) for one in rest]
    found.gate.set()
    return [await one for one in waiting]


def test_what_waits_of_one_kind_goes_in_one_call(tmp_path: Path) -> None:
    """What many agents issue while a call lasts goes together, each kind in a call of its own."""

    async def live() -> None:
        async with opened(DICTS + "BatchTarget", tmp_path) as session:
            rest: list[Any] = []
            for number in range(200):
                rest += [store(f"a{number}", "s", x=number), retrieve(f"b{number}", "s")]
            answers = await _while_one_call_lasts(session, store("c", "s", x=1), rest)
            sizes = session.adapter.opened.sizes  # type: ignore[attr-defined]
            assert sizes == [("store", 1), ("store", 200), ("retrieve", 200)]
            assert [one.timing.batch_ops for one in answers] == [1] + [200] * 400

    asyncio.run(live())


def test_what_one_agent_issues_together_goes_together_after_its_first(tmp_path: Path) -> None:
    """Loading thousands of states for one agent takes few calls; none holds a state twice."""

    async def live() -> None:
        async with opened(DICTS + "BatchTarget", tmp_path) as session:
            first, *rest = [store("a", f"s{number % 1500}", x=number) for number in range(3000)]
            answers = await _while_one_call_lasts(session, first, rest)
            assert all(isinstance(one.result, Done) for one in answers)
            sizes = [size for _, size in session.adapter.opened.sizes]  # type: ignore[attr-defined]
            assert sizes == [1, 1000, 1000, 999]
            [last] = await submitted(session, retrieve("a", "s0"))
            assert last.state == {"x": 1500}

    asyncio.run(live())


def test_a_call_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Large states go in several calls, one that is larger than the bound alone."""

    async def live() -> None:
        async with opened(DICTS + "BatchTarget", tmp_path) as session:
            large = "x" * (MAX_CALL_BYTES // 3)
            asked = [store(f"a{number}", "s", text=large) for number in range(6)]
            asked.append(store("b", "s", text="x" * (MAX_CALL_BYTES + 1)))
            waiting = [session.submit(one) for one in asked]
            for one in waiting:
                assert isinstance((await one).result, Done)
            assert max(size for _, size in session.adapter.opened.sizes) <= 2  # type: ignore[attr-defined]

    asyncio.run(live())


def test_plain_calls_with_one_at_once_are_all_made_by_the_thread_that_opened(
    tmp_path: Path,
) -> None:
    """Operations, statistics and closing come from one thread."""

    async def live() -> None:
        async with opened(DICTS + "PlainTarget", tmp_path) as session:
            await submitted(session, *(store(f"a{number}", "s", x=1) for number in range(50)))
            await session.flush()
            assert await session.statistics() == {"memories": 50, "strangers": 0}
        found = session.adapter.opened  # type: ignore[attr-defined]
        assert found.closed
        assert found.strangers == 0

    asyncio.run(live())


def test_a_flush_may_take_longer_than_an_operation(tmp_path: Path) -> None:
    """The deadline is of operations; building an index takes what it takes."""

    async def live() -> None:
        async with opened(DICTS + "PlainTarget", tmp_path, deadline_s=0.1) as session:
            store_opened = session.adapter.opened  # type: ignore[attr-defined]
            store_opened.flush = lambda: time.sleep(0.3)
            await session.flush()

    asyncio.run(live())


def test_a_slow_call_holds_up_no_other_while_threads_are_free(tmp_path: Path) -> None:
    """What waits together is not one thread's own: the others take it while one is at work."""

    async def live() -> None:
        async with opened(BAD + "HangingInTwos", tmp_path) as session:
            hanging = session.submit(retrieve("a", "hang"))
            rest = [session.submit(retrieve(f"b{at}", "s")) for at in range(100)]
            for one in rest:
                assert isinstance((await one).result, Missing)
            session.adapter.opened.go.set()  # type: ignore[attr-defined]
            assert isinstance((await hanging).result, Missing)

    asyncio.run(live())


def test_as_many_calls_as_are_allowed_are_in_progress_at_once(tmp_path: Path) -> None:
    """Awaited calls fill their places, and no more than these."""

    async def live() -> None:
        async with opened(DICTS + "AwaitedTarget:wait_ms=5", tmp_path) as session:
            await submitted(session, *(store(f"a{number}", "s", x=1) for number in range(40)))
            assert (await session.statistics())["most"] == 8

    asyncio.run(live())


def test_threads_make_calls_side_by_side(tmp_path: Path) -> None:
    """With four calls at once, four retrievals that wait for each other all come to their end."""

    async def live() -> None:
        async with opened(DICTS + "MeetingTarget", tmp_path) as session:
            results = await submitted(session, *(retrieve(f"a{at}", "s") for at in range(4)))
            assert all(isinstance(one, Missing) for one in results)

    asyncio.run(live())


@pytest.mark.parametrize("way", WAYS)
def test_filters_of_equal_values_reach_the_store(way: str, tmp_path: Path) -> None:
    """Conditions on the top of the state choose before the k are taken; others are bad input."""

    async def live() -> None:
        async with opened(DICTS + way, tmp_path) as session:
            for number in range(6):
                await submitted(
                    session, store("a", f"s{number}", odd=number % 2 == 1, at=[number], n=number)
                )
            asked = Search.of(
                "a", {"n": 0}, k=2, filter=Filter(conditions=conditions_of({"odd": True}))
            )
            [found] = await submitted(session, asked)
            assert len(found.hits) == 2
            assert all(hit.state["odd"] for hit in found.hits)
            for attributes in ({"n": {"$gt": 2}}, {"at.0": 1}, {"at": [1]}, {"n": None}):
                wrong = Filter(conditions=conditions_of(attributes))
                with pytest.raises(BadInputError) as error:
                    session.submit(Search.of("a", {"n": 0}, filter=wrong))
                assert error.value.field == "attributes"
            for wrong in (Filter(words=["x"]), Filter(steps=(1, 2))):
                with pytest.raises(BadInputError) as error:
                    session.submit(Search.of("a", {"n": 0}, filter=wrong))
                assert error.value.field == "filter"

    asyncio.run(live())


def test_times_of_a_call_add_up(tmp_path: Path) -> None:
    """An operation is sent after it was issued, and served before its answer is there."""

    async def live() -> None:
        async with opened(DICTS + "PlainTarget:wait_ms=2", tmp_path) as session:
            asked = [store(f"a{number}", "s", x=1) for number in range(10)]
            issued_ns = perf_counter_ns()
            waiting = [session.submit(one) for one in asked]
            for one in waiting:
                timing = (await one).timing
                assert issued_ns <= timing.sent_ns
                assert timing.service_ns >= 2_000_000
                assert timing.sent_ns + timing.service_ns <= perf_counter_ns()
                assert (timing.shard, timing.batch_ops, timing.attempts) == (0, 1, 1)

    asyncio.run(live())


def test_what_overflows_fails_as_overloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on what waits is kept, whether agents are many or one issues much."""
    monkeypatch.setattr("harness.targets.adapted_session.MAX_PENDING_OPS", 10)

    async def live() -> None:
        async with opened(DICTS + "AwaitedTarget", tmp_path) as session:
            many = [retrieve(f"a{number}", "s") for number in range(15)]
            results = await submitted(session, *many)
            assert [getattr(one, "error", "") for one in results].count("OverloadedError") == 5
            results = await submitted(session, *[retrieve("a", "s")] * 15)
            assert [getattr(one, "error", "") for one in results].count("OverloadedError") == 5

    asyncio.run(live())


def test_a_state_comes_back_as_a_mapping_whatever_it_holds() -> None:
    """A memory's state and attributes are what was stored, with numbers beyond 64 bits too."""
    held = {"big": 2**80, "small": -(2**70), "n": 5, "text": "x", "flag": True, "list": [1]}
    memory = Memory("a", "s", pack_state(held), np.zeros(4, np.float32))
    assert memory.state == held
    assert memory.attributes == {"n": 5, "text": "x", "flag": True}


def test_preparing_makes_nothing_where_each_process_has_its_own_store(tmp_path: Path) -> None:
    """The driver's machine may not have the disk of the nodes; a shared store has its folder."""

    async def live() -> None:
        async with opened(DICTS + "PlainTarget", tmp_path / "own", cohort=3):
            assert [one.name for one in (tmp_path / "own").iterdir()] == ["cohort-3"]
        async with opened(DICTS + "SharedTarget", tmp_path / "shared", cohort=3):
            assert [one.name for one in (tmp_path / "shared").iterdir()] == ["store"]

    asyncio.run(live())
