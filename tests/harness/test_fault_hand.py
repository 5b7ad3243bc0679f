"""The hand signals what it was shown and nothing else, and leaves nothing stopped behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from harness import fault_hand
from harness.fault_hand import Hand
from tests.harness.driving import poll
from tests.processes import below, is_gone

pytestmark = pytest.mark.fault


@pytest.fixture
def victim() -> Iterator[psutil.Process]:
    """A process that sleeps."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def is_stopped(process: psutil.Process) -> bool:
    return process.status() == psutil.STATUS_STOPPED


class Driven:
    """A hand in a process of its own, as an injector has it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", fault_hand.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.process.wait()

    def do(self, what: str, **fields: Any) -> dict[str, list[int]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, list[int]] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.stdout.read() == b""  # when the hand itself has ended
        self.process.stdout.close()


@pytest.fixture
def hand() -> Iterator[Driven]:
    driven = Driven()
    try:
        yield driven
    finally:
        if not driven.process.stdin.closed:
            driven.close()


def test_a_process_that_was_not_shown_is_not_signalled(hand: Driven, victim: psutil.Process):
    """Neither killed nor stopped: it counts as gone."""
    for answer in (
        hand.do("kill", pids=[victim.pid]),
        hand.do("stall", pids=[victim.pid], for_s=600),
    ):
        assert answer == {"hit": [], "gone": [victim.pid]}
    assert not is_gone(victim)
    assert not is_stopped(victim)


def test_a_process_that_was_shown_is_killed(hand: Driven, victim: psutil.Process):
    """And is gone for whatever comes after."""
    assert hand.do("know", pids=[victim.pid]) == {"hit": [victim.pid], "gone": []}
    assert hand.do("kill", pids=[victim.pid]) == {"hit": [victim.pid], "gone": []}
    poll(lambda: is_gone(victim), "the victim's end")
    assert hand.do("stall", pids=[victim.pid], for_s=1)["gone"] == [victim.pid]


def test_a_stall_ends_by_itself(hand: Driven, victim: psutil.Process):
    """The process is stopped at once and goes on when its time is over."""
    hand.do("know", pids=[victim.pid])
    assert hand.do("stall", pids=[victim.pid], for_s=0.2)["hit"] == [victim.pid]
    poll(lambda: not is_stopped(victim), "the end of the stall")
    assert not is_gone(victim)


def test_a_stall_ends_when_asked(hand: Driven, victim: psutil.Process):
    """A run that is over lets go on what it had stalled."""
    hand.do("know", pids=[victim.pid])
    hand.do("stall", pids=[victim.pid], for_s=600)
    poll(lambda: is_stopped(victim), "the stall")
    hand.do("continue")
    poll(lambda: not is_stopped(victim), "the end of the stall")


def test_all_that_is_stalled_goes_on_when_nobody_holds_the_hand(
    hand: Driven, victim: psutil.Process
):
    """Standard input ends with the injector, however that ends; the hand ends as well."""
    hand.do("know", pids=[victim.pid])
    hand.do("stall", pids=[victim.pid], for_s=600)
    poll(lambda: is_stopped(victim), "the stall")
    hand.close()
    poll(lambda: not is_stopped(victim), "the end of the stall")
    assert not is_gone(victim)


def test_a_number_that_another_process_has_now_is_not_signalled(
    victim: psutil.Process, monkeypatch: pytest.MonkeyPatch
):
    """The process that was shown is told from another by its time of creation."""
    own = Hand()
    assert own.do({"do": "know", "pids": [victim.pid]})["hit"]
    real = psutil.Process.__eq__
    # what psutil sees when a pid was given away: the process of that pid is not equal to the first
    monkeypatch.setattr(
        psutil.Process,
        "__eq__",
        lambda one, other: False if one.pid == victim.pid else real(one, other),
    )
    assert own.do({"do": "kill", "pids": [victim.pid]}) == {"hit": [], "gone": [victim.pid]}
    monkeypatch.undo()
    assert not is_gone(victim)


def test_the_longer_of_two_stalls_counts(victim: psutil.Process):
    """A stall within another does not end the other early."""
    own = Hand()
    own.do({"do": "know", "pids": [victim.pid]})
    own.do({"do": "stall", "pids": [victim.pid], "for_s": 600.0})
    end_s = own.next_end_s
    own.do({"do": "stall", "pids": [victim.pid], "for_s": 1.0})
    assert own.next_end_s == end_s
    own.do({"do": "continue"})
    assert own.next_end_s is None
    poll(lambda: not is_stopped(victim), "the end of the stall")


def test_a_hand_is_not_a_child_of_who_started_it(hand: Driven, victim: psutil.Process):
    """What ends a Ray worker with its children does not end what lets stopped processes go on."""
    assert hand.do("know", pids=[victim.pid])["hit"]
    assert below(os.getpid(), fault_hand.__file__) == []
