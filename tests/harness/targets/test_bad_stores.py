"""What becomes of stores that do what they must not: a sentence each, and nothing else suffers."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError, RunFailedError, UsageError
from harness.targets.adapted_session import COMPLAINTS_MAX
from harness.targets.base import Hit
from memory_core.errors import BadInputError
from memory_core.operations import Describe, Retrieve, Search, Store
from memory_core.results import DONE, MISSING, Failure, Missing
from tests.harness.driving import command, short_folder
from tests.harness.targets.bad_stores import WordlessError, overloaded
from tests.harness.targets.sessions import (
    DICTS,
    delete,
    opened,
    retrieve,
    search,
    store,
    submitted,
)

ROOT = Path(__file__).resolve().parents[3]
BAD = "tests.harness.targets.bad_stores:"


async def _open_and_close(spec: str, folder: Path) -> None:
    async with opened(spec, folder):
        pass


@pytest.mark.parametrize(
    ("name", "error", "parts"),
    [
        ("PrepareFails", RunFailedError, ["did not start: ValueError: no room at the inn"]),
        ("PrepareGivesNothing", RunFailedError, ["prepare must give a Ready, not NoneType"]),
        ("UnplainConnection", RunFailedError, ["Ready.connection must be of plain values"]),
        ("UnplainSettings", RunFailedError, ["Ready.settings must be of texts", "lock is a lock"]),
        ("UnplainVersion", RunFailedError, ["Ready.version must be a text, not int"]),
        ("UnplainProcesses", RunFailedError, ["Ready.processes must be of ServerProcess, not int"]),
        (
            "DestroyFails",
            RunFailedError,
            ["DestroyFails: it could not be ended: OSError: it stays"],
        ),
        ("NothingGoes", RunFailedError, ["did not start: ValueError: no room at the inn"]),
        ("OpenFails", RunFailedError, ["could not be opened: ValueError: the file is not mine"]),
        ("OpenExits", RunFailedError, ["could not be opened: SystemExit: 3"]),
        ("OpenFailsAwaited", RunFailedError, ["could not be opened: KeyError: 'gone'"]),
        ("GivesNoStore", UsageError, ["open must give an OpenStore, not dict"]),
        ("LacksSearch", UsageError, ["_NoSearch has no method search"]),
        ("LacksBatches", UsageError, ["has no method store_many", "its capability batch promises"]),
        ("ClaimsDelete", UsageError, ["has no method delete", "its capability delete promises"]),
        ("ClaimsNothingKnown", UsageError, ["'stores'", "known are store, retrieve, search"]),
        ("MixesSorts", UsageError, ["_Mixed.retrieve is async def and _Mixed.store is not"]),
        ("AwaitsWithoutSaying", UsageError, ["are async def", "asynchronous = True in Awaits"]),
        ("PlainButSaysAwaited", UsageError, ["says asynchronous, but PlainStore is plain"]),
        ("CloseFails", RunFailedError, ["could not be closed (OSError: it will not close)"]),
    ],
)
def test_a_store_that_cannot_be_driven_is_refused_in_a_sentence(
    name: str, error: type[HarnessError], parts: list[str], tmp_path: Path
) -> None:
    """What is wrong is said in one line, which names the method or what is claimed."""
    with pytest.raises(error) as raised:
        asyncio.run(_open_and_close(BAD + name, tmp_path))
    for part in parts:
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


async def _failure_of(way: str, folder: Path, gives: dict[str, Any], operation: Any) -> str:
    """What the failure says of an operation that is given something wrong."""
    async with opened(BAD + way, folder) as session:
        session.adapter.opened.gives = gives  # type: ignore[attr-defined]
        [result] = await submitted(session, operation)
        session.adapter.opened.gives = {}  # type: ignore[attr-defined]
        [after] = await submitted(session, retrieve("a", "s"))
    assert isinstance(after, Missing)  # the thread lives on
    assert isinstance(result, Failure), result
    assert result.error == "MemoryCoreError"
    return str(result.exception())


async def _nothing() -> None: ...


GOOD_HIT = Hit("s", 0.5, b"\x80")


@pytest.mark.parametrize(
    ("method", "given", "wanted"),
    [
        ("store", _nothing, "store must give None, not something to be awaited"),
        ("retrieve", _nothing, "retrieve must give bytes or None, not something to be awaited"),
        ("retrieve", "text", "retrieve must give bytes or None, not str"),
        ("retrieve", {"a": 1}, "retrieve must give bytes or None, not dict"),
        ("search", None, "search must give a list of Hit, not NoneType"),
        ("search", 5, "search must give a list of Hit, not int"),
        ("search", ["s1"], "search must give a list of Hit, not a list of length 1 of str"),
        ("search", [("s", "near", b"")], "search must give a list of Hit"),
        ("search", [("s", None, b"")], "search must give a list of Hit"),
        ("search", [(7, 0.5, b"")], "hits of a text, a number and bytes, not int and bytes"),
        ("search", [("s", 0.5, {"x": 1})], "hits of a text, a number and bytes, not str and dict"),
        ("search", [GOOD_HIT] * 4, "search gave 4 hits, more than the 3 that were asked for"),
        ("delete", None, "delete must give True or False, not NoneType"),
        ("delete", 1, "delete must give True or False, not int"),
    ],
)
def test_a_wrong_answer_names_the_method_and_what_it_must_give(
    method: str, given: Any, wanted: str, tmp_path: Path
) -> None:
    """An answer of the wrong kind is a failure of its operation, which says what was expected."""
    asked: dict[str, Any] = {
        "store": store("a", "s", x=1),
        "retrieve": retrieve("a", "s"),
        "search": search("a", k=3, x=1),
        "delete": delete("a", "s"),
    }

    async def live() -> str:
        gives = {method: given() if given is _nothing else given}
        return await _failure_of("GivesAnything", tmp_path, gives, asked[method])

    said = asyncio.run(live())
    assert said.startswith("_Anything.")
    assert wanted in said


@pytest.mark.parametrize(
    ("method", "given", "wanted"),
    [
        ("store_many", _nothing, "store_many must give None, not something to be awaited"),
        ("retrieve_many", [], "retrieve_many must give a list of 1, not a list of length 0"),
        ("retrieve_many", None, "retrieve_many must give a list of 1, not NoneType"),
        ("retrieve_many", [7], "retrieve_many must give bytes or None, not int"),
        ("search_many", [[], []], "search_many must give a list of 1, not a list of length 2"),
        ("search_many", [[GOOD_HIT] * 4], "search_many gave 4 hits, more than the 3"),
        ("search_many", [GOOD_HIT], "search_many must give a list of Hit"),
    ],
)
def test_a_wrong_answer_of_a_batch_names_the_method_too(
    method: str, given: Any, wanted: str, tmp_path: Path
) -> None:
    """An answer that is too short or of the wrong kind is no answer of any operation."""
    asked: dict[str, Any] = {
        "store_many": store("a", "s", x=1),
        "retrieve_many": retrieve("a", "s"),
        "search_many": search("a", k=3, x=1),
    }

    async def live() -> str:
        gives = {method: given() if given is _nothing else given}
        return await _failure_of("GivesAnythingInBatches", tmp_path, gives, asked[method])

    assert wanted in asyncio.run(live())


def test_scores_may_be_of_numpys_numbers(tmp_path: Path) -> None:
    """Hits as plain tuples, with a score of float32, are as good as any."""

    async def live() -> None:
        async with opened(BAD + "GivesAnything", tmp_path) as session:
            gives = {"search": (("s", np.float32(0.5), b"\x80"),), "delete": np.True_}
            session.adapter.opened.gives = gives  # type: ignore[attr-defined]
            found, gone = await submitted(session, search("a", x=1), delete("a", "s"))
            assert [(hit.state_id, hit.score) for hit in found.hits] == [("s", 0.5)]
            assert gone.count == 1

    asyncio.run(live())


FULL = OSError(errno.ENOSPC, "No space left on device", "/data/file")


@pytest.mark.parametrize("way", ["RaisesAnything", "RaisesAnythingInBatches"])
@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (ValueError("odd\nsecond"), "MemoryCoreError", "ValueError: odd"),
        (RuntimeError(), "MemoryCoreError", "RuntimeError"),
        (TimeoutError("slow"), "DeadlineError", "TimeoutError: slow"),
        (ConnectionResetError("gone"), "UnavailableError", "ConnectionResetError: gone"),
        (FULL, "StorageFullError", "No space left"),
        (OSError("else"), "MemoryCoreError", "OSError: else"),
        (BadInputError("k", "is odd"), "BadInputError", "k: is odd"),
        (SystemExit("out"), "MemoryCoreError", "SystemExit: out"),
        (KeyboardInterrupt(), "MemoryCoreError", "KeyboardInterrupt"),
        (StopIteration(), "MemoryCoreError", "StopIteration"),
        (WordlessError(), "MemoryCoreError", "WordlessError"),
    ],
)
def test_what_a_store_raises_is_the_result_of_its_operation(
    way: str, error: BaseException, kind: str, says: str, tmp_path: Path
) -> None:
    """Each error has its meaning in every method, and no thread ends with it."""

    async def live() -> None:
        async with opened(BAD + way, tmp_path) as session:
            session.adapter.opened.error = error  # type: ignore[attr-defined]
            results = await submitted(
                session,
                store("a", "s", x=1),
                retrieve("b", "s"),
                search("c", x=1),
                delete("d", "s"),
            )
            for result in results:
                assert isinstance(result, Failure)
                assert result.error == kind
                assert says in str(result.exception())
                assert "second" not in str(result.exception())

    asyncio.run(live())


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (asyncio.CancelledError("inside"), "CancelledError: inside"),
        (WordlessError(), "WordlessError"),
        (StopAsyncIteration(), "StopAsyncIteration"),
    ],
)
def test_no_awaited_error_ends_what_makes_the_calls(
    error: BaseException, says: str, tmp_path: Path
) -> None:
    """A store's own cancellation is a failure as any other, and the next call is made."""

    async def live() -> None:
        spec = BAD + "RaisesAnythingAwaited"
        async with opened(spec, tmp_path, deadline_s=60.0) as session:
            session.adapter.opened.error = error  # type: ignore[attr-defined]
            calls = session.adapter.capabilities.calls_at_once + 1  # type: ignore[attr-defined]
            asked = [retrieve(f"a{number}", "raise") for number in range(calls)]
            for failed in await submitted(session, *asked):
                assert isinstance(failed, Failure)
                assert failed.error == "MemoryCoreError"
                assert says in str(failed.exception())
            [there] = await submitted(session, retrieve("b", "s"))
            assert there is MISSING

    asyncio.run(live())


