"""The nodes of a run while it goes on: those that come late, those that go, and their clocks.

A thread asks Ray every second which nodes are alive, and each new node's sampler for its clock;
whatever hangs there holds up that thread and not the run. What came of it is acted upon when the
driver looks. Ray shows a node that died as alive for some seconds; so an event comes late, and a
node that was gone and is back within those seconds was never gone: it has its old id.

A Ray of our own has one node from its start to its end, and is not watched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from harness.clock_offsets import SAME_CLOCK, ClockOffset, clock_document
from harness.placement import Node
from harness.ray_session import RaySession, alive_nodes
from harness.rundir import RunDirectory
from harness.samplers import Samplers
from harness.topology import node_document

__all__ = ["NodeWatch"]

_INTERVAL_S = 1.0
_CLOSE_TIMEOUT_S = 3.0
_CLOCKS_TIMEOUT_S = 10.0


class NodeWatch:
    """Watches the nodes of a run. `look` and the others are for the driver's thread.

    Args:
        session: whose nodes there are at the start.
        samplers: one is started on each node that joins; None where nothing is recorded.
        directory: gets an event for each node that comes or goes.
        alive: gives the nodes that are alive.

    Attributes:
        problems: nodes that went, in sentences.
    """

    def __init__(
        self,
        session: RaySession,
        samplers: Samplers | None,
        directory: RunDirectory,
        alive: Callable[[], list[Node]] = alive_nodes,
    ) -> None:
        self.problems: list[str] = []
        self._topology: dict[str, Any] = {}
        self._samplers = samplers
        self._directory = directory
        self._alive = alive
        self._driver_node_id = session.node_id
        self._documents = {node.node_id: node_document(node) for node in session.nodes}
        self._there = {node.node_id for node in session.nodes}
        self._seen: list[Node] | None = None
        self._lock = threading.Lock()
        self._starts: dict[str, ClockOffset] = {session.node_id: SAME_CLOCK}
        self._ends: dict[str, ClockOffset] = {session.node_id: SAME_CLOCK}
        self._clocks_written = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if not session.owned:
            self._thread = threading.Thread(target=self._keep_looking, name="nodes", daemon=True)
            self._thread.start()

    def describe(self, **topology: Any) -> None:
        """Write ``topology`` of ``run.json``: the nodes that there were, and what is given."""
        self._topology |= topology
        document = {
            "driver_node_id": self._driver_node_id,
            "nodes": list(self._documents.values()),
            **self._topology,
        }
        self._directory.write_run({"topology": document})

    @property
    def hosts(self) -> dict[str, str]:
        """The name of each node's host, or its address, by the node's id."""
        return {
            node_id: document["host"] or document["address"]
            for node_id, document in self._documents.items()
        }

    def name(self, node_id: str) -> str:
        """What a sentence calls a node: its host, and enough of its id to tell it from another."""
        document = self._documents[node_id]
        return f"{document['host'] or document['address']} ({node_id[:8]})"

    def look(self) -> None:
        """Act upon what changed since the last look. Never waits."""
        with self._lock:
            seen, self._seen = self._seen, None
            clocks = len(self._starts)
        if clocks > self._clocks_written:
            self._write_clocks()
            self._clocks_written = clocks
        if seen is None:
            return
        there = {node.node_id: node for node in seen}
        joined = [node for node_id, node in there.items() if node_id not in self._there]
        gone = sorted(self._there - set(there))
        for node in joined:
            self._join(node)
        for node_id in gone:
            self._leave(node_id)
        if joined or gone:
            self.describe()

    def finish(self) -> None:
        """End watching, ask every node for its clock once more, and write ``clocks``.

        Waits some seconds at most, and no longer for a node that does not answer.
        """
        self.close()
        deadline_s = time.monotonic() + _CLOCKS_TIMEOUT_S
        for node_id in sorted(self._there - {self._driver_node_id}):
            if self._samplers is None or time.monotonic() > deadline_s:
                break
            offset = self._samplers.measure_clock(node_id)
            if offset is not None:
                self._ends[node_id] = offset
        self._write_clocks()

    def close(self) -> None:
        """End the thread; one that hangs is left behind."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _write_clocks(self) -> None:
        with self._lock:
            starts = dict(self._starts)
        found = {
            node_id: clock_document(starts.get(node_id), self._ends.get(node_id))
            for node_id in self._documents
        }
        known = {node_id: clock for node_id, clock in found.items() if clock is not None}
        self._directory.write_run({"clocks": known})

    def _join(self, node: Node) -> None:
        self._there.add(node.node_id)
        document = {**node_document(node), "joined_wall_ns": time.time_ns()}
        self._documents[node.node_id] = document
        self._directory.append_event("node joined", node_id=node.node_id, host=node.host)
        if self._samplers is not None:
            self._samplers.join(node)

    def _leave(self, node_id: str) -> None:
        self._there.discard(node_id)
        document = self._documents[node_id]
        document["gone_wall_ns"] = time.time_ns()
        self._directory.append_event("node gone", node_id=node_id, host=document["host"])
        self.problems.append(
            f"node {self.name(node_id)} went during the run; its samples end there"
        )
        if self._samplers is not None:
            self._samplers.leave(node_id)

    def _keep_looking(self) -> None:
        while not self._closed.wait(_INTERVAL_S):
            try:
                seen = self._alive()
            except Exception:  # noqa: BLE001, S112 - Ray does not answer: the run goes on
                continue
            with self._lock:
                self._seen = seen
                unknown = [node.node_id for node in seen if node.node_id not in self._starts]
            for node_id in unknown:
                if self._samplers is None or self._closed.is_set():
                    break
                offset = self._samplers.measure_clock(node_id)
                if offset is not None:
                    with self._lock:
                        self._starts[node_id] = offset
