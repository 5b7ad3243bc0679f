"""A page as the stream makes it, and progress to feed it with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from harness.live.counts import Counts, OperationCounts
from harness.live.progress import NodeFigures, Progress, RoleFigures

__all__ = ["SeenPage", "counted", "node", "progress_of"]


class SeenPage:
    """What a page knows that keeps to the wire format: a state, and what came after it.

    Attributes:
        state: None before the first.
        end: the last message, if there was one.
        names: of the messages, in their order.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.end: dict[str, Any] | None = None
        self.names: list[str] = []

    def see(self, stream: bytes) -> None:
        """Take whole messages as they come."""
        for block in stream.split(b"\n\n"):
            lines = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if b"event" in lines:
                self.take(lines[b"event"].decode(), json.loads(lines[b"data"]))

    def take(self, name: str, data: dict[str, Any]) -> None:
        """Take one message."""
        self.names.append(name)
        if name == "state":
            self.state = data
            return
        state = self.state
        assert state is not None, "a state comes first"
        if name == "point":
            self._add_point(data)
        elif name == "mark":
            state["marks"].append(data)
        elif name == "summary":
            state.update(data)
        elif name == "end":
            self.end = data
            state.update(status=data["status"], summary=data["summary"])
        else:
            assert name in {"now", "step", "nodes"}
            state[name] = data

    def _add_point(self, data: dict[str, Any]) -> None:
        state = self.state
        assert state is not None
        state["now"] = data.pop("now")
        columns = state["points"]
        count = len(columns["t"])
        for series in data.keys() - columns.keys():
            columns[series] = [None] * count
        for series, column in columns.items():
            column.append(data.get(series))


def counted(
    operations: int,
    *,
    op: str = "search",
    phase: str = "measure",
    failed: int = 0,
    bucket: int = 100,
    part_ns: int = 1_000_000,
) -> Counts:
    """Counts of one kind: each operation took the same time, in four equal parts."""
    outcomes = {"ok": operations - failed, "timeout": failed}
    return {
        (phase, op): OperationCounts(
            outcomes={how: count for how, count in outcomes.items() if count},
            response_ns=4 * part_ns * operations,
            queue_ns=part_ns * operations,
            transport_ns=part_ns * operations,
            shard_wait_ns=part_ns * operations,
            service_ns=part_ns * operations,
            latencies={bucket: operations} if operations else {},
        )
    }


def node(name: str, wall_s: float, sent_bytes: int = 0, **roles: float) -> NodeFigures:
    """A node's sample at a time; roles with their CPU."""
    return NodeFigures(
        node_id=name,
        host=f"host of {name}",
        wall_ns=round(wall_s * 1e9),
        cpu_percent=50.0,
        cpu_count=2,
        memory_used_bytes=1_000,
        memory_available_bytes=2_000,
        net_sent_bytes=sent_bytes,
        roles={
            role: RoleFigures(processes=1, cpu_percent=cpu, rss_bytes=10)
            for role, cpu in roles.items()
        },
    )


def progress_of(
    elapsed_s: float,
    counts: Counts | None = None,
    nodes: Iterable[NodeFigures] = (),
    **others: Any,
) -> Progress:
    """A snapshot whose totals are those of its counts."""
    counts = {} if counts is None else counts
    measured: Mapping[Any, OperationCounts] = {
        key: one for key, one in counts.items() if key[0] == "measure"
    }
    done = sum(one.operations for one in measured.values())
    return Progress(
        **{
            "elapsed_s": elapsed_s,
            "phase": "measuring",
            "operations_done": done,
            "counts": counts,
            "nodes": tuple(nodes),
            **others,
        }
    )