@pytest.mark.parametrize("way", ["PickyInBatches", "PickyInAwaitedBatches"])
def test_wrong_input_fails_no_other_of_its_batch(way: str, tmp_path: Path) -> None:
    """Where a store refuses a batch for one that is wrong, each goes by itself."""

    async def live() -> None:
        async with opened(BAD + way, tmp_path) as session:
            agents = [*(f"a{number}" for number in range(5)), "bad", "b"]
            results = await submitted(session, *(store(agent, "s", x=1) for agent in agents))
            failed = {one: got for one, got in zip(agents, results, strict=True) if got != DONE}
            assert failed == {"bad": Failure("BadInputError", ["state_data", "is odd"])}

    asyncio.run(live())


def test_one_that_came_too_late_cancels_no_other_of_its_call(tmp_path: Path) -> None:
    """What is gathered with an operation that is past its deadline is answered all the same."""

    async def live() -> None:
        async with opened(BAD + "GatedInBatches", tmp_path, deadline_s=60.0) as session:
            gate = session.adapter.opened  # type: ignore[attr-defined]
            old, new = (session.submit(store(agent, "s", x=1)) for agent in ("old", "new"))
            session._under_way["old"].issued_ns -= round(61e9)
            await gate.entered.wait()
            session._look()
            assert not new.done()
            gate.gate.set()
            assert (await old).result.error == "DeadlineError"
            assert (await new).result == DONE
            assert list(gate.dicts.memories) == ["new"]

    asyncio.run(live())


