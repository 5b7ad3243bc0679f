"""The summed memory of a process and everything it started, watched from beside it.

Memory is PSS (proportional set size, Linux): what processes share is counted once, split among
them. A process counts from when it is first seen until it ends, also when whoever started it
has ended before.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType

import psutil

from bench.errors import MeasurementError

__all__ = ["INTERVAL_S", "MemoryWatch", "pss_bytes"]

INTERVAL_S = 0.5


def pss_bytes(pid: int) -> int:
    """PSS of a process; 0 when it has just ended.

    Raises:
        MeasurementError: it cannot be read here.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        if os.path.exists("/proc/self/smaps_rollup"):  # noqa: PTH110
            return 0
        raise MeasurementError("the PSS of processes needs Linux's smaps_rollup") from error
    except PermissionError as error:
        raise MeasurementError(f"the PSS of process {pid} may not be read") from error
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class MemoryWatch:
    """Samples in a thread while its block is open.

    Attributes:
        peak_bytes: the largest sum of one sample.
        peak_processes: how many processes that sum is of.
        samples: how many there were.
        cpu_s: what watching cost.
    """

    def __init__(self, pid: int, interval_s: float = INTERVAL_S) -> None:
        self.peak_bytes = self.peak_processes = self.samples = 0
        self.cpu_s = 0.0
        self._interval_s = interval_s
        self._seen = {psutil.Process(pid)}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _watch(self) -> None:
        try:
            while not self._over.is_set():
                self._sample()
                self._over.wait(self._interval_s)
            self.cpu_s = time.thread_time()
        except Exception as error:  # noqa: BLE001  raised where the block ends
            self._error = error

    def _sample(self) -> None:
        self._seen = {process for process in self._seen if process.is_running()}
        found = set(self._seen)
        others = list(psutil.process_iter(["ppid"]))
        while found:
            parents = {process.pid for process in found}
            found = {one for one in others if one.info["ppid"] in parents} - self._seen
            self._seen |= found
        sizes = [pss_bytes(process.pid) for process in self._seen]
        self.samples += 1
        if sum(sizes) > self.peak_bytes:
            self.peak_bytes = sum(sizes)
            self.peak_processes = sum(size > 0 for size in sizes)
