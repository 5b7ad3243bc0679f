"""The new database of a repair while it is filled with what could be read of the damaged one.

`ids` is made anew from the records of the lower tiers, so what is damaged there is not missed.
Of a memory that is found more than once the record stored last is kept, and of equals the one
further down: what was moved is left behind by a move whose deletion was lost.

**Deleted memories.** A record that lay beneath damage may have been deleted or replaced in what is
damaged. `ids` lies in tables of its own and so can tell: where it is whole, a lower record that it
does not name was taken out, and is left out. Where it cannot tell, the record is saved and counted.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from memory_core.errors import DatabaseError
from memory_core.log import IDS, Batch, Log
from memory_core.operations import TIERS
from memory_core.record import SEQUENCE_BYTES
from memory_core.rocks_tools import NAMING_KEY, View
from memory_core.salvage import Gap, Salvage
from memory_core.tier_reading import Taken, in_parts, take_apart

__all__ = ["Saving", "Witness"]

_STM = 0
_LTM = len(TIERS) - 1
_WRITTEN_TOGETHER = 1_000
# Records under a number that another memory has: beyond this they are counted as lost.
_MAX_CLASHING = 100_000


class Witness:
    """What the entries of `ids` in a view tell about records that may be out of date.

    Args:
        view: whose entries they are; what is neither there nor in a gap was taken out.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        salvage = Salvage(functools.partial(view.cursor, "ids"), view.error_of)
        for _ in salvage.records():
            pass
        self._gaps = salvage.gaps

    def of(self, records: list[Taken]) -> list[bool | None]:
        """For each lower record whether it is one of the database's now; None if unknown."""
        told: list[bool | None] = []
        for one in records:
            is_named: bool | None = None
            if not any(gap.covers(one.id_key) for gap in self._gaps):
                with contextlib.suppress(DatabaseError):
                    is_named = self._view.get("ids", one.id_key) == one.key[-SEQUENCE_BYTES:]
            told.append(is_named)
        return told


