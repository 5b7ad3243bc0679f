"""Memories as Qdrant's points, the same in its local mode, its server and its Edge.

All agents' memories are in one collection, with the agent in the payload and in every filter, as
Qdrant's page "Multitenancy" has it. The state is in the payload as a mapping, so that its values
can be filtered by; what comes back is that mapping, packed again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from harness.targets.adapters.record_ids import record_id
from harness.targets.base import Hit, Memory

__all__ = ["AGENT", "attribute_key", "hit", "packed_state", "point_id", "point_payload"]

AGENT, _STATE_ID, _STATE = "agent", "state_id", "state"

_pack = msgspec.msgpack.Encoder().encode
# What Qdrant's paths into a payload take as it is; other names are quoted.
_BARE_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


def point_id(agent_id: str, state_id: str) -> str:
    """The id of a memory's point: Qdrant takes numbers and UUIDs."""
    return str(UUID(record_id(agent_id, state_id)))


def point_payload(memory: Memory) -> dict[str, Any]:
    """What is kept with a memory's vector."""
    return {AGENT: memory.agent_id, _STATE_ID: memory.state_id, _STATE: memory.state}


def packed_state(payload: Mapping[str, Any] | None) -> bytes:
    """The state of a point that was read with its payload."""
    return _pack((payload or {})[_STATE])


def hit(payload: Mapping[str, Any] | None, score: float) -> Hit:
    """What a search found with its payload; Qdrant's score for cosine is the similarity."""
    return Hit((payload or {})[_STATE_ID], score, packed_state(payload))


def attribute_key(name: str) -> str:
    """Where an attribute of the state is, as filters say it."""
    return f"{_STATE}.{name}" if _BARE_NAME.match(name) else f'{_STATE}."{name}"'
