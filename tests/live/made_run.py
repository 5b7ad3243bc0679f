"""A run that never was, for the live page: as a real one tells it, at whatever pace a test likes.

Its clock is its own, so that an hour passes in seconds; the server and the page are the real ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.live.counts import OperationCounts
from harness.live.progress import NodeFigures, Progress, RoleFigures
from harness.live.web.web_view import WebView

__all__ = ["SUMMARY", "MadeRun"]

SUMMARY: Mapping[str, Any] = {
    "operations": 61_234,
    "failed": 7,
    "duration_s": 61.0,
    "throughput_ops_s": 1003.8,
    **{
        name: {"count": 20_411, "mean_ms": 2.0, "p50_ms": 1.624, "p90_ms": 2.5, "p99_ms": 8.375}
        for name in ("all", "store", "retrieve", "search")
    },
}
_A_SECOND = {"store": 500, "retrieve": 300, "search": 200}
_ROLES = {"shard": (120.0, 700), "cohort": (150.0, 400), "driver": (6.0, 300)}


class MadeRun:
    """A run and the view that serves it, from a thread of its own: playwright's has a loop.

    Args:
        path: of its directory.
        host, port: where it is served, as of `WebView`.
        nodes: ids of its nodes, by their hosts' names.
        command: as in ``run.json``.
    """

    def __init__(
        self,
        path: Path,
        *,
        host: str | None = None,
        port: int = 0,
        nodes: Mapping[str, str] | None = None,
        command: str = "run",
    ) -> None:
        self.at_s = 0.0
        self._nodes = {"a" * 56: "host-a"} if nodes is None else nodes
        self._outcomes: dict[str, Counter[str]] = {name: Counter() for name in _A_SECOND}
        self._latencies: dict[str, Counter[int]] = {name: Counter() for name in _A_SECOND}
        with ThreadPoolExecutor(1) as thread:
            self.view: WebView = thread.submit(
                lambda: WebView(command, path, host=host, port=port, clock=lambda: self.at_s)
            ).result()

    def begin(self, **plan: Any) -> None:
        """The run, or a step, begins."""
        shown = {"target": "memory_core", "workload": "standard", "durability": "fsync", **plan}
        self.view.begin({**shown, "rounds": 20, "seed": 1}, 50)

    def goes_on(self, seconds: int, failures: Sequence[str] = ()) -> Progress:
        """Some seconds pass, each with its operations, and failures of some outcomes."""
        now = self._progress()
        for _ in range(seconds):
            self.at_s += 1.0
            for place, (name, count) in enumerate(_A_SECOND.items()):
                self._outcomes[name].update({"ok": count, **dict.fromkeys(failures, 2)})
                bucket = 170 + 8 * place + round(6 * math.sin(self.at_s / 9))
                slow = {bucket: count - 5, bucket + 30: 5, bucket + 45: 2 * len(failures)}
                self._latencies[name].update(slow)
            now = self._progress()
            self.view.update(now)
        return now

    def ends(self, status: str = "complete") -> None:
        """The run has been summed up."""
        self.view.end(status, SUMMARY)

    def close(self) -> None:
        """The server is gone."""
        self.view.close()

    def _progress(self) -> Progress:
        counts = {("measure", name): self._counts(name) for name in _A_SECOND}
        done = sum(one.operations for one in counts.values())
        failed = done - sum(one.outcomes.get("ok", 0) for one in counts.values())
        return Progress(
            elapsed_s=self.at_s,
            phase="measuring",
            agents_total=50,
            agents_started=min(50, int(self.at_s)),
            agents_done=int(self.at_s / 100),
            operations_done=done,
            operations_total=100_000,
            ops_per_s=1000.0 if done else 0.0,
            p50_ms=1.75 if done else None,
            p99_ms=7.25 if done else None,
            failures=failed,
            retries=3,
            in_flight=40,
            cpu_percent_by_role=self._by_role("cpu_percent") if done else {},
            rss_bytes_by_role=self._by_role("rss_bytes") if done else {},
            node_cpu_percent=62.5 if done else None,
            eta_s=39.0,
            counts=counts,
            nodes=[self._node(*one) for one in self._nodes.items()] if done else (),
        )

    def _by_role(self, name: str) -> dict[str, Any]:
        nodes = [self._node(*one) for one in self._nodes.items()]
        return {role: sum(getattr(one.roles[role], name) for one in nodes) for role in _ROLES}

    def _counts(self, name: str) -> OperationCounts:
        latencies = self._latencies[name]
        return OperationCounts(
            outcomes=dict(self._outcomes[name]),
            response_ns=2_000_000 * latencies.total(),
            queue_ns=700_000 * latencies.total(),
            transport_ns=600_000 * latencies.total(),
            shard_wait_ns=200_000 * latencies.total(),
            service_ns=500_000 * latencies.total(),
            latencies=dict(latencies),
        )

    def _node(self, node_id: str, host: str) -> NodeFigures:
        moved = int(self.at_s * 2**20)
        return NodeFigures(
            node_id=node_id,
            host=host,
            wall_ns=int(self.at_s * 1e9),
            cpu_percent=50 + 10 * math.sin(self.at_s / 7),
            cpu_count=2,
            memory_used_bytes=2**31 + moved,
            memory_available_bytes=2**31,
            disk_read_bytes=moved // 8,
            disk_write_bytes=20 * moved,
            net_received_bytes=12 * moved,
            net_sent_bytes=11 * moved,
            roles={
                role: RoleFigures(
                    processes=2,
                    cpu_percent=cpu + 10 * math.sin(self.at_s / 5),
                    rss_bytes=mib * 2**20 + moved // 50,
                )
                for role, (cpu, mib) in _ROLES.items()
            },
        )
