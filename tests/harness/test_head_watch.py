"""The watch over Ray's head: it is gone when it did not answer for a bound, and not before."""

from __future__ import annotations

import threading
import time

import pytest

from harness import head_watch
from harness.head_watch import HeadLostError, HeadWatch, within
from tests.harness.driving import poll


class Head:
    """A head that answers as the test says, and the watch over it."""

    def __init__(self) -> None:
        self.there: bool | None = True
        self.asked: list[tuple[str, int]] = []
        self.watch = HeadWatch("[fd00::1]:6379", self._answers, interval_s=0.001)

    def _answers(self, host: str, port: int) -> bool:
        self.asked.append((host, port))
        if self.there is None:
            raise ConnectionRefusedError
        return self.there

    def ask_more(self) -> None:
        """Wait until some more questions were asked and answered."""
        before = len(self.asked)
        poll(lambda: len(self.asked) > before + 5, "questions", 60)


@pytest.fixture
def head():
    made = Head()
    yield made
    made.watch.close()


@pytest.mark.parametrize("gone", [None, False])
def test_a_head_that_refuses_or_does_not_speak_is_lost_after_a_bound(
    head: Head, monkeypatch: pytest.MonkeyPatch, gone: bool | None
):
    """One sentence says which and for how long; until then nothing happens."""
    head.ask_more()
    head.watch.check()
    head.there = gone
    head.ask_more()
    monkeypatch.setattr(head_watch, "HEAD_LOST_S", 3_600.0)
    head.watch.check()
    monkeypatch.setattr(head_watch, "HEAD_LOST_S", 0.0)
    with pytest.raises(HeadLostError, match=r"at \[fd00::1\]:6379 has not answered for 0 s"):
        head.watch.check()
    assert set(head.asked) == {("fd00::1", 6379)}


def test_a_head_that_answers_again_was_never_lost(head: Head, monkeypatch: pytest.MonkeyPatch):
    """Time counts anew from the next question without an answer."""
    head.there = None
    head.ask_more()
    head.there = True
    head.ask_more()
    monkeypatch.setattr(head_watch, "HEAD_LOST_S", 0.0)
    head.watch.check()


def test_without_an_address_nothing_is_asked():
    """As before a run has begun."""
    before = threading.active_count()
    HeadWatch("").check()
    assert threading.active_count() == before


def test_a_call_that_hangs_is_left_behind():
    """What comes to its end is waited for, and what it raises is dropped."""
    ended: list[int] = []
    assert within(60, lambda: ended.append(1))
    assert ended == [1]
    assert within(60, lambda: 1 / 0)
    hangs = threading.Event()
    begun_s = time.monotonic()
    assert not within(0.01, hangs.wait)
    assert time.monotonic() - begun_s >= 0.01
    hangs.set()
