"""A database's folder looked at as a whole: its files' damage, and a view of what they hold.

The folder must be closed to stores meanwhile (`memory_core.folder_lock`). Nothing in it is
changed. What the view shows leaves out damaged parts of the logs, so it may be of a database
that a store would refuse to open: the problems say so.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from memory_core.errors import (
    BadInputError,
    CorruptionError,
    DatabaseError,
    IncompatibleError,
)
from memory_core.folder import family_order, is_unfinished, put_aside
from memory_core.log import DATA_FAMILIES
from memory_core.log_format import check_log_file
from memory_core.log_mending import mend_log
from memory_core.rocks_tools import View, last_write_of_table
from memory_core.snapshot_file import SnapshotError, read_snapshot

__all__ = ["Findings", "Problem", "database_files", "look_at", "mend_all", "ours"]

_FILES = re.compile(
    r"\d{6,}\.(sst|log)|MANIFEST-\d{6,}|CURRENT|IDENTITY|LOCK|LOG(\.old\.\d+)?|OPTIONS-\d{6,}"
    r"|rocksdict-config\.json"
)
# A folder of snapshots of indexes, beside the files of RocksDB's; nothing depends on it.
_INDEXES = "indexes"
_NO_LOSS = "the index is made from the memories, which costs time only"
_OF_A_DATABASE = re.compile(r"\d{6,}\.(sst|log)|MANIFEST-\d{6,}|CURRENT")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        place: the file, or the tier and key.
        problem: what is wrong, one sentence without its subject.
    """

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


