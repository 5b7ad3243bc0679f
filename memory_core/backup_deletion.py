"""Deletes old backups of a memory, and the files that no backup needs any more.

It is put off while a backup is being made, which counts on files that it found. A restore of a
backup that is deleted meanwhile fails, and names the file that it missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from memory_core.backup_manifest import Manifest
from memory_core.backup_marks import STALE_NS
from memory_core.backup_repository import BackupRepository
from memory_core.errors import BadInputError

__all__ = ["Removal", "remove_all_but"]


@dataclass
class Removal:
    """What a deletion removed.

    Attributes:
        backups: ids of those that are gone.
        files: how many files went with them.
        freed_bytes: their size.
        put_off: why nothing, or less than asked for, was deleted; or None.
    """

    backups: list[str] = field(default_factory=list)
    files: int = 0
    freed_bytes: int = 0
    put_off: str | None = None


def remove_all_but(repository: BackupRepository, keep: int) -> Removal:
    """Delete backups but the newest ``keep``, and files that none needs.

    Files stay while there is a backup whose manifest cannot be read.

    Raises:
        BadInputError: ``keep`` is below 1.
        UnavailableError: something cannot be read or removed; what is removed is removed.
    """
    if keep < 1:
        raise BadInputError("keep", f"must be at least 1, not {keep}")
    marks = repository.marks
    own = marks.leave("deletion")
    try:
        under_way = marks.of("backup")
        if under_way:
            return Removal(put_off=f"backup {under_way[0]} is being made")
        if any(one != own for one in marks.of("deletion")):
            return Removal(put_off="another deletion goes on")
        # past half the life of its mark nobody may count on it being seen
        until_ns = repository.clock() + STALE_NS // 2
        return _remove(repository, keep, until_ns)
    finally:
        marks.take_away("deletion", own)


def _remove(repository: BackupRepository, keep: int, until_ns: int) -> Removal:
    removal, listing = Removal(), repository.listing()
    for manifest in listing.backups[:-keep]:
        repository.remove(manifest.backup)
        removal.backups.append(manifest.backup)
    if listing.damaged:
        why = f"files stay, since it is not known which are needed: {listing.damaged[0]}"
        removal.put_off = why
        return removal
    needed = _needed(listing.backups[-keep:])
    for digest, size in repository.tables():
        if digest in needed:
            continue
        if repository.clock() > until_ns:
            removal.put_off = "it took too long; the rest goes with the next"
            return removal
        repository.remove_table(digest)
        removal.files += 1
        removal.freed_bytes += size
    return removal


def _needed(manifests: list[Manifest]) -> set[str]:
    return {
        file.sha256 for manifest in manifests for shard in manifest.shards for file in shard.files
    }
