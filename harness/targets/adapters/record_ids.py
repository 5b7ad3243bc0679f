"""Ids of records for stores that restrict what an id may be.

An agent's and a state's id are any text. Some stores want a UUID, or put ids into the text of a
filter; what they are given is a digest of 128 bits, in which two ids do not meet by chance
(BLAKE2, RFC 7693), and the ids themselves go beside it.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["agent_tag", "record_id"]

_DIGEST_BYTES = 16


def record_id(agent_id: str, state_id: str) -> str:
    """The id of an agent's memory: 32 hexadecimal digits."""
    # The length says where one id ends: ("a", "bc") is not ("ab", "c").
    text = f"{len(agent_id)}:{agent_id}{state_id}"
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def agent_tag(agent_id: str) -> str:
    """What stands for an agent in a filter: 32 hexadecimal digits, which need no quoting."""
    return blake2b(agent_id.encode(), digest_size=_DIGEST_BYTES).hexdigest()