def test_those_of_an_agent_after_its_late_first_are_bounded_too(tmp_path: Path) -> None:
    """Of a call that hangs, each operation is given up by its own time."""

    async def live() -> None:
        async with opened(BAD + "GatedInBatches", tmp_path, deadline_s=60.0) as session:
            gate = session.adapter.opened  # type: ignore[attr-defined]
            gate.free = 1
            issued = [session.submit(store("a", f"s{number}", x=1)) for number in range(3)]
            session._under_way["a"].behind[0].issued_ns -= round(61e9)
            await gate.entered.wait()
            first = session._under_way["a"]
            session._look()
            assert (await issued[1]).result.error == "DeadlineError"
            assert not issued[2].done()
            [after] = first.more
            after.sent_ns -= round(61e9)
            session._look()
            assert (await issued[2]).result.error == "DeadlineError"
            assert "no answer" in str((await issued[2]).result.exception())
            gate.gate.set()

    asyncio.run(live())


def test_what_a_store_says_can_be_written_whatever_it_is(tmp_path: Path) -> None:
    """A name of a file that is no text is told as well as it can be."""

    async def live() -> None:
        async with opened(BAD + "RaisesAnything", tmp_path) as session:
            session.adapter.opened.error = OSError("odd \udcff")  # type: ignore[attr-defined]
            await submitted(session, retrieve("a", "s"))
            [said] = session.complaints
            assert "odd" in said
            assert said.encode()

    asyncio.run(live())


