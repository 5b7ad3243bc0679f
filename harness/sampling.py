"""What psutil tells of a node and of a process, read as rows; nothing here knows Ray or a clock.

Invariants
- A rate is a difference over the time that really passed between two readings, never over the
  time that should have.
- A process that ended, became a zombie, or whose pid another process took over, has no more rows:
  its reading raises `ProcessEndedError`, whatever psutil made of it.
- Dear readings are asked for one by one: USS makes the kernel walk the process's memory (1 to 2 ms
  for a Ray worker, more with its size), threads and open files are a file each.

CPU time and resident memory, which every sample has of every process, are read on Linux from two
files in /proc that stay open: 0.2 ms for 12 processes where psutil takes 1.1 ms (CPU of a thread
that wakes five times a second; 2-core machine, 2026-11-22). An open file of /proc belongs to its
process, not to the pid: it never shows another that has the same number.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from io import FileIO
from typing import NamedTuple, Protocol

import psutil

__all__ = [
    "NodeReader",
    "NodeReading",
    "ProcessEndedError",
    "ProcessReader",
    "ProcessReading",
    "session_processes",
]

_LOOPBACKS = frozenset({"lo", "lo0"})


class ProcessEndedError(Exception):
    """The process is gone, or cannot be looked at any more."""


class NodeReading(NamedTuple):
    """A node's load, in the order and under the names of NODES_SCHEMA, from `cpu_percent` on."""

    cpu_percent: float
    memory_used_bytes: int
    memory_available_bytes: int
    disk_read_bytes: int
    disk_write_bytes: int
    network_received_bytes: int
    network_sent_bytes: int
    loopback_bytes: int
    load_average_1m: float
    cpu_count: int


class NodeReader:
    """Reads this node. Used from one thread: psutil keeps the last reading of each thread."""

    def __init__(self) -> None:
        self._cpu_count = psutil.cpu_count() or 1
        psutil.cpu_percent(None)

    def read(self) -> NodeReading:
        """One reading; `cpu_percent` is over the time since the last, of all cores together."""
        memory = psutil.virtual_memory()
        disk = psutil.disk_io_counters(nowrap=False)
        received = sent = loopback = 0
        for name, link in psutil.net_io_counters(pernic=True, nowrap=False).items():
            if name in _LOOPBACKS:
                loopback += link.bytes_recv
            else:
                received += link.bytes_recv
                sent += link.bytes_sent
        return NodeReading(
            cpu_percent=psutil.cpu_percent(None),
            memory_used_bytes=memory.used,
            memory_available_bytes=memory.available,
            disk_read_bytes=disk.read_bytes if disk else 0,
            disk_write_bytes=disk.write_bytes if disk else 0,
            network_received_bytes=received,
            network_sent_bytes=sent,
            loopback_bytes=loopback,
            load_average_1m=psutil.getloadavg()[0],
            cpu_count=self._cpu_count,
        )


class ProcessReading(NamedTuple):
    """A process's load, in the order and under the names of PROCESSES_SCHEMA.

    `cpu_percent` is of one core. What was not asked for, or may not be seen, is None.
    """

    cpu_percent: float
    cpu_seconds: float
    rss_bytes: int
    uss_bytes: int | None
    threads: int | None
    open_files: int | None


class ProcessReader:
    """Reads one process, from the moment the reader is made until `close`.

    Raises:
        ProcessEndedError: there is no such process.
    """

    def __init__(self, pid: int, monotonic_ns: int) -> None:
        try:
            self._process = psutil.Process(pid)
            self._load = _load_of(self._process)
        except (psutil.Error, OSError, ValueError) as error:
            raise ProcessEndedError(str(error)) from None
        try:
            self._cpu_seconds, _ = self._load.read()
        except (psutil.Error, OSError, ProcessEndedError) as error:
            self.close()
            raise ProcessEndedError(str(error)) from None
        self._read_ns = monotonic_ns
        self._threads: int | None = None
        self._open_files: int | None = None

    def elapsed_ns(self, monotonic_ns: int) -> int:
        """The time since the last reading, or since the reader was made."""
        return monotonic_ns - self._read_ns

    def read(self, monotonic_ns: int, *, counts: bool, uss: bool) -> ProcessReading:
        """One reading.

        Args:
            monotonic_ns: now, later than the reading before.
            counts: read threads and open files too; otherwise those of the last time are given
                again.
            uss: read the memory that is the process's alone.

        Raises:
            ProcessEndedError: from now on there is nothing to read.
        """
        try:
            cpu_seconds, rss_bytes = self._load.read()
            if counts:
                self._read_counts()
            uss_bytes = self._read_uss() if uss else None
        except (psutil.Error, OSError) as error:
            raise ProcessEndedError(str(error)) from None
        elapsed_ns = max(1, monotonic_ns - self._read_ns)
        cpu_percent = 1e11 * (cpu_seconds - self._cpu_seconds) / elapsed_ns
        self._cpu_seconds = cpu_seconds
        self._read_ns = monotonic_ns
        return ProcessReading(
            cpu_percent, cpu_seconds, rss_bytes, uss_bytes, self._threads, self._open_files
        )

    def close(self) -> None:
        """Give back what the reader holds open; it cannot read any more."""
        self._load.close()

    def _read_counts(self) -> None:
        try:
            self._threads = self._process.num_threads()
            self._open_files = self._process.num_fds()
        except psutil.AccessDenied:
            self._open_files = None

    def _read_uss(self) -> int | None:
        try:
            return int(self._process.memory_full_info().uss)
        except psutil.AccessDenied:
            return None