@dataclass
class Saving:
    """A new database while it is filled.

    Attributes:
        log: the database.
        dimension: of its vectors.
        from_beneath: memories that may be out of date, saved because nothing tells.
        not_records: what was no whole record.
    """

    log: Log
    dimension: int
    from_beneath: int = 0
    not_records: int = 0
    _last: int = 0
    _clashing: list[tuple[int, Taken]] = field(default_factory=list)

    def take(
        self,
        view: View,
        only_in: Mapping[str, list[Gap]] | None = None,
        *,
        beneath: Collection[str] = (),
        witness: Witness | None = None,
    ) -> dict[str, list[Gap]]:
        """Take over what a view shows; where it could not be read, by tier.

        Args:
            view: the source.
            only_in: take only what lies in these gaps, by tier; None takes everything.
            beneath: tiers whose records may be out of date.
            witness: what tells whether one of a lower tier is; None if nothing does.
        """
        gaps: dict[str, list[Gap]] = {}
        # from the bottom up: of a memory in two tiers the lower is where it was moved to
        for tier in reversed(range(len(TIERS))):
            name = TIERS[tier]
            if name not in view.families or (only_in is not None and not only_in.get(name)):
                continue
            salvage = Salvage(functools.partial(view.cursor, name), view.error_of)
            for records in in_parts(salvage.records(), _WRITTEN_TOGETHER):
                taken = self._taken(tier, records, None if only_in is None else only_in[name])
                if name not in beneath:
                    self._put_all(tier, taken)
                    continue
                told = witness.of(taken) if tier != _STM and witness else [None] * len(taken)
                sure = [one for one, is_so in zip(taken, told, strict=True) if is_so]
                unsure = [one for one, is_so in zip(taken, told, strict=True) if is_so is None]
                self._put_all(tier, sure)
                self.from_beneath += self._put_all(tier, unsure)
            if salvage.gaps:
                gaps[name] = salvage.gaps
        return gaps

    def finish(self) -> None:
        """Write what waited for a number of its own, and put all of it on the disk."""
        for tier, one in self._clashing:
            [short], [entry] = (self.log.get_many(of, [one.id_key]) for of in (_STM, IDS))
            if _number_of(short, entry) >= one.sequence:
                continue
            self._last += 1
            number = self._last
            value = number.to_bytes(SEQUENCE_BYTES, "little") + one.value[SEQUENCE_BYTES:]
            key = one.key[:-SEQUENCE_BYTES] + number.to_bytes(SEQUENCE_BYTES, "big")
            self._put_all(tier, [one._replace(key=key, value=value, sequence=number)])
        self._clashing = []
        self.log.sync()

    def missing_of(self, view: View) -> tuple[int, bytes | None]:
        """How many entries of `ids` in a view have no memory here, and the first one's key."""
        count, first = 0, None
        salvage = Salvage(functools.partial(view.cursor, "ids"), view.error_of)
        for records in in_parts(salvage.records(), _WRITTEN_TOGETHER):
            keys = [key for key, _ in records if key != NAMING_KEY]
            held = zip(
                keys, self.log.get_many(_STM, keys), self.log.get_many(IDS, keys), strict=True
            )
            missing = [key for key, short, entry in held if short is None and entry is None]
            count += len(missing)
            first = first or next(iter(missing), None)
        return count, first

    def _taken(
        self, tier: int, records: list[tuple[bytes, bytes]], only_in: list[Gap] | None
    ) -> list[Taken]:
        taken = []
        for key, value in records:
            if key == NAMING_KEY:
                continue
            if only_in is not None and not any(gap.covers(key) for gap in only_in):
                continue
            try:
                one = take_apart(tier, key, value, self.dimension, trust_key=False)
            except ValueError:
                self.not_records += 1
                continue
            if tier != _STM:
                own = one.sequence.to_bytes(SEQUENCE_BYTES, "big")
                one = one._replace(key=key[:-SEQUENCE_BYTES] + own)
            taken.append(one)
        return taken

    def _put_all(self, tier: int, records: list[Taken]) -> int:
        """Write what is newer than what is there; how many."""
        written = 0
        while records:
            together: dict[bytes, Taken] = {}
            # the same memory again waits until the first is written
            later = [one for one in records if together.setdefault(one.id_key, one) is not one]
            written += self._put(tier, list(together.values()))
            records = later
        return written

    def _put(self, tier: int, records: list[Taken]) -> int:
        """Write distinct memories."""
        log, batch, written = self.log, self.log.batch(), 0
        ids = [one.id_key for one in records]
        upper, entries = log.get_many(_STM, ids), log.get_many(IDS, ids)
        taken_by = self._lower_numbers(tier, records)
        for one, short, entry in zip(records, upper, entries, strict=True):
            held = _number_of(short, entry)
            if held > one.sequence or (held == one.sequence and self._is_below(tier, one, entry)):
                continue
            if tier != _STM and held != one.sequence and one.key in taken_by:
                self._put_aside(tier, one)
                continue
            self._take_out(batch, one, short, entry)
            batch.put(tier, one.id_key if tier == _STM else one.key, one.value)
            if tier != _STM:
                batch.put(IDS, one.id_key, one.key[-SEQUENCE_BYTES:])
                taken_by.add(one.key)
            self._last = max(self._last, one.sequence)
            written += 1
        if len(batch):
            log.write(batch)
        return written

    def _lower_numbers(self, tier: int, records: list[Taken]) -> set[bytes]:
        """Keys of the lower tiers, of those of the records, that have a memory already."""
        if tier == _STM:
            return set()
        keys = [one.key for one in records]
        return {
            key
            for lower in range(_STM + 1, len(TIERS))
            for key, value in zip(keys, self.log.get_many(lower, keys), strict=True)
            if value is not None
        }

    def _is_below(self, tier: int, one: Taken, entry: bytes | None) -> bool:
        """Whether the record of the same number that is there is no higher up than ``tier``."""
        if entry is None:
            return tier == _STM
        return tier != _LTM or self.log.get(_LTM, one.key) is not None

    def _take_out(self, batch: Batch, one: Taken, short: bytes | None, entry: bytes | None) -> None:
        """Take out what is there of a memory."""
        if short is not None:
            batch.delete(_STM, one.id_key)
        if entry is not None:
            agent = one.id_key[: 2 + int.from_bytes(one.id_key[:2], "big")]
            for lower in range(_STM + 1, len(TIERS)):
                batch.delete(lower, agent + entry)
            batch.delete(IDS, one.id_key)

    def _put_aside(self, tier: int, one: Taken) -> None:
        """Keep a record whose number another memory of its agent has, to give it a new one."""
        if len(self._clashing) < _MAX_CLASHING:
            self._clashing.append((tier, one))
        else:
            self.not_records += 1


def _number_of(short: bytes | None, entry: bytes | None) -> int:
    """The sequence of a memory by its short-term value or its entry in `ids`; -1 for neither."""
    if short is not None:
        return int.from_bytes(short[:SEQUENCE_BYTES], "little")
    return -1 if entry is None else int.from_bytes(entry, "big")
