"""Who runs where, as ``run.json`` has it: nodes with their hosts and roles, shards, cohorts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from harness.placement import Node, Places

__all__ = ["cohort_documents", "hosts_of", "node_document"]


def hosts_of(nodes: Iterable[Node], node_ids: Collection[str]) -> dict[str, str]:
    """What sentences call those of the nodes, by their ids: a host's name, or its address."""
    return {node.node_id: node.host or node.address for node in nodes if node.node_id in node_ids}


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
