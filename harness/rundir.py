"""Making a run directory and writing its documents; `harness.rundir_reader` reads them.

    <run directory>
    ├── run.json         plan, seed, versions, hosts, topology; status
    ├── ops/             operation rows          (harness.sinks.OpsWriter)
    ├── loadgen/         the cohorts' timer lag  (harness.sinks.LoadgenWriter)
    ├── resources/       samples of each node    (harness.sampler)
    ├── agents.parquet   number and id of each agent
    ├── events.jsonl     phases, faults, restarts: one JSON line an event
    └── summary.json     the figures

Invariants: each file carries ``schema_version``; a JSON document is replaced whole and synced, so
that a reader finds the old one or the new one; ``run.json`` is there from the start, with the
status ``running``, so that a run that is killed at once is still recognised. (This first one is
made in place: that it must not be there yet is what gives the folder to one run alone.)

A disk that becomes full fails no run by itself: while it goes on, what ``run.json`` cannot take is
kept for its next writing, and an event that cannot be written is counted. A hidden file holds room
for the end, when the status and the figures have to be written.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.columns import from_numpy, from_strings
from harness.errors import UsageError
from harness.schema import AGENTS_SCHEMA, SCHEMA_VERSION

__all__ = [
    "AGENTS_FILE",
    "EVENTS_FILE",
    "FOLDERS",
    "RUN_FILE",
    "SAME_NAME_MAX",
    "STATUSES",
    "SUMMARY_FILE",
    "RunDirectory",
    "Status",
    "check_out",
]

RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
EVENTS_FILE = "events.jsonl"
AGENTS_FILE = "agents.parquet"
FOLDERS = ("ops", "resources", "loadgen")

Status = Literal["running", "complete", "interrupted", "failed", "invalid"]
STATUSES: tuple[Status, ...] = get_args(Status)

# Runs of one command that may start within a second in one folder.
SAME_NAME_MAX = 1000

# Held until the run has ended, for its last run.json and its summary.json.
_RESERVE_FILE = ".reserve"
_RESERVE_BYTES = 256 * 1024

_OPTION = "--out"
_VERSION = {"schema_version": SCHEMA_VERSION}


def check_out(path: Path) -> None:
    """Raise UsageError("--out", ...) unless a run directory can be made at `path`.

    Makes nothing: it is for checking a plan before anything starts. `RunDirectory.create` checks
    again, for what may have changed in between.
    """
    with _refusals(path):
        if not _is_there(path):
            parent = path.absolute().parent
            while not _is_there(parent):
                parent = parent.parent
            if not parent.is_dir():
                raise UsageError(_OPTION, f"{parent} is not a folder; name another place")
            _check_writable(parent)
            return
        if not path.is_dir():
            raise UsageError(_OPTION, f"{path} exists and is not a folder; name another place")
        if any(path.iterdir()):
            raise UsageError(
                _OPTION, f"{path} exists and is not empty; name a new folder or empty this one"
            )
        _check_writable(path)


def _is_there(path: Path) -> bool:
    """As os.path.lexists, which takes a name that cannot be for one that is not there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(_OPTION, f"{folder} cannot be written; name another place")


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Map what the file system refuses about `path` to a UsageError."""
    try:
        yield
    except FileExistsError:
        raise UsageError(
            _OPTION, f"{path} exists already; name a new folder or an empty one"
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(
            _OPTION, f"{path} cannot be made or written ({reason}); name another place"
        ) from None
    except ValueError:  # a null character in the name
        raise UsageError(_OPTION, f"{str(path)!r} is not the name of a folder") from None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RunDirectory:
    """A run directory that is being written. Safe to use from several threads of one process.

    Attributes:
        path: the directory.
        lost_events: events that could not be written.
        on_event: told of each event, by the thread that appends it; for whoever watches.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """For `create`, which is how one is made."""
        self.path = path
        self.lost_events = 0
        self.on_event: Callable[[Mapping[str, Any]], None] = lambda _: None
        self._run = dict(run)
        self._lock = threading.RLock()

    @classmethod
    def create(
        cls,
        path: Path | None,
        command: str,
        root: Path = Path("runs"),
        now: Callable[[], datetime] = _utc_now,
        folders: Sequence[str] = FOLDERS,
    ) -> RunDirectory:
        """Make the directory and its folders, and claim it by its first ``run.json``.

        Args:
            path: the folder to make, or an empty one; None for ``<root>/<UTC time>-<command>``,
                with ``-2``, ``-3`` and so on where that is taken.
            command: the command's name, in the folder's name and in ``run.json``.
            root: where unnamed runs go; made when missing.
            now: gives the time of the start.
            folders: to make in it.

        Raises:
            UsageError: the folder is not empty, or cannot be made or written.
        """
        started = now().astimezone(UTC)
        if path is None:
            path = _make_unnamed(root, f"{started:%Y%m%dT%H%M%SZ}-{command}")
        else:
            check_out(path)
        run = {"status": "running", "command": command, "started": started.isoformat()}
        run |= _writer()
        with _refusals(path):
            path.mkdir(parents=True, exist_ok=True)
            # Made only if it is not there: of two runs that found the folder empty, one goes on.
            with (path / RUN_FILE).open("xb") as file:
                file.write(_encode_document(run))
            (path / _RESERVE_FILE).write_bytes(os.urandom(_RESERVE_BYTES))
            for folder in folders:
                (path / folder).mkdir()
        return cls(path, run)

    def resume(self) -> None:
        """Note that this process goes on with a directory that is there."""
        self.write_run({"status": "running", **_writer()})

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Add `run` to ``run.json``, over what it has under the same keys; atomic, synced.

        Values are what JSON has, and numpy scalars, paths, dates and dataclasses; a number that
        is not finite is written as null. An unknown ``status`` is a ValueError. While the run goes
        on, what a full disk does not take waits for the next time; the end has room reserved.
        """
        with self._lock:
            merged = {**self._run, **run}
            if merged["status"] not in STATUSES:
                raise ValueError(f"status {merged['status']!r} is none of {', '.join(STATUSES)}")
            goes_on = merged["status"] == "running"
            if not goes_on:
                (self.path / _RESERVE_FILE).unlink(missing_ok=True)
            try:
                self._write_document(RUN_FILE, merged)
            except OSError as error:
                if not goes_on or error.errno != errno.ENOSPC:
                    raise
            self._run = merged

    def update_status(self, status: Status, **extra: Any) -> None:
        """Set the run's status, and any other keys of ``run.json``; as `write_run`."""
        self.write_run({**extra, "status": status})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json`` whole; atomic, synced. Values as for `write_run`."""
        self._write_document(SUMMARY_FILE, summary)

    def append_event(self, kind: str, **fields: Any) -> None:
        """Add one line to ``events.jsonl``: the wall clock in ns, `kind` and `fields`.

        One that a full disk does not take is counted. `on_event` is told of each.
        """
        event = {**_VERSION, "wall_ns": time.time_ns(), "kind": kind, **fields}
        line = msgspec.json.encode(event, enc_hook=_plain) + b"\n"
        self.on_event(event)
        with self._lock:
            try:
                self._append(self.path / EVENTS_FILE, line)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self.lost_events += 1

    def write_agents(self, agents: pa.Table | Mapping[str, Any]) -> None:
        """Write ``agents.parquet`` whole, from a table or the columns of AGENTS_SCHEMA.

        Columns are integers, and strings for ``agent_id``, in any sequence.
        """
        table = agents if isinstance(agents, pa.Table) else _agents_table(agents)
        table = table.select(AGENTS_SCHEMA.names).cast(AGENTS_SCHEMA)
        out = pa.BufferOutputStream()
        pq.write_table(table, out)
        self._replace(AGENTS_FILE, out.getvalue())

    @staticmethod
    def _append(path: Path, line: bytes) -> None:
        """Add all of a line, or nothing of it."""
        with path.open("ab", buffering=0) as file:
            end_bytes = file.seek(0, os.SEEK_END)
            try:
                written = file.write(line)
                if written < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            except OSError:
                file.truncate(end_bytes)
                raise

    def _write_document(self, name: str, document: Mapping[str, Any]) -> None:
        self._replace(name, _encode_document(document))

    def _replace(self, name: str, data: bytes | pa.Buffer) -> None:
        unfinished = self.path / f".{name}.tmp"
        with self._lock:
            try:
                with unfinished.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(self.path / name)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
            _sync_folder(self.path)


def _writer() -> dict[str, Any]:
    """Which process writes: so that one that was killed can be told from one that goes on."""
    from harness.hosts import this_process  # readers of a run directory need no psutil

    return {"process": this_process()}


def _make_unnamed(root: Path, name: str) -> Path:
    with _refusals(root):
        root.mkdir(parents=True, exist_ok=True)
    for number in range(1, SAME_NAME_MAX + 1):
        path = root / (name if number == 1 else f"{name}-{number}")
        with _refusals(path), suppress(FileExistsError):
            path.mkdir()
            return path
    raise UsageError(_OPTION, f"{root} has {SAME_NAME_MAX} runs named {name}; name a folder")


def _agents_table(columns: Mapping[str, Any]) -> pa.Table:
    arrays = [
        from_numpy(np.asarray(columns["agent"]), pa.int32()),
        from_strings(columns["agent_id"]),
        from_numpy(np.asarray(columns["cohort"]), pa.int32()),
    ]
    return pa.table(arrays, schema=AGENTS_SCHEMA)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlive a power cut, where the file system knows how."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _encode_document(document: Mapping[str, Any]) -> bytes:
    versioned = {**_VERSION, **document, **_VERSION}
    return msgspec.json.format(msgspec.json.encode(versioned, enc_hook=_plain), indent=2) + b"\n"


def _plain(value: Any) -> Any:
    """What JSON has for a value of a type that msgspec does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a JSON document")
