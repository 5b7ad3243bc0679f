"""The driver's watch over Ray's head: a run whose head is gone ends, instead of hanging.

Ray itself ends a driver a minute after its head's server (GCS) was last there, at once and without
a word in the run directory; where that server is stopped, calls hang for good. So a thread asks the
server every few seconds whether it speaks, and the run fails before Ray would end it. What Ray is
then asked to end is not waited for: `within` bounds each such call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from harness.errors import RunFailedError
from harness.ray_session import speaks_grpc

__all__ = ["HEAD_LOST_S", "INTERVAL_S", "HeadLostError", "HeadWatch", "within"]

# Well below the 60 s after which Ray ends the process.
HEAD_LOST_S = 30.0
INTERVAL_S = 2.0
# A driver that was itself stopped finds its last answer old: so many have to be missed as well.
_MISSED_MIN = 3


class HeadLostError(RunFailedError):
    """Ray's head is gone: what is asked of Ray may hang."""


class HeadWatch:
    """Asks whether the head is there; `check` is for the driver's thread.

    Args:
        address: of its server, ``host:port``; empty asks nothing.
        answers: whether a server of that kind answers at a host and port; it may raise OSError.
        interval_s: from the end of one question to the next; None for the usual one.
    """

    def __init__(
        self,
        address: str,
        answers: Callable[[str, int], bool] = speaks_grpc,
        interval_s: float | None = None,
    ) -> None:
        self.address = address
        self._answers = answers
        self._interval_s = INTERVAL_S if interval_s is None else interval_s
        self._missed = 0
        self._missing_since_s = 0.0
        self._closed = threading.Event()
        if address:
            threading.Thread(target=self._keep_asking, name="head", daemon=True).start()

    def check(self) -> None:
        """Raise HeadLostError when the head has not answered for `HEAD_LOST_S`."""
        if self._missed < _MISSED_MIN:
            return
        if time.monotonic() - self._missing_since_s >= HEAD_LOST_S:
            raise HeadLostError(
                f"the head of the Ray cluster at {self.address} has not answered for "
                f"{HEAD_LOST_S:.0f} s: what was recorded until then is kept"
            )

    def close(self) -> None:
        """Ask no more; does not wait."""
        self._closed.set()

    def _keep_asking(self) -> None:
        host, _, port = self.address.rpartition(":")
        while not self._closed.wait(self._interval_s):
            asked_s = time.monotonic()
            try:
                there = self._answers(host.strip("[]"), int(port))
            except OSError:
                there = False
            if there:
                self._missed = 0
                continue
            if not self._missed:
                self._missing_since_s = asked_s
            self._missed += 1


def within(timeout_s: float, call: Callable[[], object]) -> bool:
    """Make a call that may hang on a thread that is left behind then; whether it came to its end.

    What it raises is dropped: it is for ending things whose end nobody can see any more.
    """
    done = threading.Event()

    def make() -> None:
        with contextlib.suppress(Exception):
            call()
        done.set()

    threading.Thread(target=make, daemon=True).start()
    return done.wait(timeout_s)
