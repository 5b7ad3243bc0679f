"""Calls that go on in a thread of their own while something else is measured: what they wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count
from time import perf_counter, sleep

from bench.loading import done
from memory_core import MemoryStore, Operation

__all__ = ["OtherCalls"]


class OtherCalls:
    """Rounds of calls to a store, one call after another.

    Args:
        store: answers them.
        calls: the calls of a round, by its number.
        pause_s: between two calls.
    """

    def __init__(
        self, store: MemoryStore, calls: Callable[[int], Sequence[Operation]], pause_s: float
    ) -> None:
        self._store, self._calls, self._pause_s = store, calls, pause_s
        self._waits: list[tuple[float, float]] = []  # when a call ended, and how long it was
        self._warm, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="other-calls", daemon=True)
        self._error: Exception | None = None

    def start(self) -> None:
        """Go on until `end`; this returns when a whole round was made."""
        self._thread.start()
        self._warm.wait()

    def end(self) -> None:
        """Make one more whole round, and stop. Raises what a call has raised."""
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def waits_s(self, begun: float) -> list[float]:
        """The seconds of each call that has ended after ``begun``, by ``time.perf_counter``."""
        return [took_s for ended, took_s in list(self._waits) if ended > begun]

    def _run(self) -> None:
        try:
            for number in count():
                last = self._over.is_set()
                for operation in self._calls(number):
                    begun = perf_counter()
                    done(self._store.execute([operation]))
                    ended = perf_counter()
                    self._waits.append((ended, ended - begun))
                    sleep(self._pause_s)
                if last:
                    return
                self._warm.set()
        except Exception as error:  # noqa: BLE001 - raised where the calls are ended
            self._error = error
        finally:
            self._warm.set()