@dataclass
class Findings:
    """What the files of a folder show before a record is read.

    Attributes:
        problems: damage; a store would refuse to open the folder or to read from it.
        notes: what is odd and costs nothing.
        logs: write-ahead logs without their damage, by file name, where they had some.
        lost_batches: places in the logs that could not be read; each held a write batch or more.
        view: of what can be read; None if CURRENT, the MANIFEST or a table keeps it from opening.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    lost_batches: int = 0
    view: View | None = None


def ours(path: str | os.PathLike[str]) -> str:
    """The path of a folder that has a database, or the remains of one, in it.

    Raises:
        BadInputError: there is no such folder, or it holds nothing of a database.
        DatabaseError: it cannot be read.
    """
    text = os.fspath(path)
    if not text:
        raise BadInputError("path", "is empty; name a database's folder")
    try:
        names = os.listdir(text)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        aside = put_aside(text)
        where = f"; a repair that did not end left {aside}" if os.path.lexists(aside) else ""
        raise BadInputError("path", f"{text} is no folder; name a database's{where}") from None
    except OSError as error:
        raise DatabaseError(text, f"cannot be read: {error.strerror}") from None
    if not any(_OF_A_DATABASE.fullmatch(name) for name in names):
        raise BadInputError("path", f"{text} is not a database; name the folder of one")
    return text


def database_files(path: str) -> list[str]:
    """The names of a folder's files that are a database's, sorted."""
    return sorted(name for name in os.listdir(path) if _FILES.fullmatch(name))


def look_at(path: str) -> Findings:
    """Look at each file, then open a view if that is possible; whoever calls closes it.

    Raises:
        IncompatibleError: it is a database of an earlier format.
        DatabaseError: a file cannot be read for another reason than damage.
    """
    findings = Findings()
    names = database_files(path)
    try:
        listed = _check_list(path, names, findings)
        _check_logs(path, names, findings)
        _check_rest(path, names, findings)
    except OSError as error:
        raise DatabaseError(error.filename or path, f"cannot be read: {error.strerror}") from None
    _check_indexes(path, findings)
    if listed:
        _open_view(path, findings)
    return findings


def mend_all(path: str, findings: Findings) -> list[str]:
    """Look for damage in the logs that have not been mended yet; the names of those with some."""
    return [
        name
        for name in database_files(path)
        if name.endswith(".log") and name not in findings.logs and _mend(path, name, findings)
    ]


def _check_list(path: str, names: list[str], findings: Findings) -> bool:
    """Whether RocksDB may follow CURRENT and the MANIFEST."""
    current = os.path.join(path, "CURRENT")
    if "CURRENT" not in names:
        findings.problems.append(Problem(current, "is missing"))
        return False
    with open(current, "rb") as file:
        manifest = file.read().decode(errors="replace")
    if not re.fullmatch(r"MANIFEST-\d{6,}\n", manifest):
        findings.problems.append(Problem(current, "is damaged: it names no MANIFEST"))
        return False
    name = manifest.strip()
    if name not in names:
        problem = Problem(os.path.join(path, name), "is missing, though CURRENT names it")
        findings.problems.append(problem)
        return False
    return _passes(os.path.join(path, name), findings)


def _check_logs(path: str, names: list[str], findings: Findings) -> None:
    logs = [name for name in names if name.endswith(".log")]
    if not logs:
        findings.problems.append(Problem(path, "has lost its write-ahead log (the .log files)"))
    for name in logs:
        if not _passes(os.path.join(path, name), findings):
            _mend(path, name, findings)


def _passes(file: str, findings: Findings) -> bool:
    try:
        check_log_file(Path(file))
    except CorruptionError as error:
        findings.problems.append(Problem(error.path, error.problem))
        return False
    return True


def _mend(path: str, name: str, findings: Findings) -> bool:
    """Put what is whole in a log in its place; whether anything was wrong with it."""
    with open(os.path.join(path, name), "rb") as file:
        mended = mend_log(file.read())
    if mended.lost or mended.repaired:
        findings.logs[name] = mended.data
        findings.lost_batches += mended.lost
        return True
    return False


def _check_rest(path: str, names: list[str], findings: Findings) -> None:
    """Files that RocksDB does not need in order to open a database."""
    configuration = os.path.join(path, "rocksdict-config.json")
    if "rocksdict-config.json" in names:
        with open(configuration, "rb") as opened:
            if not _is_raw_mode(opened.read()):
                note = Problem(configuration, "is damaged; nothing needs it")
                findings.notes.append(note)
    if not family_order(path):
        options = next((name for name in names if name.startswith("OPTIONS-")), "OPTIONS")
        note = Problem(os.path.join(path, options), "is missing or damaged; nothing needs it")
        findings.notes.append(note)
    if "IDENTITY" in names and "CURRENT" in names and not _has_known_identity(path):
        note = Problem(
            os.path.join(path, "IDENTITY"), "is not what MANIFEST says; nothing needs it"
        )
        findings.notes.append(note)


def _check_indexes(path: str, findings: Findings) -> None:
    """Snapshots of indexes: a store that cannot use one makes the index again."""
    folder = os.path.join(path, _INDEXES)
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        findings.notes.append(Problem(folder, f"cannot be read: {error.strerror}; {_NO_LOSS}"))
        return
    for name in names:
        if name.endswith(".new"):  # whose writing was cut short; the next one overwrites it
            continue
        try:
            read_snapshot(os.path.join(folder, name))
        except SnapshotError as error:
            findings.notes.append(Problem(error.path, f"{error.problem}; {_NO_LOSS}"))


def _is_raw_mode(text: bytes) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("raw_mode") is True


def _has_known_identity(path: str) -> bool:
    with open(os.path.join(path, "IDENTITY"), "rb") as file:
        identity = file.read().strip()
    manifests = [name for name in os.listdir(path) if name.startswith("MANIFEST-")]
    for name in manifests:
        with open(os.path.join(path, name), "rb") as file:
            if identity and identity in file.read():
                return True
    return False


def _open_view(path: str, findings: Findings) -> None:
    try:
        findings.view = View(path, logs=findings.logs)
    except CorruptionError as first:
        # RocksDB checks the logs' checksums, and does not say which of them failed
        damaged = mend_all(path, findings)
        for name in damaged:
            problem = Problem(os.path.join(path, name), f"is damaged ({first.problem})")
            findings.problems.append(problem)
        if not damaged:
            findings.problems.append(Problem(first.path, first.problem))
            return
        try:
            findings.view = View(path, logs=findings.logs)
        except CorruptionError as error:
            findings.problems.append(Problem(error.path, error.problem))
            return
    missing = sorted({"meta", *DATA_FAMILIES} - set(findings.view.families))
    # a MANIFEST that is cut may lack them, too
    if missing == ["ids"] and "ids" not in family_order(path):
        findings.view.close()
        raise IncompatibleError(path, "was made with format 1; export it there and import it here")
    if missing and not is_unfinished(path):
        problem = Problem(path, f"lists no column family {', '.join(missing)}: its MANIFEST is cut")
        findings.problems.append(problem)
        findings.view.close()
        findings.view = None
        return
    _check_listed(path, findings, findings.view)


def _check_listed(path: str, findings: Findings, view: View) -> None:
    """Look for tables that the MANIFEST does not list.

    A kill leaves such tables: they were not listed yet, or no longer. RocksDB takes a MANIFEST
    that was cut for one whose last record a kill cut short, and so forgets what came after. But
    what a kill leaves has no write that is not in another table or in a log, too.
    """
    listed = view.tables()
    others = [name for name in database_files(path) if name.endswith(".sst") and name not in listed]
    if not others:
        return
    with open(os.path.join(path, "CURRENT")) as file:
        manifest = os.path.join(path, file.read().strip())
    with open(manifest, "rb") as opened:
        is_cut = mend_log(opened.read()).torn
    last = view.last_write()
    unknown = [
        name for name in others if (last_write_of_table(os.path.join(path, name)) or 0) > last
    ]
    if not is_cut and not unknown:
        note = Problem(manifest, f"does not list {', '.join(others)}, as a kill may leave it")
        findings.notes.append(note)
        return
    first = (unknown or others)[0]
    findings.problems.append(Problem(manifest, f"is cut short: it does not list {first}"))
    view.close()
    findings.view = None
