"""The history checker: right answers pass, and each kind of wrong one is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.answer_checks import (
    EXAMPLES_MAX,
    AgentHistory,
    AnswerCounts,
    CheckedSession,
    own_prefixes,
)
from memory_core.client import Answer, BatchTiming
from memory_core.errors import BadInputError, OverloadedError, UnavailableError
from memory_core.operations import Retrieve, Search, Store
from memory_core.results import DONE, MISSING, Failure, Hit, Hits, Record, Result

UNAVAILABLE = Failure.of(UnavailableError("gone"))
OVERLOADED = Failure.of(OverloadedError("full"))


def store(state: bytes = b"a", state_id: str = "state_7_0") -> Store:
    return Store("agent_7", state_id, state)


def record(state: bytes) -> Record:
    return Record(state, "stm")


def retrieve(state_id: str = "state_7_0") -> Retrieve:
    return Retrieve("agent_7", state_id)


SEARCH = Search("agent_7", b"a")


def hits(*found: tuple[str, bytes]) -> Hits:
    return Hits([Hit(state_id, 1.0, "stm", payload) for state_id, payload in found])


def counted(*answers: tuple[Any, Result], remembered: int = 100) -> AnswerCounts:
    counts = AnswerCounts()
    history = AgentHistory("agent_7", own_prefixes(7), counts, remembered)
    for operation, result in answers:
        history.answered(operation, result)
    return counts


def violations(counts: AnswerCounts) -> dict[str, int]:
    names = ("missing", "wrong", "doubled", "foreign")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


@pytest.mark.parametrize(
    "answers",
    [
        [(store(), DONE), (retrieve(), record(b"a"))],
        [(store(b"a"), DONE), (store(b"b"), DONE), (retrieve(), record(b"b"))],
        [(store(), DONE), (SEARCH, hits(("state_7_0", b"a")))],
        [(store(), DONE), (SEARCH, hits())],
        [(store(), DONE), (retrieve(), UNAVAILABLE), (SEARCH, UNAVAILABLE)],
        [(store(), UNAVAILABLE), (retrieve(), record(b"a"))],
        [(store(), UNAVAILABLE), (retrieve(), MISSING)],
        [(store(b"a"), DONE), (store(b"b"), UNAVAILABLE), (retrieve(), record(b"a"))],
        [(store(b"a"), DONE), (store(b"b"), UNAVAILABLE), (retrieve(), record(b"b"))],
        [(store(b"a"), DONE), (store(b"b"), OVERLOADED), (retrieve(), record(b"a"))],
        [(retrieve("state_7_5"), MISSING)],
        [(SEARCH, hits(("preload_7_3", b"x"), ("warmup_7_1", b"y")))],
    ],
    ids=range(12),
)
def test_what_may_be_answered_is_no_violation(answers: Any):
    """The last acknowledged write, or any that was not answered after it."""
    assert violations(counted(*answers)) == {}


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([(store(), DONE), (retrieve(), MISSING)], "missing"),
        ([(store(), DONE), (retrieve(), record(b"b"))], "wrong"),
        ([(store(b"a"), DONE), (store(b"b"), DONE), (retrieve(), record(b"a"))], "wrong"),
        ([(store(b"a"), DONE), (store(b"b"), OVERLOADED), (retrieve(), record(b"b"))], "wrong"),
        ([(store(), UNAVAILABLE), (retrieve(), record(b"b"))], "wrong"),
        ([(store(), UNAVAILABLE), (store(b"b"), DONE), (retrieve(), record(b"a"))], "wrong"),
        ([(store(), DONE), (SEARCH, hits(("state_7_0", b"b")))], "wrong"),
        ([(SEARCH, hits(("state_7_0", b"a"), ("state_7_0", b"a")))], "doubled"),
        ([(SEARCH, hits(("state_70_0", b"a")))], "foreign"),
        ([(SEARCH, hits(("state_8_0", b"a")))], "foreign"),
        ([(store(), record(b"a"))], "wrong"),
        ([(store(), DONE), (retrieve(), hits(("state_7_0", b"a")))], "wrong"),
        ([(SEARCH, DONE)], "wrong"),
        ([(SEARCH, record(b"a"))], "wrong"),
    ],
    ids=range(14),
)
def test_what_must_not_be_answered_is_a_violation(answers: Any, kind: str):
    """Told by its kind, once, in a sentence that names the agent."""
    counts = counted(*answers)
    assert violations(counts) == {kind: 1}
    assert counts.examples[0].startswith("agent 'agent_7': ")


def test_old_writes_are_forgotten_and_counted_as_such():
    """Beyond the bound nothing is claimed: not that a state is wrong, not that it is missing."""
    stores = [(store(b"%d" % place, f"state_7_{place}"), DONE) for place in range(5)]
    reads = [(retrieve(f"state_7_{place}"), record(b"%d" % place)) for place in (3, 4)]
    forgotten = [(retrieve("state_7_0"), record(b"other")), (retrieve("state_7_1"), MISSING)]
    again = [(store(b"z", "state_7_1"), UNAVAILABLE), (retrieve("state_7_1"), record(b"1"))]
    counts = counted(*stores, *reads, *forgotten, *again, remembered=2)
    assert violations(counts) == {}
    assert (counts.checked, counts.not_remembered) == (5, 3)


def test_examples_are_few_and_counts_add_up():
    """However many violations there are, some are told, and all are counted."""
    one = counted(*[(store(), DONE), *[(retrieve(), MISSING)] * 20])
    two = counted((SEARCH, hits(("state_8_0", b"a"))))
    two.add(one)
    assert (two.missing, two.foreign, two.checked) == (20, 1, 21)
    assert len(two.examples) == EXAMPLES_MAX


class Fixed:
    """A session that gives the answers that it was made with."""

    retries = 3

    def __init__(self, *results: Result | BaseException) -> None:
        self._results = list(results)
        self.closed = False

    async def submit(self, operation: Any) -> Answer:
        result = self._results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return Answer(result, BatchTiming(0, 1, 1, 0, 0, 0))

    async def close(self) -> None:
        self.closed = True


def test_a_checked_session_hands_everything_on():
    """Answers, refusals, retries and the close are the session's own."""
    session = Fixed(DONE, record(b"b"), BadInputError("k", "is wrong"))

    async def use() -> CheckedSession:
        checked = CheckedSession(session, [("agent_7", own_prefixes(7))])
        assert (await checked.submit(store())).result == DONE
        assert (await checked.submit(retrieve())).result == record(b"b")
        with pytest.raises(BadInputError):
            await checked.submit(SEARCH)
        await checked.close()
        return checked

    checked = asyncio.run(use())
    assert (checked.retries, session.closed) == (3, True)
    assert (checked.counts.checked, checked.counts.wrong) == (1, 1)
