"""Who runs where, for ``run.json``: nodes with their hosts and roles, shards, cohorts."""

from __future__ import annotations

from typing import Any

from harness.placement import Node, Places
from harness.ray_session import RaySession
from harness.targets.base import Prepared

__all__ = ["node_document", "topology"]


def topology(session: RaySession, ready: Prepared, places: Places) -> dict[str, Any]:
    """The entry ``topology`` of a run's ``run.json``."""
    return {
        "driver_node_id": session.node_id,
        "nodes": [node_document(node) for node in session.nodes],
        "target": ready.topology,
        "cohorts": [
            {
                "cohort": cohort,
                "first_agent": first,
                "agents": last - first,
                "node_id": places.cohorts[cohort],
            }
            for cohort, (first, last) in enumerate(places.ranges)
        ],
    }


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
