"""Who watches a run: pages that read its events, and a Prometheus; all in a process of their own.

A page reads the stream of Server-Sent Events and parses every message, as the page's own script
does; when the run has ended it fetches the report. Prometheus asks for the metrics every second and
parses them with the library's own parser.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["watch"]

_SCRAPE_INTERVAL_S = 1.0
_AGAIN_S = 0.2
_MEASURING = "measuring"
# The state that a page gets when it joins is one line.
_LINE_BYTES_MAX = 16 * 2**20


def watch(page: str, metrics: str, pages: int, bound_s: float) -> dict[str, float]:
    """Watch one run from before it serves anything to its end; what was seen.

    Args:
        page: address of the live page.
        metrics: of the metrics.
        pages: how many.
        bound_s: for all of it.

    Returns:
        ``messages_min`` and ``points_min``, of the page that had the fewest; ``reconnections`` and
        ``reports`` of all; ``scrapes`` and ``samples_max`` of one; ``bytes``; and, of the time in
        which the run was measured, ``cpu_s`` of this process and ``lasted_s``.
    """
    return asyncio.run(_watch(page, metrics, pages, bound_s))


class _Seen:
    """What all pages saw together."""

    def __init__(self) -> None:
        self.bytes = self.reconnections = self.reports = 0
        self.is_over = False
        self.messages: list[Counter[str]] = []
        self.measuring: list[tuple[float, float]] = []

    def note_phase(self, phase: str) -> None:
        """Remember when, and after how much CPU of this process, a run was measured."""
        if phase == _MEASURING:
            now = (time.monotonic(), time.process_time())
            self.measuring = [*self.measuring[:1], now]


async def _watch(page: str, metrics: str, pages: int, bound_s: float) -> dict[str, float]:
    seen, scraped = _Seen(), Counter[str]()
    async with (
        asyncio.timeout(bound_s),
        aiohttp.ClientSession(
            read_bufsize=_LINE_BYTES_MAX, timeout=aiohttp.ClientTimeout(total=None)
        ) as session,
    ):
        scraping = asyncio.create_task(_scrape(session, metrics, scraped, seen))
        await asyncio.gather(*(_page(session, page, seen) for _ in range(pages)))
        seen.is_over = True
        await scraping
    first, last = seen.measuring[0], seen.measuring[-1]
    return {
        "messages_min": min(one.total() for one in seen.messages),
        "points_min": min(one["point"] for one in seen.messages),
        "reconnections": seen.reconnections,
        "reports": seen.reports,
        "bytes": seen.bytes,
        "scrapes": scraped["scrapes"],
        "samples_max": scraped["samples"],
        "cpu_s": last[1] - first[1],
        "lasted_s": last[0] - first[0],
    }


async def _page(session: aiohttp.ClientSession, page: str, seen: _Seen) -> None:
    """One page, from when it can be had to the report."""
    messages: Counter[str] = Counter()
    seen.messages.append(messages)
    while True:
        try:
            async with session.get(f"{page}events") as response:
                response.raise_for_status()
                async for kind, content in _messages(response, seen):
                    messages[kind] += 1
                    now = content.get("now", content if kind == "now" else {})
                    seen.note_phase(now.get("phase", ""))
                    if kind == "end":
                        await _fetch_report(session, page, seen)
                        return
            seen.reconnections += 1
        except aiohttp.ClientConnectionError:
            seen.reconnections += bool(messages)
        await asyncio.sleep(_AGAIN_S)


async def _messages(
    response: aiohttp.ClientResponse, seen: _Seen
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    kind, data = "message", ""
    async for raw in response.content:
        seen.bytes += len(raw)
        line = raw.decode().rstrip("\r\n")
        if not line and data:
            yield kind, json.loads(data)
            kind, data = "message", ""
        elif line.startswith("event:"):
            kind = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data += line.removeprefix("data:").strip()


async def _fetch_report(session: aiohttp.ClientSession, page: str, seen: _Seen) -> None:
    async with session.get(f"{page}report") as response:
        response.raise_for_status()
        await response.read()
        seen.reports += 1


async def _scrape(
    session: aiohttp.ClientSession, address: str, scraped: Counter[str], seen: _Seen
) -> None:
    """Scrape until the pages have seen the end, but once at least."""
    while not (seen.is_over and scraped["scrapes"]):
        try:
            async with session.get(address) as response:
                response.raise_for_status()
                text = await response.text()
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(_AGAIN_S)
            continue
        families = text_string_to_metric_families(text)
        samples = sum(len(family.samples) for family in families)
        scraped["scrapes"] += 1
        scraped["samples"] = max(scraped["samples"], samples)
        await asyncio.sleep(_SCRAPE_INTERVAL_S)
