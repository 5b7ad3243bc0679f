"""CRC-32C (Castagnoli) as RocksDB's logs hold it, in plain Python: some 10 MB a second."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["lengths_with_checksum", "masked_crc32c"]

_MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes) -> int:
    """The checksum of data, masked (RocksDB's ``util/crc32c.h``)."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return _masked(crc ^ 0xFFFFFFFF)


def lengths_with_checksum(first: int, data: memoryview, checksum: int) -> Iterator[int]:
    """Each n for which the byte ``first`` and n bytes of data have the masked checksum."""
    unmasked = (checksum - _MASK_DELTA) & 0xFFFFFFFF
    wanted = (((unmasked >> 17) | (unmasked << 15)) & 0xFFFFFFFF) ^ 0xFFFFFFFF
    table = _TABLE
    crc = table[(0xFFFFFFFF ^ first) & 0xFF] ^ 0x00FFFFFF
    if crc == wanted:
        yield 0
    for number, byte in enumerate(data, 1):
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        if crc == wanted:
            yield number


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _make_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _make_table()
