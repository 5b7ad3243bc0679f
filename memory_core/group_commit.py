"""Group commit: callers' batches gather while one is being executed, and go next together.

The first caller to arrive leads: it runs everything that waits as one group, while later
callers queue behind it; when it is done it wakes its group, and whoever has come meanwhile
provides the next leader. One fsync so serves all that arrived during the last one (the writers'
queue of LevelDB, ``db/db_impl.cc``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["GroupCommit"]

_Work = TypeVar("_Work")


class _Ticket(Generic[_Work]):
    __slots__ = ("appointed", "done", "error", "turn", "work")

    def __init__(self, work: _Work) -> None:
        self.work = work
        self.turn = threading.Lock()
        self.turn.acquire()
        self.done = False
        self.appointed = False
        self.error: BaseException | None = None


class GroupCommit(Generic[_Work]):
    """Serialises ``run(group)`` over threads; see the module's head.

    Args:
        run: executes a list of works, in their order; never called twice at a time. What it
            raises is raised to each caller of the group.
        max_group: works that one group may hold; the rest wait for the next.
    """

    def __init__(self, run: Callable[[list[_Work]], None], max_group: int = 1024) -> None:
        self._run = run
        self._max_group = max_group
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket[_Work]] = []
        self._busy = False

    def submit(self, work: _Work) -> None:
        """Have ``work`` executed; returns when it is done."""
        ticket: _Ticket[_Work] | None = None
        with self._mutex:
            if self._busy:
                ticket = _Ticket(work)
                self._waiting.append(ticket)
            self._busy = True
        if ticket is None:
            self._lead([], work)
            return
        try:
            ticket.turn.acquire()
        except BaseException:  # KeyboardInterrupt: whoever waits must not wait for us
            self._withdraw(ticket)
            raise
        if not ticket.done:
            with self._mutex:
                group = self._waiting[: self._max_group]
                del self._waiting[: self._max_group]
            self._lead(group, None)
        if ticket.error is not None:
            raise ticket.error

    def _lead(self, group: list[_Ticket[_Work]], own: _Work | None) -> None:
        error: BaseException | None = None
        try:
            self._run([own] if own is not None else [ticket.work for ticket in group])
        except BaseException as raised:
            error = raised
            if own is not None:
                raise
        finally:
            self._hand_over()
            for ticket in group:
                ticket.done = True
                ticket.error = error
                ticket.turn.release()

    def _hand_over(self) -> None:
        with self._mutex:
            self._appoint()

    def _appoint(self) -> None:
        """Make the first that waits the leader; called with the mutex held."""
        if self._waiting:
            self._waiting[0].appointed = True
            self._waiting[0].turn.release()
        else:
            self._busy = False

    def _withdraw(self, ticket: _Ticket[_Work]) -> None:
        with self._mutex:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                if ticket.appointed:
                    self._appoint()
