"""Loading keeps many stores in flight, tries again what failed, and counts all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.benchmarks import loading
from harness.benchmarks.loading import BLOCK, MAX_BLOCKS, MAX_PASSES, Load, load
from harness.benchmarks.memories import Walks
from memory_core.client import Answer, BatchTiming
from memory_core.errors import BadInputError, OverloadedError
from memory_core.results import DONE, Failure

TIMING = BatchTiming(0, 7, 1, 0, 0, 1)


class Session:
    """Answers after a turn of the loop; refuses each id so many times."""

    retries = 0

    def __init__(self, refusals: dict[str, int] | None = None) -> None:
        self.refusals = refusals or {}
        self.asked: list[str] = []
        self.in_flight = self.in_flight_max = 0

    def submit(self, operation: Any) -> asyncio.Task[Answer]:
        self.asked.append(operation.state_id)
        if operation.state_id == "state_0_bad":
            raise BadInputError("state_id", "is bad")
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        return asyncio.ensure_future(self._answer(operation.state_id))

    async def _answer(self, state_id: str) -> Answer:
        await asyncio.sleep(0)
        self.in_flight -= 1
        if self.refusals.get(state_id, 0) > 0:
            self.refusals[state_id] -= 1
            return Answer(Failure.of(OverloadedError("full")), TIMING)
        return Answer(DONE, TIMING)

    async def close(self) -> None:
        """Nothing is open."""


def loaded(session: Session, volume: int, present: int = 0) -> tuple[Load, list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []

    async def go() -> Load:
        walks = Walks(1, 1)
        told = lambda count, failed: seen.append((count, failed))  # noqa: E731
        return await load(session, walks, volume, [present], told, lambda: False)

    return asyncio.run(go()), seen


def test_many_stores_are_in_flight_and_no_more_than_the_bound():
    """Batches can form, and memory is bounded."""
    session = Session()
    done, _ = loaded(session, 20 * BLOCK)
    assert done.stored == 20 * BLOCK
    assert BLOCK < session.in_flight_max <= MAX_BLOCKS * BLOCK
    assert done.batch_ops_mean == 7


def test_a_slow_store_is_given_one_block_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """It would not answer the last of many before its deadline."""
    monkeypatch.setattr(loading, "QUICK_S", 0.0)
    session = Session()
    done, _ = loaded(session, 3 * BLOCK)
    assert done.stored == 3 * BLOCK
    assert session.in_flight_max == BLOCK


def test_what_failed_is_stored_again():
    """A store that succeeds in the end is stored; its failures are counted all the same."""
    done, seen = loaded(Session({"state_0_3": 1, "state_0_9": MAX_PASSES - 1}), 100)
    assert (done.stored, done.failed, done.unstored) == (100, MAX_PASSES, 0)
    assert done.outcomes == {"ok": 100, "overloaded": MAX_PASSES}
    assert sum(count for count, _ in seen) == 100 + MAX_PASSES
    assert sum(failed for _, failed in seen) == MAX_PASSES


def test_what_fails_to_the_last_is_unstored():
    """After the last pass it is given up, and said."""
    done, _ = loaded(Session({"state_0_3": 100}), 100)
    assert (done.stored, done.failed, done.unstored) == (99, MAX_PASSES, 1)


def test_what_is_present_is_not_stored():
    """An agent's first memories are left alone."""
    session = Session()
    done, _ = loaded(session, 100, present=60)
    assert session.asked == [f"state_0_{number}" for number in range(60, 100)]
    assert (done.already_there, done.stored) == (60, 40)
