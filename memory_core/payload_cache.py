"""Recently stored states in memory, so that reading them costs no database look-up."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["PayloadCache"]

_ENTRY_OVERHEAD_BYTES = 200


class PayloadCache:
    """Packed states by record key; the oldest leave when ``max_bytes`` is passed.

    First in, first out: a look-up moves nothing, which keeps it as cheap as a dict's.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._payloads: OrderedDict[bytes, bytes] = OrderedDict()
        self.get = self._payloads.get

    def put(self, key: bytes, payload: bytes) -> None:
        """Remember the payload of a record, replacing an earlier one."""
        payloads = self._payloads
        replaced = payloads.get(key)
        payloads[key] = payload
        if replaced is not None:
            self._bytes += len(payload) - len(replaced)
        else:
            self._bytes += len(key) + len(payload) + _ENTRY_OVERHEAD_BYTES
        while self._bytes > self._max_bytes and payloads:
            old_key, old = payloads.popitem(last=False)
            self._bytes -= len(old_key) + len(old) + _ENTRY_OVERHEAD_BYTES

    def clear(self) -> None:
        """Forget everything."""
        self._payloads.clear()
        self._bytes = 0