def test_a_stores_own_mapping_of_errors_comes_first(tmp_path: Path) -> None:
    """`OpenStore.failure` decides; when it raises itself, the error is taken as it is."""

    async def live() -> None:
        async with opened(BAD + "RaisesAnything", tmp_path) as session:
            adapter: Any = session.adapter  # type: ignore[attr-defined]
            adapter.opened.error = TimeoutError("slow")
            adapter.opened.mapping = overloaded
            [mapped] = await submitted(session, retrieve("a", "s"))
            assert mapped == Failure("OverloadedError", ["too much: slow"])
            adapter.opened.mapping = lambda _: 1 / 0
            [unmapped] = await submitted(session, retrieve("a", "s"))
            assert unmapped.error == "DeadlineError"
            adapter.opened.mapping = lambda _: "no error"
            [unknown] = await submitted(session, retrieve("a", "s"))
            assert unknown.error == "DeadlineError"

    asyncio.run(live())


@pytest.mark.parametrize("way", ["HangingTarget", "HangingInTwos"])
def test_a_call_that_hangs_is_awaited_no_longer_than_the_deadline(way: str, tmp_path: Path) -> None:
    """Whoever waits gets a timeout, those behind too, and a store that comes back goes on."""

    async def live() -> None:
        async with opened(BAD + way, tmp_path, deadline_s=0.3) as session:
            hanging = [session.submit(retrieve(agent, "hang")) for agent in ("a", "b", "c", "d")]
            behind = session.submit(retrieve("a", "s"))
            late = [(await one).result for one in (*hanging, behind)]
            assert {one.error for one in late} == {"DeadlineError"}
            session.adapter.opened.go.set()  # type: ignore[attr-defined]
            # what was issued is carried out or passed by; then the next has its turn
            async with asyncio.timeout(30):
                while isinstance((await session.submit(retrieve("e", "s"))).result, Failure):
                    pass

    asyncio.run(live())


