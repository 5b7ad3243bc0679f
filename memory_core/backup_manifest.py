"""What a backup of a memory says of itself: its manifest, as JSON with a checksum over it.

A manifest is read from where others may have written: names, sizes and checksums are looked at
before anything is done with them, so that none leads out of the folder that is restored to.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from memory_core.errors import BadInputError, CorruptionError, IncompatibleError

__all__ = [
    "MAX_MANIFEST_BYTES",
    "SCHEMA_VERSION",
    "Manifest",
    "ShardBackup",
    "StoredFile",
    "check_backup_id",
    "check_memory_name",
    "decode_manifest",
    "encode_manifest",
    "time_of_backup_ns",
]

SCHEMA_VERSION = 1
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
MAX_SHARDS = 10_000
_BACKUP_ID = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-[0-9a-f]{8}")
_ID_TIME = "%Y%m%dT%H%M%S.%fZ"
_MEMORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
# The files of a checkpoint that opening a database needs, or would make with other settings.
_FILE = re.compile(
    r"\d{6,20}\.(sst|log)|MANIFEST-\d{6,20}|CURRENT|IDENTITY|OPTIONS-\d{6,20}|rocksdict-config\.json"
)


class StoredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a shard's database; its bytes are in the repository under their checksum."""

    name: str
    size_bytes: int
    sha256: str


class ShardBackup(msgspec.Struct, frozen=True):
    """A shard in a backup.

    ``began_wall_ns`` is before its checkpoint was taken and ``taken_wall_ns`` after that: all
    that was acknowledged before the first is in it, nothing that was begun after the second.
    ``new_bytes`` were not in the repository before, ``reused_bytes`` were.
    """

    shard: int
    host: str
    files: list[StoredFile]
    began_wall_ns: int
    taken_wall_ns: int
    new_bytes: int = 0
    reused_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """All its files."""
        return sum(one.size_bytes for one in self.files)


class Manifest(msgspec.Struct, frozen=True):
    """A backup of a memory: all of its shards, in their order.

    ``settings`` are those of `MemoryConfig` that the memory was served with, as far as they are
    plain numbers and texts.
    """

    backup: str
    memory: str
    memory_id: str
    generation: int
    shards: list[ShardBackup]
    began_wall_ns: int
    finished_wall_ns: int
    settings: dict[str, Any] = {}

    @property
    def size_bytes(self) -> int:
        """What a restore of it reads."""
        return sum(one.size_bytes for one in self.shards)

    @property
    def new_bytes(self) -> int:
        """What making it has added to the repository."""
        return sum(one.new_bytes for one in self.shards)

    @property
    def reused_bytes(self) -> int:
        """What it shares with backups before it."""
        return sum(one.reused_bytes for one in self.shards)


class _Envelope(msgspec.Struct):
    schema_version: int
    sha256: str
    backup: msgspec.Raw


def check_memory_name(name: object, field: str = "memory") -> str:
    """A memory's name, which names a folder too. Raises BadInputError."""
    if isinstance(name, str) and _MEMORY.fullmatch(name):
        return name
    raise BadInputError(
        field,
        "must be 1 to 200 letters, digits, '.', '_' or '-', the first a letter, digit or '_', "
        f"not {name!r:.80}",
    )


def check_backup_id(backup: object) -> str:
    """A backup's id. Raises BadInputError."""
    if isinstance(backup, str) and _BACKUP_ID.fullmatch(backup):
        return backup
    raise BadInputError("backup", f"{backup!r:.80} is no backup's id; list the backups")


def time_of_backup_ns(backup: str) -> int | None:
    """The wall clock that an id begins with, ns since the epoch; None if it is no id."""
    match = _BACKUP_ID.fullmatch(backup)
    if match is None:
        return None
    try:
        time = datetime.strptime(match[1], _ID_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(time.timestamp() * 1_000_000) * 1_000


def encode_manifest(manifest: Manifest) -> bytes:
    """A manifest as it is written; `decode_manifest` takes it."""
    inner = msgspec.json.encode(manifest)
    return msgspec.json.encode(
        _Envelope(SCHEMA_VERSION, sha256(inner).hexdigest(), msgspec.Raw(inner))
    )


def decode_manifest(data: bytes, place: str, backup: str, memory: str) -> Manifest:
    """A manifest as it was written.

    Args:
        data: the file's bytes.
        place: the file, for errors.
        backup: whose it should be.
        memory: likewise.

    Raises:
        CorruptionError: it is cut, flipped, or says what no backup of ours says.
        IncompatibleError: a later version wrote it.
    """
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise IncompatibleError(place, f"was written by a later version (schema {version})")
        envelope = msgspec.json.decode(data, type=_Envelope)
        if sha256(bytes(envelope.backup)).hexdigest() != envelope.sha256:
            raise CorruptionError(place, "is damaged: its checksum is wrong")
        manifest = msgspec.json.decode(bytes(envelope.backup), type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError(place, f"is damaged: {error}") from None
    problem = _problem(manifest, backup, memory)
    if problem is not None:
        raise CorruptionError(place, f"is no manifest of this backup: {problem}")
    return manifest


def _problem(manifest: Manifest, backup: str, memory: str) -> str | None:
    """What a manifest says that none of ours would."""
    if (manifest.backup, manifest.memory) != (backup, memory):
        return f"it is of {manifest.memory!r:.80}, {manifest.backup!r:.80}"
    if not 1 <= len(manifest.shards) <= MAX_SHARDS:
        return f"it has {len(manifest.shards)} shards"
    if manifest.generation < 0:
        return "its generation is below 0"
    for number, shard in enumerate(manifest.shards):
        if shard.shard != number:
            return f"its shard {number} is numbered {shard.shard}"
        if len({one.name for one in shard.files}) < len(shard.files):
            return f"shard {number} has a file twice"
        for file in shard.files:
            if not _FILE.fullmatch(file.name):
                return f"shard {number} has a file {file.name!r:.80}, as no database has"
            if not _CHECKSUM.fullmatch(file.sha256) or file.size_bytes < 0:
                return f"shard {number} has no checksum and size of {file.name}"
    return None
