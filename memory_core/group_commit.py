"""Group commit: callers' batches gather while one is being executed, and go next together.

The first caller to arrive leads: it runs everything that waits as one group, while later
callers queue behind it; when it is done it wakes its group, and whoever has come meanwhile
provides the next leader. One fsync so serves all that arrived during the last one (the writers'
queue of LevelDB, ``db/db_impl.cc``).

An interrupt (Ctrl-C) may strike a caller anywhere. Who leads, and for whom, is therefore noted
where a caller that is thrown out finds it, so that it leaves nobody waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import get_ident
from typing import Generic, TypeVar

from memory_core.errors import UnavailableError

__all__ = ["GroupCommit"]

_Work = TypeVar("_Work")


class _Ticket(Generic[_Work]):
    """A caller that waits: until its work is done, or it is appointed to lead a group."""

    __slots__ = ("done", "error", "group", "owner", "turn", "work")

    def __init__(self, work: _Work) -> None:
        self.work = work
        self.owner = get_ident()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.done = False
        self.error: BaseException | None = None
        self.group: list[_Ticket[_Work]] = []


class GroupCommit(Generic[_Work]):
    """Serialises ``run(group)`` over threads; see the module's head.

    Args:
        run: executes a list of works, in their order; never called twice at a time. An error
            that it raises is raised to each caller of the group. An interrupt is raised to the
            thread that it struck; the others of its group get an UnavailableError.
        max_group: works that one group may hold; the rest wait for the next.
    """

    def __init__(self, run: Callable[[list[_Work]], None], max_group: int = 1024) -> None:
        self._run = run
        self._max_group = max_group
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket[_Work]] = []
        self._leader: int | None = None  # a thread

    def submit(self, work: _Work) -> None:
        """Have ``work`` executed; returns when it is done."""
        ticket: _Ticket[_Work] | None = None
        try:
            with self._mutex:
                if self._leader is None:
                    self._leader = get_ident()
                else:
                    ticket = _Ticket(work)
                    self._waiting.append(ticket)
            if ticket is None:
                self._run([work])
                with self._mutex:
                    self._appoint()
                return
            ticket.turn.acquire()
            if not ticket.done:
                self._lead(ticket)
        except BaseException as error:
            self._leave(ticket, error)
            raise
        if ticket.error is not None:
            raise ticket.error

    def _lead(self, ticket: _Ticket[_Work]) -> None:
        """Run what waits, this caller's own work first, and wake the others."""
        with self._mutex:
            group = ticket.group = self._waiting[: self._max_group]
            del self._waiting[: self._max_group]
        self._run([one.work for one in group])
        with self._mutex:
            self._appoint()
        for one in group:
            one.done = True
            one.turn.release()

    def _leave(self, ticket: _Ticket[_Work] | None, error: BaseException) -> None:
        """Leave nobody behind that waits for this caller, which an error has thrown out."""
        group = [] if ticket is None else ticket.group
        with self._mutex:
            self._waiting = [one for one in self._waiting if one is not ticket and one not in group]
            if self._leader == get_ident():
                self._appoint()
        if not isinstance(error, Exception):
            error = UnavailableError(
                "the thread that executed this together with its own was interrupted; whether it "
                "took effect is not known"
            )
        for one in group:
            if not one.done:
                one.error = error
                one.done = True
                one.turn.release()

    def _appoint(self) -> None:
        """Make the first that waits the leader; called with the mutex held."""
        if self._waiting:
            self._leader = self._waiting[0].owner
            self._waiting[0].turn.release()
        else:
            self._leader = None
