"""`verify` and `stats`: what a database folder holds, and whether all of it is whole.

Both read every record of every family and change no byte of the folder: RocksDB is shown a
temporary folder of links to its files, so a read-only folder will do. The folder is locked
meanwhile: a store that has it open makes them raise `LockedError`, and one that would open it is
refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memory_core.damage import Findings, Problem, database_files, look_at, ours
from memory_core.encoder import Encoder
from memory_core.errors import DatabaseError, IncompatibleError
from memory_core.folder import is_unfinished
from memory_core.folder_lock import held_to_read
from memory_core.operations import TIERS
from memory_core.record import FORMAT_VERSION
from memory_core.rocks_tools import View
from memory_core.tier_reading import TierHoldings, TierReading

__all__ = [
    "FolderStatistics",
    "Problem",
    "TierHoldings",
    "Verification",
    "dimension_of",
    "identity_of",
    "stats",
    "verify",
]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify` found.

    Attributes:
        path: the folder.
        identity: what the database says it was made with, or None if that cannot be read.
        tiers: what is whole, by tier.
        agents: agents that have a readable memory.
        problems: damage, each with the file or key; empty when the database is whole.
        notes: what is odd and costs nothing.
        readable: False if no record could be counted, because the list of tables or a table's
            frame is damaged; `repair` may save records all the same.
    """

    path: str
    identity: Mapping[str, object] | None
    tiers: Mapping[str, TierHoldings]
    agents: int
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    readable: bool

    @property
    def is_clean(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems

    @property
    def memories(self) -> int:
        """Readable memories in all tiers."""
        return sum(tier.memories for tier in self.tiers.values())


@dataclass(frozen=True, kw_only=True)
class FolderStatistics:
    """What `stats` measured.

    Attributes:
        path, identity, tiers, agents: as in `Verification`.
        is_clean: whether no damage was met.
        folder_bytes: all files of the database.
        table_bytes, log_bytes: its tables, and its write-ahead logs.
        tables, logs: how many.
        levels: of RocksDB's tree: level, tables, bytes, and records with those that are dead.

    Write amplification and cache hits are figures of an open store, not of a folder.
    """

    path: str
    identity: Mapping[str, object] | None
    tiers: Mapping[str, TierHoldings]
    agents: int
    is_clean: bool
    folder_bytes: int
    table_bytes: int
    log_bytes: int
    tables: int
    logs: int
    levels: tuple[Mapping[str, int], ...]


def verify(path: str | os.PathLike[str], encoder: Encoder | None = None) -> Verification:
    """Read all of a closed database and say what is whole and what is not.

    Args:
        path: its folder; nothing in it is changed.
        encoder: what the database should have been made with; None takes what it says.

    Raises:
        BadInputError: there is no database in the folder.
        LockedError: a store has it open.
        IncompatibleError: it is of another format.
        DatabaseError: its files cannot be read for another reason than damage.
    """
    folder = ours(path)
    with held_to_read(folder):
        findings = look_at(folder)
        try:
            return _verification(folder, findings, encoder)
        finally:
            if findings.view is not None:
                findings.view.close()


def stats(path: str | os.PathLike[str]) -> FolderStatistics:
    """Measure a closed database. Raises as `verify` does."""
    folder = ours(path)
    with held_to_read(folder):
        findings = look_at(folder)
        try:
            found = _verification(folder, findings, None)
            levels = _levels(findings.view) if findings.view is not None else ()
        finally:
            if findings.view is not None:
                findings.view.close()
        sizes = {
            name: os.path.getsize(os.path.join(folder, name)) for name in database_files(folder)
        }
    tables = [size for name, size in sizes.items() if name.endswith(".sst")]
    logs = [size for name, size in sizes.items() if name.endswith(".log")]
    return FolderStatistics(
        path=folder,
        identity=found.identity,
        tiers=found.tiers,
        agents=found.agents,
        is_clean=found.is_clean,
        folder_bytes=sum(sizes.values()),
        table_bytes=sum(tables),
        log_bytes=sum(logs),
        tables=len(tables),
        logs=len(logs),
        levels=levels,
    )


def identity_of(view: View) -> dict[str, object]:
    """What a database says it was made with. Raises DatabaseError if that is no longer there."""
    if "meta" not in view.families:
        raise DatabaseError("meta", "is missing")
    stored = view.get("meta", b"identity")
    try:
        found = json.loads(stored or b"")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DatabaseError("meta", "does not say what the database was made with")
    return found


def dimension_of(identity: Mapping[str, object]) -> int:
    """The length of the vectors that an identity names.

    Raises:
        IncompatibleError: it names another format.
        DatabaseError: it names no possible length.
    """
    made, dimension = identity.get("format"), identity.get("dimension")
    if made != FORMAT_VERSION:
        problem = f"was made with format {made!r}, and this is format {FORMAT_VERSION}; open it "
        raise IncompatibleError("meta", f"{problem}with the release that made it")
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
        raise DatabaseError("meta", f"names the impossible dimension {dimension!r}")
    return dimension


def _verification(folder: str, findings: Findings, encoder: Encoder | None) -> Verification:
    problems = list(findings.problems)
    identity: dict[str, object] | None = None
    tiers = {name: TierHoldings() for name in TIERS}
    agents = 0
    notes = list(findings.notes)
    if findings.view is not None and is_unfinished(folder):
        notes.append(Problem(folder, "holds nothing yet: its making was cut short"))
    elif findings.view is not None:
        dimension: int | None = None
        try:
            identity = identity_of(findings.view)
            dimension = dimension_of(identity)
            _require_made_with(identity, encoder)
        except IncompatibleError as error:
            raise IncompatibleError(folder, error.problem) from None
        except DatabaseError as error:
            problems.append(Problem(error.path, error.problem))
        reading = TierReading(findings.view, problems, dimension)
        tiers = {name: reading.read(number) for number, name in enumerate(TIERS)}
        reading.read_ids()
        agents = len(reading.agents)
        if reading.unnamed:
            rest = f"holds {reading.unnamed:,} more that are no whole records"
            problems.append(Problem(folder, rest))
    return Verification(
        path=folder,
        identity=identity,
        tiers=tiers,
        agents=agents,
        problems=tuple(problems),
        notes=tuple(notes),
        readable=findings.view is not None,
    )


def _require_made_with(identity: Mapping[str, object], encoder: Encoder | None) -> None:
    if encoder is None:
        return
    given: dict[str, Callable[[], object]] = {
        "encoder": lambda: encoder.name,
        "encoder_version": lambda: encoder.version,
        "dimension": lambda: encoder.dimension,
    }
    for key, value in given.items():
        if identity.get(key) != value():
            raise DatabaseError(
                "meta", f"names {key} {identity.get(key)!r}, where {value()!r} was expected"
            )


def _levels(view: View) -> tuple[Mapping[str, int], ...]:
    levels: dict[int, dict[str, int]] = {}
    for level, size, records in view.table_levels():
        found = levels.setdefault(
            level, {"level": level, "tables": 0, "table_bytes": 0, "records": 0}
        )
        found["tables"] += 1
        found["table_bytes"] += size
        found["records"] += records
    return tuple(levels[level] for level in sorted(levels))
