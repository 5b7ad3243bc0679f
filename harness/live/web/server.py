"""The live page's server: the page, its stream of events, and in the end the report.

Runs in one event loop and knows nothing of a run but the `Feed` that it sends on.

What is bounded: pages and what waits for each (`harness.live.web.pages`), connections, seconds
that a page may take for a piece of what is sent, and seconds until a connection asks for something.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus

from aiohttp import web

from harness.live.access import Access
from harness.live.web.feed import Feed, Message
from harness.live.web.page_files import page_files
from harness.live.web.pages import Pages

__all__ = ["CONNECTIONS_MAX", "LiveServer"]

CONNECTIONS_MAX = 256
# For a page to take what was sent to it last, before it counts as gone.
_SLOW_S = 20.0
# For a connection to ask for something, and between two requests of it.
_SILENT_S = 15.0
_FRESH_S = 1.0
_COMMENT_S = 10.0
_COMMENT = b": the run goes on\n\n"
_PIECE_BYTES = 64 * 1024
# For pages to take the last of their streams.
_LAST_S = 2.0
_LOOK_S = 0.25
# A page that has left its stream may be about to fetch the report.
_TURN_S = 1.0

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The report has a stricter policy of its own in it, by digests; a browser keeps to both.
_REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "harness",
    "X-Content-Type-Options": "nosniff",
}
# What strangers send to a run's page is not to be told on the run's terminal.
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.propagate = False


class LiveServer:
    """Serves one feed until it is closed. To be made and used in a running event loop.

    Args:
        feed: what pages are told.
        access: who may ask.
        clock: seconds since the command began.
    """

    def __init__(self, feed: Feed, access: Access, clock: Callable[[], float]) -> None:
        self._access = access
        self._files = page_files()
        self._pages = Pages(feed, clock)
        self._loop = asyncio.get_running_loop()
        self._http = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            logger=_log,
            keepalive_timeout=_SILENT_S,
            lingering_time=1.0,
        )
        # Connections of the last moment: of many that come at once, aiohttp knows a little later.
        self._fresh: set[asyncio.BaseProtocol] = set()
        self._listener: asyncio.Server | None = None
        self._report: bytes | None = None
        self._expected = self._fetched = self._fetching = 0
        self._left_s = 0.0
        # Set whenever a page leaves, or has fetched the report.
        self._moved = asyncio.Event()

    async def listen(self, listening: socket.socket) -> None:
        """Serve what asks on a socket that listens."""
        self._listener = await self._loop.create_server(self._connection, sock=listening)

    def tell(self, messages: Iterable[Message]) -> None:
        """Tell every page."""
        self._pages.tell(messages)

    async def farewell(self, messages: Iterable[Message], report: bytes, within_s: float) -> None:
        """Tell every page the end, and wait until those that are there have fetched the report.

        Pages that leave without it are waited for no longer than a moment.
        """
        self._report = report
        self._expected = len(self._pages)
        self.tell(messages)
        await self._wait_while(self._is_awaited, within_s)

    def _is_awaited(self) -> bool:
        if self._pages or self._fetching:
            return True
        return self._fetched < self._expected and self._loop.time() < self._left_s + _TURN_S

    async def close(self) -> None:
        """End every stream with what it was told, then every connection."""
        if self._listener is not None:
            self._listener.close()
        self._pages.close()
        await self._wait_while(lambda: bool(self._pages), _LAST_S)
        for connection in self._http.connections:
            connection.force_close()
        await self._http.shutdown(_LAST_S)

    async def _wait_while(self, is_awaited: Callable[[], bool], within_s: float) -> None:
        """Wait while something is awaited of the pages, within a bound."""
        until_s = self._loop.time() + within_s
        while is_awaited() and (left_s := until_s - self._loop.time()) > 0:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _LOOK_S)):
                    await self._moved.wait()

    def _connection(self) -> asyncio.BaseProtocol:
        if len(self._fresh.union(self._http.connections)) >= CONNECTIONS_MAX:
            return _TurnedAway()
        connection = self._http()
        self._fresh.add(connection)
        self._loop.call_later(_FRESH_S, self._fresh.discard, connection)
        return connection

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = self._access.refusal(lambda name: request.headers.getall(name, []))
        if refusal is not None:
            return _sentence(refusal.status, refusal.sentence)
        name = self._access.own_path(request.path)
        if name is None:
            return _sentence(404, "There is nothing here without the token of the address.")
        if request.method != "GET":
            return _sentence(405, "Only GET is answered here.", Allow="GET")
        if name == "events":
            return await self._stream(request)
        if name == "report" and self._report is not None:
            return await self._send_report(request, self._report)
        if name in self._files:
            file = self._files[name]
            headers = {**_HEADERS, "Content-Type": file.content_type}
            return web.Response(body=file.body, headers=headers)
        return _sentence(404, "There is nothing here.")

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        def drop() -> None:
            if request.transport is not None:
                request.transport.abort()

        page = self._pages.join(drop)
        if page is None:
            return _sentence(503, "As many pages as can be are open already; close one of them.")
        kind = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers={**_HEADERS, **kind})
        try:
            await response.prepare(request)
            while (data := await _next(page.queue)) is not None:
                await _send(response, data)
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            drop()
        finally:
            self._pages.leave(page)
            self._left_s = self._loop.time()
            self._moved.set()
        return response

    async def _send_report(self, request: web.BaseRequest, report: bytes) -> web.StreamResponse:
        kind = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": _REPORT_POLICY,
            "Content-Length": str(len(report)),
        }
        response = web.StreamResponse(headers={**_HEADERS, **kind})
        self._fetching += 1
        try:
            if request.transport is not None:  # so that what is written has left this process
                request.transport.set_write_buffer_limits(0)
            await response.prepare(request)
            whole = len(report) // _PIECE_BYTES * _PIECE_BYTES
            await _send(response, report[:whole])
            async with asyncio.timeout(_SLOW_S):
                await response.write_eof(report[whole:])
            self._fetched += 1
        finally:
            self._fetching -= 1
            self._moved.set()
        return response


class _TurnedAway(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    """What is to be sent next; a comment when there was nothing for long."""
    try:
        async with asyncio.timeout(_COMMENT_S):
            return await queue.get()
    except TimeoutError:
        return _COMMENT


async def _send(response: web.StreamResponse, data: bytes) -> None:
    """Send in pieces; TimeoutError when one of them is not taken in time."""
    for start in range(0, len(data), _PIECE_BYTES):
        async with asyncio.timeout(_SLOW_S):
            await response.write(data[start : start + _PIECE_BYTES])


def _sentence(status: int, sentence: str, **headers: str) -> web.Response:
    text = f"{status} {HTTPStatus(status).phrase}: {sentence}\n"
    return web.Response(status=status, text=text, headers={**_HEADERS, **headers})
