"""Who runs where, as ``run.json`` has it: nodes with their hosts and roles, shards, cohorts."""

from __future__ import annotations

from typing import Any

from harness.placement import Node, Places

__all__ = ["cohort_documents", "node_document"]


def cohort_documents(places: Places) -> list[dict[str, Any]]:
    """The cohorts as ``run.json`` has them."""
    return [
        {"cohort": cohort, "first_agent": first, "agents": last - first, "node_id": node_id}
        for cohort, ((first, last), node_id) in enumerate(
            zip(places.ranges, places.cohorts, strict=True)
        )
    ]


def node_document(node: Node) -> dict[str, Any]:
    """A node as ``run.json`` has it; ``role`` is None where it was started with none."""
    return {
        "node_id": node.node_id,
        "address": node.address,
        "host": node.host,
        "role": node.roles[0] if node.roles else None,
        "cpus": node.cpus,
        "memory_bytes": node.memory_bytes,
    }