def test_a_session_closes_though_a_call_hangs_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing gives up on the thread, says so, and the process can end."""
    monkeypatch.setattr("harness.targets.call_threads._CLOSE_S", 0.2)

    async def live() -> None:
        async with opened(BAD + "HangingTarget", tmp_path, deadline_s=0.2) as session:
            store_ = session.adapter.opened  # type: ignore[attr-defined]
            try:
                answer = await session.submit(retrieve("a", "hang"))
                assert answer.result.error == "DeadlineError"
                with pytest.raises(TimeoutError):
                    await session.statistics()
                with pytest.raises(RunFailedError, match="hangs, so it could not be closed"):
                    await session.close()
            finally:
                store_.go.set()

    asyncio.run(live())


def test_an_awaited_call_that_hangs_is_cancelled(tmp_path: Path) -> None:
    """Its place is free for the next one then."""

    async def live() -> None:
        async with opened(DICTS + "AwaitedTarget", tmp_path, deadline_s=0.2) as session:
            opened_store = session.adapter.opened  # type: ignore[attr-defined]
            opened_store.wait_s = 1e6
            waiting = [session.submit(retrieve(f"a{number}", "s")) for number in range(20)]
            assert {(await one).result.error for one in waiting} == {"DeadlineError"}
            opened_store.wait_s = 0.0
            async with asyncio.timeout(30):
                while isinstance((await session.submit(retrieve("z", "s"))).result, Failure):
                    pass

    asyncio.run(live())


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (Describe("a"), "batch"),
        (Retrieve("a", "s", tier="stm"), "tier"),
        (Search.of("a", {"x": 1}, tier="ltm"), "tier"),
        (Search.of("a", {"x": 1}, min_score=0.5), "min_score"),
        (Retrieve("", "s"), "agent_id"),
        (Search.of("a", {"x": 1}, k=0), "k"),
    ],
)
def test_what_a_target_is_not_asked_is_refused_at_once(
    operation: Any, field: str, tmp_path: Path
) -> None:
    """An operation that this store has no way of doing is bad input, and nothing is sent."""

    async def live() -> None:
        async with opened(DICTS + "PlainTarget", tmp_path) as session:
            with pytest.raises(BadInputError) as error:
                session.submit(operation)
            assert error.value.field == field

    asyncio.run(live())


@pytest.mark.parametrize("way", ["PlainTarget", "BatchTarget", "AwaitedTarget"])
def test_one_state_that_is_wrong_fails_no_other(way: str, tmp_path: Path) -> None:
    """A state that cannot be read, or a vector of another length, fails its own operation."""
    odd = Store("b", "s", b"\xc1")
    short = Store("c", "s", b"\x80", vector=b"\0\0\0\0")

    async def live() -> None:
        async with opened(DICTS + way, tmp_path) as session:
            results = await submitted(
                session, store("a", "s", x=1), odd, short, store("d", "s", x=2)
            )
            assert [getattr(one, "error", "ok") for one in results] == [
                "ok",
                "BadInputError",
                "BadInputError",
                "ok",
            ]

    asyncio.run(live())


def test_what_a_store_says_of_its_failures_is_kept_a_few_times(tmp_path: Path) -> None:
    """Words of failures that mean nothing to us are counted, the first few that differ."""

    async def live() -> None:
        async with opened(BAD + "RaisesAnything", tmp_path) as session:
            adapter: Any = session.adapter  # type: ignore[attr-defined]
            for number in range(COMPLAINTS_MAX + 3):
                adapter.opened.error = ValueError(f"odd {number}")
                await submitted(session, retrieve("a", "s"), retrieve("b", "s"))
            adapter.opened.error = TimeoutError("slow")
            await submitted(session, retrieve("a", "s"))
            assert session.complaints == {
                f"ValueError: odd {number}": 2 for number in range(COMPLAINTS_MAX)
            }

    asyncio.run(live())


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_ends_with_what_the_store_said(tmp_path: Path) -> None:
    """A store that cannot be opened ends the run with a sentence; nothing is left of it."""
    with short_folder() as temp:
        done = command(
            *("run", "--target", BAD + "OpenFails", "--agents", 2, "--rounds", 1),
            *("--out", tmp_path / "out"),
            temp=temp,
            PYTHONPATH=str(ROOT),
        )
    assert done.returncode == 1
    assert any(
        f"harness: cohort {first} died: {BAD}OpenFails: the store could not be opened: "
        "ValueError: the file is not mine" in done.stderr.splitlines()
        for first in range(2)
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "data").exists()
