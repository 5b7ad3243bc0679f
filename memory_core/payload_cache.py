"""Recently stored states in memory, so that reading them costs no database look-up."""

from __future__ import annotations

__all__ = ["PayloadCache"]

_ENTRY_OVERHEAD_BYTES = 200


class PayloadCache:
    """Packed states by record key, in two generations.

    What is stored goes into the young one. When that has reached half of ``max_bytes`` it
    becomes the old one, and what was old is forgotten: so the newest stay, at the cost of a
    plain dict, and the bound is held without a look at each entry.

    Attributes:
        young: the newest payloads, to be written by ``young[key] = payload`` followed by
            `account`; `get` looks in both generations.
    """

    def __init__(self, max_bytes: int) -> None:
        self._half_bytes = max_bytes // 2
        self._young_bytes = 0
        self._old: dict[bytes, bytes] = {}
        self.young: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The payload of a record, or None when it is not remembered."""
        payload = self.young.get(key)
        return payload if payload is not None else self._old.get(key)

    def account(self, entries: int, payload_bytes: int) -> None:
        """Note that ``entries`` payloads were put into `young`; keeps the bound."""
        self._young_bytes += payload_bytes + entries * _ENTRY_OVERHEAD_BYTES
        if self._young_bytes > self._half_bytes:
            # a state that is stored anew stands in the young one, which is looked in first
            self._old = self.young if self._half_bytes else {}
            self.young = {}
            self._young_bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self.young, self._old, self._young_bytes = {}, {}, 0
