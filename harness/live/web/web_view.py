"""The live page as a `View`: a thread with an event loop of its own, in which all else happens.

Whoever carries out the run hands over what does not change any more and goes on: no method of the
view waits but `finish`, and none raises. The socket is listened on before the thread starts, and
when `web_view` is left neither thread nor socket is there any more, whichever way it is left.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.live.access import Access
from harness.live.progress import Progress
from harness.live.view import View
from harness.live.web.feed import Feed, Message
from harness.live.web.listening import LOOPBACK, listen
from harness.live.web.plain_values import plain_value
from harness.live.web.server import LiveServer
from harness.live.web.summary_figures import figures_of
from harness.report.html import REPORT_FILE

__all__ = ["FAREWELL_S", "WebView", "web_view"]

# For pages to fetch the report.
FAREWELL_S = 10.0
_SLACK_S = 2.0
_STOP_S = 10.0
_TOKEN_BYTES = 32

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.propagate = False


@contextmanager
def web_view(
    command: str, path: Path, *, host: str | None = None, port: int = 0
) -> Iterator[WebView]:
    """Serve the live page meanwhile.

    Args:
        command: as in ``run.json``.
        path: of its directory.
        host: name or address to serve it on; its address then has a token. None is loopback.
        port: 0 is a free one.

    Raises:
        UsageError: the port or the address cannot be had.
    """
    view = WebView(command, path, host=host, port=port)
    try:
        yield view
    except BaseException as error:
        is_interrupt = isinstance(error, KeyboardInterrupt)
        view.break_off("interrupted" if is_interrupt else "failed", str(error))
        raise
    finally:
        view.close()


class WebView(View):
    """See `web_view`, which makes and closes one.

    Args:
        command, path, host, port: see there.
        clock: seconds that only grow.

    Attributes:
        address: of the page.
    """

    def __init__(
        self,
        command: str,
        path: Path,
        *,
        host: str | None,
        port: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        listening = listen(LOOPBACK if host is None else host, port)
        token = None if host is None else secrets.token_urlsafe(_TOKEN_BYTES)
        self.address = f"http://{listening.host}:{listening.port}/" + (f"{token}/" if token else "")
        access = Access(
            listening.port, listening.names, any_address=listening.any_address, token=token
        )
        self._clock = clock
        self._began_s = clock()
        self._feed = Feed(command, str(path), datetime.now(UTC).isoformat())
        self._has_ended = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: _log.error("%s", context))
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="harness-web", daemon=True
        )
        try:
            self._server = self._loop.run_until_complete(self._serve(access, listening.socket))
            self._thread.start()
        except BaseException:
            listening.socket.close()
            self._loop.close()
            raise

    def step(self, name: str, number: int, planned: int) -> None:
        """See `View`."""
        self._tell(partial(self._feed.step, name, number, planned, self._now_s()))

    def begin(self, plan: Mapping[str, Any], agents: int) -> None:
        """See `View`."""
        self._tell(partial(self._feed.begin, plain_value(plan), agents, self._now_s()))

    def update(self, progress: Progress) -> None:
        """See `View`."""
        self._tell(partial(self._feed.update, progress, self._now_s()))

    def note(self, text: str) -> None:
        """See `View`."""
        self._tell(partial(self._feed.note, text, self._now_s()))

    def event(self, event: Mapping[str, Any]) -> None:
        """See `View`."""
        self._tell(partial(self._feed.event, plain_value(event), self._now_s()))

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """See `View`."""
        self._tell(partial(self._feed.end, status, figures_of(summary, status), self._now_s()))

    def finish(self, status: str, summary: Mapping[str, Any], path: Path) -> None:
        """See `View`: waits `FAREWELL_S` at most for pages to fetch the report, or for Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self._has_ended = True
            report = _read(path / REPORT_FILE)
            messages = partial(
                self._feed.finish, status, figures_of(summary, status), report=report is not None
            )
            if report is None:
                self._tell(messages)
            else:
                self._wait_for(self._farewell(messages, report), FAREWELL_S + _SLACK_S)

    def break_off(self, status: str, problem: str) -> None:
        """The command ends without a last word: say how, and why in a sentence."""
        if not self._has_ended:
            self._has_ended = True
            problem = problem or f"The command was {status}."
            self._tell(partial(self._feed.finish, status, {}, report=False, problem=problem))

    def close(self) -> None:
        """End pages, server, thread and socket; what comes after it is told to nobody."""
        if self._loop.is_closed():
            return
        self._has_ended = True
        try:
            self._wait_for(self._server.close(), _STOP_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _now_s(self) -> float:
        return self._clock() - self._began_s

    async def _serve(self, access: Access, listening: socket.socket) -> LiveServer:
        server = LiveServer(self._feed, access, self._now_s)
        await server.listen(listening)
        return server

    async def _farewell(self, messages: Callable[[], list[Message]], report: bytes) -> None:
        await self._server.farewell(messages(), report, FAREWELL_S)

    def _tell(self, messages: Callable[[], list[Message]]) -> None:
        """Have the pages told what follows, by the thread of the pages."""
        with suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(lambda: self._server.tell(messages()))

    def _wait_for(self, work: Coroutine[Any, Any, None], bound_s: float) -> None:
        """Have the thread of the pages do something, and wait for it; its errors are logged."""
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            waiting.result(bound_s)
        except (NotInTime, CancelledError):
            pass
        except Exception:  # noqa: BLE001 - whatever it is, the run goes on without the page
            _log.exception("the live page")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
