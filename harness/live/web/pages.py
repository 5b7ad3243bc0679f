"""The pages that are connected, and what is still to be sent to each.

What is to be sent is encoded once for all pages. Each has a queue of its own, so that one that
reads slowly holds up no other: when its queue is full it is dropped, and may come back to a whole
state. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from harness.live.web.feed import Feed, Message

__all__ = ["PAGES_MAX", "QUEUE_MAX", "Page", "Pages"]

PAGES_MAX = 64
QUEUE_MAX = 100
# How soon a page comes back that lost its connection.
_RETRY = b"retry: 1000\n\n"

_encode = msgspec.json.Encoder().encode


class Page:
    """A page that is connected.

    Args:
        drop: ends its connection at once.

    Attributes:
        queue: what is still to be sent to it; None is the end.
    """

    def __init__(self, drop: Callable[[], None]) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        self._drop = drop

    def put(self, data: bytes | None) -> None:
        """Queue a message, or drop the page for whose queue it is one too many."""
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            self._drop()


class Pages:
    """All pages of one feed.

    Args:
        feed: what they are told.
        clock: seconds since the command began.
    """

    def __init__(self, feed: Feed, clock: Callable[[], float]) -> None:
        self._feed = feed
        self._clock = clock
        self._pages: set[Page] = set()
        self._points = msgspec.Raw(b"{}")
        self._points_version = -1

    def __len__(self) -> int:
        return len(self._pages)

    def join(self, drop: Callable[[], None]) -> Page | None:
        """A page that is told all from the beginning on; None when there are `PAGES_MAX`."""
        if len(self._pages) >= PAGES_MAX:
            return None
        page = Page(drop)
        self._pages.add(page)
        page.put(_RETRY)
        for message in self._feed.joining():
            page.put(self._encoded(message))
        return page

    def leave(self, page: Page) -> None:
        """A page is gone."""
        self._pages.discard(page)

    def tell(self, messages: Iterable[Message]) -> None:
        """Queue messages for every page."""
        if not self._pages:
            return
        for message in messages:
            data = self._encoded(message)
            for page in self._pages:
                page.put(data)

    def close(self) -> None:
        """Let each page have what it was told, and then end its stream."""
        for page in self._pages:
            page.put(None)

    def _encoded(self, message: Message) -> bytes:
        name, data = message
        if name == "state":
            data = self._state()
        return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))

    def _state(self) -> Mapping[str, Any]:
        points = self._feed.points
        if self._points_version != points.version:
            self._points = msgspec.Raw(_encode(points.columns))
            self._points_version = points.version
        return {**self._feed.state(self._clock()), "points": self._points}