class _Load(Protocol):
    """A process's CPU time in seconds and resident memory in bytes.

    `read` raises psutil.Error, OSError or ProcessEndedError when the process is gone.
    """

    def read(self) -> tuple[float, int]: ...

    def close(self) -> None: ...


def _load_of(process: psutil.Process) -> _Load:
    if not sys.platform.startswith("linux"):
        return _PsutilLoad(process)
    try:
        load = _ProcfsLoad(process.pid)
    except OSError:  # too many open files, or a /proc that is closed to us
        return _PsutilLoad(process)
    if not process.is_running():
        load.close()
        raise psutil.NoSuchProcess(process.pid)
    return load


class _PsutilLoad:
    """By psutil, anywhere."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._cpu_seconds = 0.0

    def read(self) -> tuple[float, int]:
        with self._process.oneshot():
            times = self._process.cpu_times()
            rss_bytes = self._process.memory_info().rss
            zombie = self._process.status() == psutil.STATUS_ZOMBIE
        cpu_seconds = times.user + times.system
        # Less CPU time than before is another process under the pid.
        if zombie or cpu_seconds < self._cpu_seconds or not self._process.is_running():
            raise psutil.NoSuchProcess(self._process.pid)
        self._cpu_seconds = cpu_seconds
        return cpu_seconds, rss_bytes

    def close(self) -> None:
        pass


class _ProcfsLoad:
    """From /proc/<pid>/stat and statm (proc_pid_stat(5), proc_pid_statm(5)), kept open."""

    _TICKS_PER_S = os.sysconf("SC_CLK_TCK")
    _PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

    def __init__(self, pid: int) -> None:
        self._files = ExitStack()
        try:
            self._stat = self._open(f"/proc/{pid}/stat")
            self._statm = self._open(f"/proc/{pid}/statm")
        except OSError:
            self.close()
            raise

    def read(self) -> tuple[float, int]:
        stat = self._contents(self._stat)
        # The second field is the program's name in brackets, and may have spaces and brackets.
        fields = stat[stat.rindex(b")") + 2 :].split(maxsplit=13)
        if fields[0] in {b"Z", b"X"}:
            raise ProcessEndedError("the process ended")
        cpu_ticks = int(fields[11]) + int(fields[12])
        rss_pages = int(self._contents(self._statm).split(maxsplit=2)[1])
        return cpu_ticks / self._TICKS_PER_S, rss_pages * self._PAGE_BYTES

    def close(self) -> None:
        self._files.close()

    def _open(self, path: str) -> FileIO:
        return self._files.enter_context(FileIO(path))

    def _contents(self, file: FileIO) -> bytes:
        return os.pread(file.fileno(), 4096, 0)


def session_processes() -> list[tuple[int, str]]:
    """The pids and roles of the Ray processes that this Ray worker belongs to.

    A worker's raylet is above it in the tree of processes. The GCS is looked for where the raylet
    is the head's, and told from those of other sessions by the session's name: several nodes, and
    several clusters, may share a machine. In a process that is no Ray worker: none.
    """
    try:
        raylet = next((p for p in psutil.Process().parents() if p.name() == "raylet"), None)
        if raylet is None:
            return []
        arguments = raylet.cmdline()
    except psutil.Error:
        return []
    found = [(raylet.pid, "raylet")]
    session = next((word for word in arguments if word.startswith("--session-name=")), None)
    if "--head" in arguments and session is not None:
        found += [(pid, "gcs") for pid in _gcs_servers(session)]
    return found


def _gcs_servers(session: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.name() == "gcs_server" and session in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue  # it ended, or is another user's
    return found
