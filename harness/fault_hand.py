"""The hand of a fault injector: a process beside Ray that signals the processes it was shown.

Run as a script; one JSON line in, one out:

    {"do": "know", "pids": [12]}                   {"hit": [12], "gone": []}
    {"do": "kill", "pids": [12]}                   SIGKILL
    {"do": "stall", "pids": [12], "for_s": 5.0}    SIGSTOP, and SIGCONT when that time is over
    {"do": "continue"}                             SIGCONT to all that is stalled

Invariants
- It signals only what it was shown, and looks at each process's time of creation again before it
  does: a process id that was given to another process meanwhile is gone.
- Nothing stays stopped. A stall ends by itself; when standard input ends, because the injector
  was told to, was killed, or its driver is gone, all that is stalled goes on and the hand ends.
- It is nobody's child: what ends a Ray worker together with its children leaves it alone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any

import psutil

__all__ = ["Hand"]

_CHUNK_BYTES = 65_536


class Hand:
    """Signals processes; see the module's head. Times are of ``time.monotonic``, in seconds."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._stalled_until: dict[int, float] = {}

    @property
    def next_end_s(self) -> float | None:
        """When the next stall is over; None when nothing is stalled."""
        return min(self._stalled_until.values(), default=None)

    def do(self, command: dict[str, Any]) -> dict[str, list[int]]:
        """Carry a command out: which processes it hit, and which were gone or never shown."""
        what, pids = command["do"], command.get("pids", [])
        if what == "know":
            return _parted(pids, self._know)
        if what == "kill":
            return _parted(pids, lambda pid: self._signal(pid, signal.SIGKILL))
        if what == "stall":
            return _parted(pids, lambda pid: self._stall(pid, float(command["for_s"])))
        if what == "continue":
            self.go_on(float("inf"))
            return _parted([], self._know)
        raise ValueError(f"{what!r} is no command")

    def go_on(self, now_s: float) -> None:
        """Let go on whatever was stalled until then."""
        for pid in [pid for pid, end_s in self._stalled_until.items() if end_s <= now_s]:
            del self._stalled_until[pid]
            self._signal(pid, signal.SIGCONT)

    def _know(self, pid: int) -> bool:
        known = self._known.get(pid)
        if known is not None and known.is_running():
            return True
        try:
            self._known[pid] = psutil.Process(pid)
        except psutil.Error:
            return False
        return True

    def _stall(self, pid: int, for_s: float) -> bool:
        # Noted first: what is stopped is always known to be.
        end_s = time.monotonic() + for_s
        self._stalled_until[pid] = max(end_s, self._stalled_until.get(pid, 0.0))
        if self._signal(pid, signal.SIGSTOP):
            return True
        del self._stalled_until[pid]
        return False

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        process = self._known.get(pid)
        if process is None:
            return False
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            process.send_signal(number)
        except psutil.Error:
            return False
        return True


def _parted(pids: list[int], hits: Any) -> dict[str, list[int]]:
    parted: dict[str, list[int]] = {"hit": [], "gone": []}
    for pid in pids:
        parted["hit" if hits(pid) else "gone"].append(pid)
    return parted


def _serve(hand: Hand) -> None:
    waiting = b""
    while True:
        end_s = hand.next_end_s
        timeout_s = None if end_s is None else max(end_s - time.monotonic(), 0.0)
        if select.select([0], [], [], timeout_s)[0]:
            read = os.read(0, _CHUNK_BYTES)
            if not read:
                return
            *lines, waiting = (waiting + read).split(b"\n")
            for line in lines:
                os.write(1, json.dumps(hand.do(json.loads(line))).encode() + b"\n")
        hand.go_on(time.monotonic())


def _main() -> None:
    if os.fork():
        os._exit(0)
    # What a terminal or a dying worker sends to its group must not end it half-way.
    os.setsid()
    hand = Hand()
    try:
        _serve(hand)
    finally:
        hand.go_on(float("inf"))


if __name__ == "__main__":
    try:
        _main()
    except (BrokenPipeError, ValueError, KeyError):
        sys.exit(1)
