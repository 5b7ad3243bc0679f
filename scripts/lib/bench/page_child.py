"""A run that never was, and a browser that looks at its live page: the child of `bench.page`."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

from harness.live.counts import OperationCounts
from harness.live.progress import NodeFigures, Progress, RoleFigures
from harness.live.web.web_view import WebView
from harness.schema import OPERATIONS, ROLES

__all__ = ["look"]

_OPENINGS = 5
# Seconds at once: no more than a page may have waiting for it.
_PIECE_S = 50
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_WAIT_MS = 120_000
_HEARING = """
window.EventSource = class extends EventSource {
  constructor(address) {
    super(address);
    this.addEventListener("point", (event) => { window.heard_s = JSON.parse(event.data).t; });
  }
};
"""
_FIRST_CHART = "() => performance.getEntriesByName('first-chart')[0]?.startTime"


def look(folder: str, chart_points: int, memory_s: int) -> dict[str, float]:
    """The median of some openings, and what one page holds in the end."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        run = _MadeRun(Path(folder))
        run.goes_on(chart_points)
        openings = [_first_chart_s(browser, run.view.address) for _ in range(_OPENINGS)]
        run.close()
        run = _MadeRun(Path(folder))
        used = _memory_bytes(browser, run, memory_s)
        run.close()
        browser.close()
    return {"first_chart_s": median(openings), "memory_bytes": used}


def _first_chart_s(browser: Any, address: str) -> float:
    page = browser.new_context().new_page()
    page.goto(address)
    found = page.wait_for_function(_FIRST_CHART, timeout=_WAIT_MS).json_value()
    page.context.close()
    return float(found) / 1e3


def _memory_bytes(browser: Any, run: _MadeRun, seconds: int) -> int:
    context = browser.new_context()
    context.add_init_script(_HEARING)
    page = context.new_page()
    page.goto(run.view.address)
    page.wait_for_selector("#connection[data-state=live]", timeout=_WAIT_MS)
    for _ in range(max(1, seconds // _PIECE_S)):
        run.goes_on(_PIECE_S)
        page.wait_for_function(
            "(at) => window.heard_s >= at", arg=run.at_s - _PIECE_S / 2, timeout=_WAIT_MS
        )
    session = context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    context.close()
    parts = ("usedSize", "embedderHeapUsedSize", "backingStorageSize")
    return int(sum(usage.get(part, 0) for part in parts))


class _MadeRun:
    """A run of every operation and role, on one node, with its own clock."""

    def __init__(self, folder: Path) -> None:
        self.at_s = 0.0
        self._latencies: Counter[int] = Counter()
        with ThreadPoolExecutor(1) as thread:  # where no other event loop is
            made = thread.submit(WebView, "run", folder, host=None, port=0, clock=self._clock)
            self.view = made.result()
        self.view.begin({"target": "memory_core"}, 500)

    def _clock(self) -> float:
        return self.at_s

    def goes_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.at_s += 1.0
            middle = 180 + round(8 * math.sin(self.at_s / 9))
            self._latencies.update({middle + place: 100 - 10 * place for place in range(10)})
            self.view.update(self._progress())

    def close(self) -> None:
        self.view.close()

    def _progress(self) -> Progress:
        done = self._latencies.total()
        each = OperationCounts(
            outcomes={"ok": done},
            response_ns=2_000_000 * done,
            queue_ns=500_000 * done,
            transport_ns=500_000 * done,
            shard_wait_ns=500_000 * done,
            service_ns=500_000 * done,
            latencies=dict(self._latencies),
        )
        wave = 10 * math.sin(self.at_s / 7)
        roles = {
            role: RoleFigures(processes=1, cpu_percent=50 + wave, rss_bytes=2**28) for role in ROLES
        }
        moved = int(self.at_s * 2**20)
        node = NodeFigures(
            node_id="0" * 56,
            host="host",
            wall_ns=int(self.at_s * 1e9),
            cpu_percent=50 + wave,
            cpu_count=2,
            memory_used_bytes=2**31,
            memory_available_bytes=2**31,
            disk_read_bytes=moved,
            disk_write_bytes=moved,
            net_received_bytes=moved,
            net_sent_bytes=moved,
            roles=roles,
        )
        return Progress(
            elapsed_s=self.at_s,
            phase="measuring",
            agents_total=500,
            agents_started=500,
            operations_done=len(OPERATIONS) * done,
            ops_per_s=1_500.0,
            p50_ms=2.0,
            p99_ms=4.0,
            cpu_percent_by_role={role: one.cpu_percent for role, one in roles.items()},
            rss_bytes_by_role={role: one.rss_bytes for role, one in roles.items()},
            node_cpu_percent=50 + wave,
            counts={("measure", name): each for name in OPERATIONS},
            nodes=(node,),
        )
